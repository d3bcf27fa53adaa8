"""Choice: which of several complete solutions to return. Called with `(space, candidates)`, a
choice returns one of them, or None where there is none. Who chooses belongs in every table: a
checker is stronger than what a model can do alone.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence

from o1lib.search.budget import OutOfBudget
from o1lib.search.nodes import TreeNode, answer_of
from o1lib.search.parts import Part, part
from o1lib.search.requests import Check
from o1lib.tasks.space import Space


def sureness(candidate: TreeNode) -> tuple[bool, float]:
    """How sure the policy is of what it wrote: finished responses first, then by mean
    log-probability a token, under the distribution that was sampled from (above or below
    temperature 1 the tempered one).
    """
    return candidate.node.finished, candidate.logprob or 0.0


@part
def by_logprob(space: Space, candidates: Sequence[TreeNode]):
    """The one that the policy itself finds likeliest, by its mean log-probability a token."""
    return max(candidates, key=sureness, default=None)
    yield  # a generator that asks for nothing


@part
def by_value(space: Space, candidates: Sequence[TreeNode]):
    """The one that the guidance values most; between equals the policy's likeliest."""

    def worth(candidate: TreeNode) -> tuple[float, float]:
        value = float("-inf") if candidate.value is None else candidate.value
        return value, candidate.path_prior

    return max(candidates, key=worth, default=None)
    yield  # a generator that asks for nothing


@part
def by_vote(
    space: Space,
    candidates: Sequence[TreeNode],
    key: Callable[[str], object] = str,
    weight: Part | None = None,
):
    """Self-consistency: the answer that most candidates give, or that has most weight (what has no
    answer does not vote; ties go to the earlier). Returns the first candidate with that answer.

    Args:
        key: answers with the same key are one answer.
        weight: a guidance whose values are the weights of the votes; where the budget does not
            cover it, all votes weigh alike.

    Source: Wang et al. (2022), arXiv 2203.11171; weighted by a verifier: Li et al. (2022), arXiv
        2206.02336.
    """
    weights = [1.0] * len(candidates)
    if weight and candidates:
        with contextlib.suppress(OutOfBudget):
            weights = yield from weight(space, candidates)
    votes: Counter = Counter()
    first: dict = {}
    for candidate, weight_ in zip(candidates, weights, strict=True):
        answer = answer_of(space.response(candidate.node))
        if answer is not None:
            votes[key(answer)] += weight_
            first.setdefault(key(answer), candidate)
    if not votes:
        return candidates[0] if candidates else None
    return first[max(votes, key=votes.get)]


@part
def by_checker(
    space: Space,
    candidates: Sequence[TreeNode],
    most: int | None = None,
    before: Callable[[TreeNode], object] = sureness,
):
    """The first right one, asking about the surest first and about no answer twice; else the
    surest.

    Args:
        most: checker calls at most; None: until one is right.
        before: the key by which candidates are ordered, largest first.
    """
    ordered = sorted(candidates, key=before, reverse=True)
    asked: set[str | None] = {None}  # what has no answer is not asked about
    try:
        for candidate in ordered:
            response = space.response(candidate.node)
            answer = answer_of(response)
            if answer in asked or (most is not None and len(asked) > most):
                continue
            asked.add(answer)
            if (yield Check(response)):
                return candidate
    except OutOfBudget:
        pass
    return ordered[0] if ordered else None
