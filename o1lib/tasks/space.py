"""A step task as text: the search space of one problem.

What searches walk through, what process rewards judge, and what is enumerated for exact values. A
*node* is what has been written so far; where the task can read it, it also knows the state that the
text has led to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """The beginning of a response.

    Args:
        prefix: its text; empty at the root.
        state: the task's state after it; None where the text is none of the task's canonical steps.
        depth: how often it was extended.
        finished: nothing will follow; the response is whole.
        token_ids: the tokens of `prefix` where a policy sampled them, so that they need not be
            guessed from the text.
    """

    prefix: str = ""
    state: Any = None
    depth: int = 0
    finished: bool = False
    token_ids: tuple[int, ...] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Space:
    """The search space of one problem: a task and the texts by which a policy sees it.

    Args:
        instruction: what the policy is asked (`solve` for searches over a `StepTask`'s steps, any
            for whole responses).
    """

    task: Any
    problem: Any
    instruction: str = "solve"

    @property
    def root(self) -> Node:
        initial = getattr(self.task, "initial", None)  # a task without steps has no states
        return Node("", initial(self.problem) if initial else None)

    @property
    def prompt(self) -> str:
        return self.task.prompt(self.problem, self.instruction)

    def steps(self, node: Node) -> list:
        """The legal steps; none where the node is complete or its text left the task's steps."""
        if node.state is None or node.finished or self.task.is_solved(node.state):
            return []
        return self.task.legal_steps(node.state)

    def complete(self, node: Node) -> bool:
        """Whether no step is left to take."""
        return node.finished or (node.state is not None and not self.steps(node))

    def continuation(self, node: Node, step) -> str:
        """What the policy would write to take a step: its one canonical text, and what ends or
        parts it.
        """
        after = Node(state=self.task.apply(node.state, step))
        opening, closing = "" if node.prefix else "<think> ", self.complete(after)
        return f"{opening}{step.text} {'</think>' if closing else ';'}"

    def child(self, node: Node, step) -> Node:
        """The node after a legal step."""
        text = _joined(node.prefix, self.continuation(node, step))
        return Node(text, self.task.apply(node.state, step), node.depth + 1)

    def extend(
        self,
        node: Node,
        text: str,
        token_ids: tuple[int, ...] | None = None,
        finished: bool = False,
    ) -> Node:
        """The node after more has been written: `text` is the whole text then, `token_ids` are its
        tokens. Its state follows where the whole is canonical.
        """
        read = self.read(text)[-1]
        state = read.state if read.prefix == text.split(" <answer>")[0] else None
        return Node(text, state, node.depth + 1, finished, token_ids)

    def taken(self, node: Node) -> tuple:
        """The steps that led to a node of canonical text."""
        steps, state = [], self.task.initial(self.problem)
        for text in step_texts(node.prefix):
            steps.append(self.task.parse_step(state, text))
            state = self.task.apply(state, steps[-1])
        return tuple(steps)

    def response(self, node: Node) -> str:
        """The response of a node: what is written, and after the last of canonical steps the answer
        that they spell out.
        """
        if node.finished or node.state is None or not self.complete(node):
            return node.prefix
        answer = self.task.answer(self.problem, self.taken(node))
        return _joined(node.prefix, f"<answer> {answer} </answer>")

    def read(self, text: str) -> list[Node]:
        """The nodes that a response goes through, the root first, as far as its steps are legal."""
        nodes = [self.root]
        if nodes[0].state is None:
            return nodes
        for part in step_texts(text):
            try:
                step = self.task.parse_step(nodes[-1].state, part)
            except ValueError:
                break
            nodes.append(self.child(nodes[-1], step))
        return nodes


def _joined(before: str, after: str) -> str:
    return f"{before} {after}" if before and after else before + after


def step_texts(text: str) -> list[str]:
    """The texts of the steps of a response, right or wrong."""
    body = text.removeprefix("<think>").split("</think>")[0]
    return [part for part in body.split(";") if part.strip()]
