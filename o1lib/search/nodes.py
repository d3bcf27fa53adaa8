"""The tree that a search builds, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from o1lib.model.policy import Response
from o1lib.model.requests import Prefix
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

    @property
    def path(self) -> tuple[TreeNode, ...]:
        """The nodes from the root to here."""
        found = [self]
        while found[-1].parent is not None:
            found.append(found[-1].parent)
        return tuple(reversed(found))

    def walk(self) -> Iterator[TreeNode]:
        """This node and all below it."""
        waiting = [self]
        while waiting:
            here = waiting.pop()
            yield here
            waiting += reversed(here.children or ())


def written(here: TreeNode) -> Prefix:
    """What a node has written: its tokens where a policy sampled them, else its text."""
    return here.node.prefix if here.node.token_ids is None else here.node.token_ids


@dataclass(frozen=True)
class Visit:
    """What one simulation or expansion did to the tree.

    Args:
        path: the nodes that were visited once more, each the parent of the next. The last one was
            evaluated (a simulation) or opened (an expansion).
        value: what was added to the sums of all of them; None where nothing was.
    """

    path: tuple[TreeNode, ...]
    value: float | None = None


def replay(trace: Sequence[Visit]) -> dict[int, tuple[int, float]]:
    """The statistics (visits N, value sum W) that visits leave behind, by the `id` of the node;
    after all of a search's visits they are those in its tree.
    """
    found: dict[int, tuple[int, float]] = {}
    for visit in trace:
        for node in visit.path:
            count, total = found.get(id(node), (0, 0.0))
            found[id(node)] = count + 1, total + (visit.value or 0.0)
    return found


@dataclass(frozen=True)
class Found:
    """What a strategy returns: its response (None when it has none), all candidates, its tree, its
    samples and the trace of how the tree grew, if any.
    """

    response: str | None
    candidates: tuple[str, ...] = ()
    tree: TreeNode | None = None
    samples: tuple[Response, ...] = ()
    trace: tuple[Visit, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SearchResult:
    """What a search found for one problem, and what it cost. `stopped` says that the budget ended
    it; `trace` are the visits that grew its tree, in order.
    """

    problem: Any
    response: str | None
    candidates: tuple[str, ...]
    tree: TreeNode | None
    cost: Cost
    stopped: bool
    samples: tuple[Response, ...] = field(default=(), repr=False)
    trace: tuple[Visit, ...] = field(default=(), repr=False)


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
