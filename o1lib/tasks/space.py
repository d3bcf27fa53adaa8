"""A step task as a policy sees it: partial solutions, and the text that each stands for.

What searches walk through, what process rewards judge, and what is enumerated for exact values.

Used in notebook 02, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """A partial solution: a problem, the steps taken, and the state that they lead to."""

    problem: Any
    state: Any
    steps: tuple = ()

    @property
    def depth(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Space:
    """The search space of one problem: a `StepTask` and the texts by which a policy sees it.

    Args:
        instruction: what the policy is asked (`solve` for step searches, any for whole responses).
    """

    task: Any
    problem: Any
    instruction: str = "solve"

    @property
    def root(self) -> Node:
        initial = getattr(self.task, "initial", None)  # a task without steps has only this node
        return Node(self.problem, initial(self.problem) if initial else None)

    @property
    def prompt(self) -> str:
        return self.task.prompt(self.problem, self.instruction)

    def prefix(self, node: Node) -> str:
        """The beginning of the response that a partial solution stands for; empty at the root."""
        if not node.steps:
            return ""
        end = " </think>" if self.complete(node) else " ;"
        return f"<think> {' ; '.join(step.text for step in node.steps)}{end}"

    def continuation(self, node: Node, step) -> str:
        """What the policy would write to take a step from a node."""
        end = "</think>" if self.complete(self.child(node, step)) else ";"
        return f"{'' if node.steps else '<think> '}{step.text} {end}"

    def steps(self, node: Node) -> list:
        return [] if self.task.is_solved(node.state) else self.task.legal_steps(node.state)

    def child(self, node: Node, step) -> Node:
        return Node(self.problem, self.task.apply(node.state, step), (*node.steps, step))

    def complete(self, node: Node) -> bool:
        """No step is left to take."""
        return not self.steps(node)

    def response(self, node: Node) -> str:
        """The whole response of a complete node: its steps, and the answer that they spell out."""
        answer = self.task.expression(self.problem, node.steps)
        return f"{self.prefix(node)} <answer> {answer} </answer>"

    def read(self, text: str) -> list[Node]:
        """The nodes that a response goes through, the root first, as far as its steps are legal."""
        nodes = [self.root]
        body = text.removeprefix("<think>").split("</think>")[0]
        for part in body.split(";"):
            try:
                step = self.task.parse_step(nodes[-1].state, part)
            except ValueError:
                break
            nodes.append(self.child(nodes[-1], step))
        return nodes
