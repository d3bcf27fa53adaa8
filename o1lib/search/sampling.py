"""Whole responses: one greedy, several sampled, the most frequent answer, the best of n. Sampling is not yet search: what
makes it one is that something chooses.

Used in notebook 03, section 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from o1lib.model.policy import Response
from o1lib.search.core import Check, Found, OutOfBudget, Sample, Strategy
from o1lib.tasks.expression import extract_answer
from o1lib.tasks.space import Space


def mean_logprob(response: Response) -> tuple[bool, float]:
    """How sure the policy was: finished responses first, then by mean log-probability per token."""
    return response.finished, sum(response.logprobs) / max(1, len(response.logprobs))


def answer_of(text: str) -> str | None:
    """The answer of a response as plain text, or None where it has none."""
    try:
        return extract_answer(text)
    except ValueError:
        return None


def greedy(max_new_tokens: int = 512) -> Strategy:
    """One response, always the most probable token."""

    def strategy(space: Space):
        [response] = yield Sample(space.root, 1, 0.0, max_new_tokens)
        return Found(response.text, (response.text,), samples=(response,))

    return strategy


def _draw(space: Space, n: int, temperature: float, max_new_tokens: int):
    """Up to `n` samples, as many as the budget pays for."""
    drawn: list[Response] = []
    try:
        while len(drawn) < n:
            drawn += yield Sample(space.root, n - len(drawn), temperature, max_new_tokens)
    except OutOfBudget:
        pass
    return drawn


def _found(chosen: Response | None, drawn: list[Response]) -> Found:
    texts = tuple(r.text for r in drawn)
    return Found(chosen and chosen.text, texts, samples=tuple(drawn))


def sample(n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512) -> Strategy:
    """`n` samples of which none is preferred: the first stands for all."""

    def strategy(space: Space):
        drawn = yield from _draw(space, n, temperature, max_new_tokens)
        return _found(drawn[0] if drawn else None, drawn)

    return strategy


def majority(
    n: int = 16,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    key: Callable[[str], object] = str,
) -> Strategy:
    """Self-consistency: the answer that most samples give (responses without an answer do not vote; ties go to the earlier).

    Args:
        key: answers with the same key are one answer.

    Source: Wang et al. (2022), arXiv 2203.11171.
    """

    def strategy(space: Space):
        drawn = yield from _draw(space, n, temperature, max_new_tokens)
        answers = [answer_of(r.text) for r in drawn]
        votes = Counter(key(a) for a in answers if a is not None)
        if not votes:
            return _found(drawn[0] if drawn else None, drawn)
        winner = votes.most_common(1)[0][0]
        best = next(i for i, a in enumerate(answers) if a is not None and key(a) == winner)
        return _found(drawn[best], drawn)

    return strategy


def best_of_n(
    n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512, select: str = "model"
) -> Strategy:
    """`n` samples, one chosen.

    Args:
        select: `model` (the policy's own mean log-probability) or `checker` (the first right one: an upper
            bound, pass@n).
    """
    if select not in ("model", "checker"):
        raise ValueError(f"unknown select {select!r}; choose from model, checker")

    def strategy(space: Space):
        drawn = yield from _draw(space, n, temperature, max_new_tokens)
        chosen = max(drawn, key=mean_logprob, default=None)
        if select == "checker":
            try:
                for response in drawn:
                    if (yield Check(response.text)):
                        chosen = response
                        break
            except OutOfBudget:
                pass
        return _found(chosen, drawn)

    return strategy
