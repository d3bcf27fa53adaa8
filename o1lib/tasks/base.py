"""What every small world offers: problems, a verifier, text steps, and the exact truth about every
state.

The two protocols are documentation that can be checked by a type checker; nothing inherits from
them. A task is an ordinary object whose methods are pure: the same arguments always give the same
answer, so that runs can be resumed and compared. Problems, states and steps are frozen and
hashable, and equal states are equal objects, so that a search can remember where it has been.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

# Held-out goals. No training data of any kind may ask for one of them (DESIGN: splits). They may
# occur as intermediate values.
GAME24 = 24
VAL_TARGETS = (18, 36, 48, 60, 83)
TEST_TARGETS = (14, 39, 41, 57, 62, 81, 87, 89, 96)
HELD_OUT_TARGETS = frozenset((GAME24, *VAL_TARGETS, *TEST_TARGETS))
SPLITS = ("train", "val_inputs", "val_targets", "test_inputs", "test_targets", "game24")
# Tasks that hold out inputs but no goals have these splits; the value is the class of the inputs.
INPUT_SPLITS = {"train": "train", "val_inputs": "val", "test_inputs": "test"}
INSTRUCTIONS = ("answer", "solve", "think", "judge", "propose", "revise")


@dataclass(frozen=True)
class Verdict:
    """Whether a response is right, and the reason in one plain sentence."""

    correct: bool
    reason: str

    def __bool__(self) -> bool:
        return self.correct


@runtime_checkable
class Task(Protocol):
    """Problems with a checker; see `o1lib.tasks.Countdown` for the reference implementation."""

    def problems(self, split: str, n: int | None = None, seed: int = 0) -> list[Any]:
        """The first `n` problems of a split and seed; the first k of n are those of k."""

    def train_problem(self, index: int, seed: int = 0) -> Any:
        """Problem number `index` of the endless training stream: what trainers draw from."""

    def problem(self, *description: Any) -> Any:
        """A problem of one's own. Raises `ValueError` with the reason when it is malformed."""

    def prompt(self, problem: Any, instruction: str = "think") -> str:
        """The user's text for a problem."""

    def verify(self, problem: Any, response: str, notation: str = "strict") -> Verdict:
        """Check a response. `notation` is "strict", or "lenient" for other people's models
        (o1lib.tasks.notation).
        """


@runtime_checkable
class StepTask(Task, Protocol):
    """A deterministic decision process over text steps, with the truth about every state.

    A step has `text`, the one canonical text by which a policy writes it. It ends in `left ...`,
    what the step leaves, so that the text of the last step restates the state.
    """

    def initial(self, problem: Any) -> Any:
        """The state in which a problem begins."""

    def legal_steps(self, state: Any) -> list[Any]:
        """Every legal step in canonical order, each once; none where the episode has ended."""

    def apply(self, state: Any, step: Any) -> Any:
        """The state after a step. Raises `ValueError` for a step that is not legal here."""

    def parse_step(self, state: Any, text: str) -> Any:
        """Read a step from its text. Raises `ValueError` with the reason: what is wrong with it."""

    def is_solved(self, state: Any) -> bool:
        """Whether the goal is reached; that ends the episode."""

    def answer(self, problem: Any, steps: Sequence[Any]) -> str:
        """The answer that steps from the beginning spell out, without its tags."""

    def solvable(self, state: Any) -> bool:
        """Whether the state can still win (it is *alive*)."""

    def distance(self, state: Any) -> int | None:
        """The smallest number of steps to a solved state, or None where nothing leads to one."""

    def count_solutions(self, state: Any) -> int:
        """How many sequences of `distance(state)` steps solve it, without listing them."""

    def solutions(self, state: Any) -> Iterator[tuple[Any, ...]]:
        """Those sequences, in canonical order."""


def input_class(key: str) -> str:
    """`"test"`, `"val"` or `"train"`: the split of an input by the CRC-32 of its canonical text."""
    return {0: "test", 1: "val"}.get(zlib.crc32(key.encode("ascii")) % 10, "train")


def input_split(task: Any, split: str) -> str:
    """The class of inputs that a split of a task without held-out goals takes its problems from.

    Raises `ValueError` for a split that the task does not have.
    """
    if split in INPUT_SPLITS:
        return INPUT_SPLITS[split]
    choices = f"choose from {', '.join(INPUT_SPLITS)}"
    if split in SPLITS:
        name = type(task).__name__
        raise ValueError(f"{name} holds out inputs but no goals, so it has no {split}: {choices}")
    raise ValueError(f"unknown split {split!r}; {choices}")


def require_count(n: Any) -> None:
    """Raise `ValueError` unless `n` is a number of problems, or None for all of them."""
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 0):
        raise ValueError(f"n must be a number of problems, got {n!r}")


def require_range(name: str, value: Any, least: int, most: int) -> None:
    """Raise `ValueError` unless `value` is an integer from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, got {value!r}")


def instructed(problem: Any, instruction: str) -> str:
    """The user's text: instruction, then problem. Raises `ValueError` for one that is unknown."""
    if instruction not in INSTRUCTIONS:
        choices = ", ".join(INSTRUCTIONS)
        raise ValueError(f"unknown instruction {instruction!r}; choose from {choices}")
    return f"{instruction} : {problem}"


def straight_chain(task: StepTask, problem: Any, steps: Sequence[Any]) -> str:
    """The response that takes these steps and nothing else, with the answer that they spell out."""
    written = " ; ".join(step.text for step in steps)
    return f"<think> {written} </think> <answer> {task.answer(problem, steps)} </answer>"


def refuse_held_out(target: int) -> None:
    """Raise `ValueError` if `target` is a held-out goal; every trainer's data loader calls this."""
    if target in HELD_OUT_TARGETS:
        raise ValueError(f"goal {target} is held out and may not be trained on")
