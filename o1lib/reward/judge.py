"""Judges of chains: what says how likely each step is right, and what is made of it.

A *judge* is a function: chains -> for each of them one probability a step, the answer last. Three
kinds share this form. A scorer with a head (an ORM, a PRM) has read the chain and gives a number. A
language model that would itself write right steps gives the probability of what was written. And
one that works every step out again gives its verdict (a generative reward model: Zhang et al. 2024,
arXiv 2408.15240).

What a chain is worth follows from its steps by an *aggregation*; which of many answers is returned,
by the best chain or by a weighted vote (Lightman et al. 2023, arXiv 2305.20050, section 3 and
appendix F).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean

from o1lib.lab.statistics import doublings
from o1lib.model.policy import Policy
from o1lib.reward.steps import Chain
from o1lib.tasks.space import step_texts

Judge = Callable[[Sequence[Chain]], list[list[float]]]
Choose = Callable[[Sequence[Chain], Sequence[float]], Chain]


def once(judge: Judge) -> Judge:
    """The judge, asked about no chain twice: many samples are the same text."""

    def asked(chains: Sequence[Chain]) -> list[list[float]]:
        different = {(c.space.prompt, c.token_ids): c for c in chains}
        found = dict(zip(different, judge(list(different.values())), strict=True))
        return [found[c.space.prompt, c.token_ids] for c in chains]

    return asked


def by_head(head) -> Judge:
    """What a head says at the end of every step."""

    def judge(chains: Sequence[Chain]) -> list[list[float]]:
        scores = head.score([c.space.prompt for c in chains], [c.token_ids for c in chains])
        return [[row[end] for end in c.ends] for c, row in zip(chains, scores, strict=True)]

    return once(judge)


def by_likelihood(policy: Policy) -> Judge:
    """The probability with which a policy would have written each step itself, given what is
    written before it.

    Where every step has one right text, and the policy has learned right steps alone, this is its
    belief that the step is right: it has worked out what should come before it reads what does.
    """

    def judge(chains: Sequence[Chain]) -> list[list[float]]:
        prompts, responses = [c.space.prompt for c in chains], [list(c.token_ids) for c in chains]
        rows = [row.tolist() for row in policy.logprobs(prompts, responses)]
        return [
            [math.exp(sum(row[before + 1 : end + 1])) for before, end in pairwise((-1, *c.ends))]
            for c, row in zip(chains, rows, strict=True)
        ]

    return once(judge)


def by_truth(chains: Sequence[Chain]) -> list[list[float]]:
    """The truth: one for every step before the first slip, zero from there on. No judge of steps
    can do better, though an answer may be right in spite of a wrong step.
    """
    return [[float(end < c.slip) for end in c.ends] for c in chains]


# --- a judge that works the step out again


def claims(chain: Chain, blind: bool = False) -> list[tuple[str, str]]:
    """For every step of a chain the question that a judge is asked, `judge : compute STATE ;
    attempt STEP`, and the claim in it. The state is what the step before says is left; the last
    claim is the answer.

    Args:
        blind: ask with the left side of the step's equation alone. A judge that has read the claim
            is tempted to copy it.
    """
    state, found = chain.space.problem, []
    for text in [*step_texts(chain.text), str(chain.answer)]:
        claim = text.strip()
        shown = claim[: claim.find("=") + 1] if blind else claim
        found.append((f"{chain.space.task.prompt(state, 'judge')} ; attempt {shown}", claim))
        state = type(state)(claim.rpartition("left ")[2])
    return found[: len(chain.ends)]


def lessons(policy: Policy, chain: Chain, blind: bool = False) -> list[tuple[str, str, bool]]:
    """For every step with an exact label the question, the reply that a judge should give, and
    whether the step is right.

    The reply works the step out word by word. Where the claim is known its verdict is `no` as soon
    as a word differs, so that only one word at a time is compared; a blind one has no verdict.
    """
    ought = policy.decode(chain.mended)
    steps = [text.strip() for text in step_texts(ought)]
    if "<answer>" in ought:
        steps.append(ought.split("<answer> ")[1].split(" </answer>")[0])
    found = []
    for (question, claim), right, end in zip(
        claims(chain, blind), steps, chain.judged, strict=False
    ):
        ok, words = end < chain.slip, right.split()
        if not ok and not blind:
            same = [a == b for a, b in zip(words, claim.split(), strict=False)]
            words = words[: (*same, False).index(False) + 1]
        verdict = "" if blind else f" <answer> {'yes' if ok else 'no'} </answer>"
        found.append((question, f"<think> {' '.join(words)} </think>{verdict}", ok))
    return found


def by_verdict(policy: Policy, blind: bool = False, spent: Counter | None = None) -> Judge:
    """What a policy that was taught `lessons` says of each step, by itself and greedily: the
    probability of its reply where that says yes (a blind one: where it is the claim), else one
    minus that.

    Args:
        spent: counts the tokens that the judge writes (`tokens`), and the questions (`questions`).
    """

    def judge(chains: Sequence[Chain]) -> list[list[float]]:
        asked = [claims(c, blind) for c in chains]
        different = list(dict.fromkeys(question for row in asked for question, _ in row))
        groups = policy.sample(different, temperature=0.0, max_new_tokens=64)
        replies = {q: reply for q, [reply] in zip(different, groups, strict=True)}

        def probability(question: str, claim: str) -> float:
            text, sure = replies[question].text, math.exp(sum(replies[question].logprobs))
            yes = f"<think> {claim} </think>" if blind else "<answer> yes </answer>"
            return sure if yes in text else 1 - sure

        if spent is not None:
            spent["questions"] += len(different)
            spent["tokens"] += sum(len(reply.token_ids) for reply in replies.values())
        return [
            [probability(*pair) for pair in row] + [0.0] * (len(c.ends) - len(row))
            for c, row in zip(chains, asked, strict=True)
        ]

    return once(judge)


# --- aggregations: what a chain is worth, from the probabilities of its steps


def last(steps: Sequence[float]) -> float:
    return steps[-1]


def least(steps: Sequence[float]) -> float:
    return min(steps)


def product(steps: Sequence[float]) -> float:
    """The probability that all are right, as the sum of logarithms: a product of many small
    numbers would be zero, and equal.
    """
    return sum(math.log(max(p, 1e-12)) for p in steps)


AGGREGATIONS = {"last": last, "least": least, "product": product}


# --- choices among many chains


def best(chains: Sequence[Chain], values: Sequence[float]) -> Chain:
    """The chain that is worth most; the first of equals."""
    return chains[max(range(len(chains)), key=lambda i: values[i])]


def vote(chains: Sequence[Chain], weights: Sequence[float] | None = None) -> Chain:
    """The first chain with the answer that has most weight (that most chains give, without
    weights). What has no answer does not vote; ties go to the earlier.
    """
    votes: Counter = Counter()
    for chain, weight in zip(chains, weights or [1.0] * len(chains), strict=True):
        if chain.answer is not None:
            votes[chain.answer] += weight
    chosen = max(votes, key=votes.get, default=None)
    return next((c for c in chains if c.answer == chosen), chains[0])


def over_n(
    groups: Sequence[Sequence[Chain]], choose: Choose, numbers: Sequence[Sequence[float]]
) -> dict[int, float]:
    """How often the chain chosen of N is right, for N = 1, 2, 4, ... up to the fewest samples: the
    mean over all blocks of N that follow one another.

    Args:
        choose: (chains, numbers) -> one of the chains.
        numbers: of every group one number a chain.
    """
    found = {}
    for n in doublings(min(map(len, groups))):
        found[n] = fmean(
            choose(group[start : start + n], row[start : start + n]).right
            for group, row in zip(groups, numbers, strict=True)
            for start in range(0, len(group) - n + 1, n)
        )
    return found
