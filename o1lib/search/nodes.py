"""The tree that a search builds, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from o1lib.model.policy import Response
from o1lib.search.budget import Cost
from o1lib.tasks.expression import attempted, extract_answer
from o1lib.tasks.space import Node

LONGEST_QUOTE = 200  # characters of an answer that a prompt repeats


@dataclass
class TreeNode:
    """A node of a search tree with its statistics.

    Args:
        node: what has been written.
        prior: P, the policy's probability of it, given its parent.
        label: what was added to its parent's text, for drawings.
        logprob: the policy's log-probability of what it has written itself, the mean over tokens
            (nats); None where it wrote nothing.
        visits, value_sum: N and W; the mean value Q of the simulations that went through it is W /
            N.
        value: what the guidance or the checker said.
    """

    node: Node
    prior: float = 1.0
    parent: TreeNode | None = field(default=None, repr=False)
    label: str = ""
    logprob: float | None = None
    children: list[TreeNode] | None = field(default=None, repr=False)
    visits: int = 0
    value_sum: float = 0.0
    value: float | None = None

    @property
    def mean(self) -> float:
        """Q, or zero where no simulation has been."""
        return self.value_sum / self.visits if self.visits else 0.0

    @property
    def path_prior(self) -> float:
        """The policy's probability of all steps from the root to here."""
        return self.prior if self.parent is None else self.prior * self.parent.path_prior

    def walk(self) -> Iterator[TreeNode]:
        """This node and all below it."""
        waiting = [self]
        while waiting:
            here = waiting.pop()
            yield here
            waiting += reversed(here.children or ())


@dataclass(frozen=True)
class Found:
    """What a strategy returns: its response (None when it has none), all candidates, its tree and
    its samples, if any.
    """

    response: str | None
    candidates: tuple[str, ...] = ()
    tree: TreeNode | None = None
    samples: tuple[Response, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """What a search found for one problem, and what it cost. `stopped` says that the budget ended
    it.
    """

    problem: Any
    response: str | None
    candidates: tuple[str, ...]
    tree: TreeNode | None
    cost: Cost
    stopped: bool
    samples: tuple[Response, ...] = field(default=(), repr=False)


def answer_of(response: str) -> str | None:
    """The answer of a response as plain text, or None where it has none."""
    try:
        return extract_answer(response)
    except ValueError:
        return None


def quoted(responses: Sequence[str]) -> str:
    """What a prompt says of earlier responses: their answers as attempts, each once; empty where
    none has an answer that can be quoted.
    """
    answers = dict.fromkeys(map(answer_of, responses))
    return "".join(f" ; {attempted(a)}" for a in answers if a and len(a) <= LONGEST_QUOTE)
