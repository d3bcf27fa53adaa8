"""A task asked in other words: for language models that do not know our instructions."""

from __future__ import annotations

from dataclasses import dataclass

# What a model that was not trained here must be told: the rules, and where the answer goes.
EXPLAINED = (
    "{problem}. Use every number exactly once, with + - * / and brackets; only whole or exact "
    "fractional values, no other numbers. Think step by step. Then end with the expression alone "
    "between tags, like <answer> ( 1 + 2 ) * 8 </answer>, and write nothing after it."
)


@dataclass(frozen=True)
class Prompted:
    """A task whose prompts follow a template, the same task in all else.

    Args:
        template: text with `{problem}` where the problem stands.

    Raises `ValueError` for a template without `{problem}`.
    """

    task: object
    template: str

    def __post_init__(self):
        if "{problem}" not in self.template:
            raise ValueError("a prompt must have {problem} where the puzzle is to stand")

    def prompt(self, problem, instruction: str = "think") -> str:
        """The user's text; other braces of the template stay what they are."""
        return self.template.replace("{problem}", str(problem))

    def __getattr__(self, name: str):
        return getattr(self.task, name)
