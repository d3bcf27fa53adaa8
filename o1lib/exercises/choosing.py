"""Exercises about who chooses: a weighted vote, and the best of k by a judge, without bias."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from statistics import fmean

from o1lib.exercises.check import Exercise, Mistake

# --- a vote


def _by_sorting(answers, weights):
    """The answers by their weight and then by their place, without a table of votes."""
    said = [answer for answer in dict.fromkeys(answers) if answer is not None]
    pairs = list(zip(answers, weights, strict=True))
    said.sort(key=lambda answer: -math.fsum(w for a, w in pairs if a == answer))
    return said[0] if said else None


def _vote(worth: Callable = math.fsum, empty: bool = False, later: bool = False):
    """A way to vote: what an answer is worth from its weights, and who wins a tie."""

    def vote(answers, weights):
        heard: dict = {}
        for answer, weight in zip(answers, weights, strict=True):
            if empty or answer is not None:
                heard.setdefault(answer, []).append(weight)
        order = list(heard)[::-1] if later else heard
        return max(order, key=lambda answer: worth(heard[answer]), default=None)

    return vote


weighted_vote = Exercise(
    "weighted_vote",
    (
        (["26", "24", "24"], [0.9, 0.2, 0.3]),
        (["7", "8", "8", "7", "8"], [0.6, 0.25, 0.25, 0.1, 0.25]),
        ([None, None, "5", "6"], [0.9, 0.9, 0.25, 0.25]),
        (["3", "4", "3"], [0.5, 0.45, 0.05]),
        ([None, None], [0.5, 0.5]),
    ),
    _by_sorting,
    (
        Mistake(
            "weights ignored",
            "you count heads. Each answer votes with its weight.",
            (_vote(len), _vote(len, later=True)),
        ),
        Mistake(
            "the single heaviest",
            "you take the answer with the greatest single weight. That is best-of-n; in a vote the "
            "weights of equal answers add up.",
            (_vote(max), _vote(max, later=True)),
        ),
        Mistake(
            "the mean weight",
            "you compare mean weights, so that it no longer helps an answer to be given often.",
            (_vote(fmean), _vote(fmean, later=True)),
        ),
        Mistake(
            "no answer votes",
            "responses without an answer vote for None, and win. They do not vote.",
            (_vote(empty=True), _vote(empty=True, later=True)),
        ),
        Mistake(
            "ties to the later",
            "in a tie the answer that came first wins; yours is the later one.",
            (_vote(later=True),),
        ),
    ),
    "agrees with adding up by hand on five ballots (with a tie, and with nobody who votes)",
)

# --- the best of k


def _all_draws(scores, right, k):
    """The definition: the mean over all ways to draw k of the samples."""
    draws = list(combinations(range(len(scores)), k))
    return fmean(float(right[max(draw, key=lambda i: scores[i])]) for draw in draws)


def _ranked(chance: Callable, best_first: bool = False):
    """Sort by score; the one of rank i (0 is the lowest) wins with `chance(i, n, k)`."""

    def best(scores, right, k):
        order = sorted(range(len(scores)), key=lambda i: scores[i], reverse=best_first)
        return sum(chance(i, len(scores), k) * right[at] for i, at in enumerate(order))

    return best


def _exactly(i, n, k):
    return math.comb(i, k - 1) / math.comb(n, k)


def _pass_at_k(scores, right, k):
    return 1 - math.comb(len(right) - sum(right), k) / math.comb(len(right), k)


def _first_k(scores, right, k):
    return float(right[max(range(k), key=lambda i: scores[i])])


def _blocks(scores, right, k):
    starts = range(0, len(scores) - k + 1, k)
    return fmean(float(right[max(range(s, s + k), key=lambda i: scores[i])]) for s in starts)


best_of_k = Exercise(
    "best_of_k",
    (
        ([0.2, 0.9, 0.4, 0.7], [True, False, True, False], 2),
        ([0.1, 0.8, 0.3, 0.5, 0.9, 0.2], [False, True, False, True, False, True], 3),
        ([0.1, 0.8, 0.3, 0.5, 0.9, 0.2], [False, True, False, True, False, True], 1),
        ([0.6, 0.3, 0.5, 0.2], [False, True, True, False], 4),
        ([3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0], [1, 0, 1, 1, 0, 0, 1, 0], 5),
    ),
    _all_draws,
    (
        Mistake(
            "drawn with replacement",
            "you draw as if the same sample could come twice, which is the plug-in estimate: it is "
            "biased, and most where k is close to n. Count the draws of k *different* samples.",
            (_ranked(lambda i, n, k: ((i + 1) / n) ** k - (i / n) ** k),),
        ),
        Mistake(
            "pass@k",
            "this is pass@k: is *any* of the k right? Here the judge must pick the right one.",
            (_pass_at_k, lambda s, right, k: 1 - (1 - sum(right) / len(right)) ** k),
        ),
        Mistake(
            "one draw",
            "you look at one draw, or at a few, and forget the others: the first k samples are as "
            "good as any other k. That is right on average, and needlessly noisy.",
            (_first_k, _blocks),
        ),
        Mistake(
            "the best of all",
            "you let the judge choose among all n samples, whatever k is.",
            (_ranked(lambda i, n, k: i == n - 1),),
        ),
        Mistake(
            "no judge",
            "the scores play no part: this is how often a sample chosen at random is right.",
            (_ranked(lambda i, n, k: 1 / n),),
        ),
        Mistake(
            "the lowest score wins",
            "you sorted the other way round: the sample that the judge likes *least* wins.",
            (_ranked(_exactly, best_first=True),),
        ),
        Mistake(
            "off by one",
            "the sample itself is one of the k, so only k - 1 others are drawn from those below "
            "it.",
            (
                _ranked(lambda i, n, k: math.comb(i, k) / math.comb(n, k)),
                _ranked(lambda i, n, k: math.comb(i + 1, k - 1) / math.comb(n, k)),
                _ranked(lambda i, n, k: math.comb(i + 1, k) / math.comb(n, k)),
            ),
        ),
        Mistake(
            "not divided",
            "you count draws. A chance is their number divided by the number of all draws.",
            (_ranked(lambda i, n, k: math.comb(i, k - 1)),),
        ),
    ),
    "agrees with going through all draws of k samples, in five cases",
)


def judge_with_a_soft_spot(rng, n: int) -> tuple[list[float], list[bool]]:
    """n samples as (scores, right): four of ten are right, and right ones get higher scores; but
    one in fifty is wrong in a way that the judge likes best of all.
    """
    kinds = Counter(right=40, wrong=58, flatterer=2)
    drawn = rng.choices(list(kinds), list(kinds.values()), k=n)
    middle = {"right": 1.0, "wrong": 0.0, "flatterer": 5.0}
    return [rng.gauss(middle[kind], 0.7) for kind in drawn], [kind == "right" for kind in drawn]
