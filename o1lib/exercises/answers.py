"""Exercises about answers: is one right, and how likely is a right one among several?"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations
from statistics import fmean

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import Countdown

# --- the checker

# (numbers used, value, numbers given, target) of an expression, and the expression itself.
_ANSWERS = {
    "( 4 + 8 ) * ( 8 - 6 )": ([4, 8, 8, 6], 24, [4, 6, 8, 8], 24),
    "4 * 6": ([4, 6], 24, [4, 6, 8, 8], 24),
    "4 * ( 6 + 8 - 8 ) + 8 - 8": ([4, 6, 8, 8, 8, 8], 24, [4, 6, 8, 8], 24),
    "4 * 6 + 8 - 8": ([4, 6, 8, 8], 24, [4, 6, 8, 8], 24),
    "4 * 6 * 8 / 8 / 4 * 4": ([4, 6, 8, 8, 4, 4], 24, [4, 6, 8, 8], 24),
    "4 + 6 + 8 + 8": ([4, 6, 8, 8], 26, [4, 6, 8, 8], 24),
    "8 / ( 3 - 8 / 3 )": ([8, 3, 8, 3], 24, [3, 3, 8, 8], 24),
    "8 * 3": ([8, 3], 24, [3, 3, 8, 8], 24),
    "8 + 8 + 8": ([8, 8, 8], 24, [8, 8], 24),
    "( 7 * 7 ) / 2 * 1": ([7, 7, 2, 1], Fraction(49, 2), [1, 2, 7, 7], 24),
    "25 - 1": ([25, 1], 24, [4, 6, 8, 8], 24),
}


def _verified(used, value, numbers, target) -> bool:
    """The verdict of the course's verifier on the expression itself."""
    [text] = [t for t, case in _ANSWERS.items() if case == (used, value, numbers, target)]
    return Countdown().verify_answer(Countdown().problem(numbers, target), text).correct


is_right = Exercise(
    "is_right",
    tuple(_ANSWERS.values()),
    _verified,
    (
        Mistake(
            "only the value",
            "you look at the value but not at the numbers, so `4 * 6` passes although two eights "
            "were never used.",
            (lambda used, value, numbers, target: value == target,),
        ),
        Mistake(
            "only the numbers",
            "you look at the numbers but not at the value.",
            (lambda used, value, numbers, target: sorted(used) == sorted(numbers),),
        ),
        Mistake(
            "sets instead of multisets",
            "a set forgets how often a number occurs: two eights become one. Compare sorted lists "
            "or `Counter`s.",
            (lambda used, value, numbers, target: set(used) == set(numbers) and value == target,),
        ),
        Mistake(
            "the lenient checker",
            "you only ask whether every number used was given, as a set. This is the published bug "
            "of section 8: a number may be left out or used twice.",
            (lambda used, value, numbers, target: set(used) <= set(numbers) and value == target,),
        ),
        Mistake(
            "numbers left over",
            "you accept answers that leave numbers out; every number must be used.",
            (
                lambda used, value, numbers, target: (
                    Counter(used) <= Counter(numbers) and value == target
                ),
            ),
        ),
        Mistake(
            "numbers used too often",
            "you accept answers that use a number more often than it was given.",
            (
                lambda used, value, numbers, target: (
                    Counter(numbers) <= Counter(used) and value == target
                ),
            ),
        ),
        Mistake(
            "order matters",
            "you compare the two lists in order, but an answer may use the numbers in any order.",
            (lambda used, value, numbers, target: used == numbers and value == target,),
        ),
        Mistake(
            "rounded value",
            "you round the value: 49/2 is not 24, however close. Compare it as it is.",
            (
                lambda used, value, numbers, target: (
                    sorted(used) == sorted(numbers) and int(value) == target
                ),
                lambda used, value, numbers, target: (
                    sorted(used) == sorted(numbers) and round(value) == target
                ),
            ),
        ),
    ),
    f"agrees with the course's verifier on {len(_ANSWERS)} answers, right ones and tricky ones",
)

# --- pass@k


def _by_counting(n, correct, k):
    """All ways to draw k of n samples, of which the first `correct` are right."""
    draws = list(combinations(range(n), k))
    return sum(min(draw) < correct for draw in draws) / len(draws)


def _factorials(n, correct, k):
    f = math.factorial
    return 1 - f(n - correct) * f(n - k) / (f(n - correct - k) * f(n))


pass_at_k = Exercise(
    "pass_at_k",
    ((4, 2, 1), (4, 2, 2), (4, 2, 3), (12, 1, 6), (5, 0, 3), (6, 6, 2), (10, 3, 4), (9, 7, 5)),
    _by_counting,
    (
        Mistake(
            "plug-in",
            "you draw with replacement: 1 - (1 - c/n)^k may look at one sample twice, so it is too "
            "low. Count the draws of k *different* samples that hold no right one.",
            (lambda n, correct, k: 1 - (1 - correct / n) ** k,),
        ),
        Mistake(
            "the chance to miss",
            "you computed the chance that all k samples are wrong. The answer is 1 minus that.",
            (lambda n, correct, k: math.comb(n - correct, k) / math.comb(n, k),),
        ),
        Mistake(
            "all of them",
            "you computed the chance that *all* k samples are right; one is enough.",
            (
                lambda n, correct, k: math.comb(correct, k) / math.comb(n, k),
                lambda n, correct, k: (correct / n) ** k,
            ),
        ),
        Mistake(
            "fewer than k wrong ones",
            "when fewer than k samples are wrong, any k of them hold a right one: the answer is 1. "
            "Your formula leaves its range there.",
            (_factorials,),
        ),
        Mistake(
            "k times pass@1",
            "k tries are not k times as good: that sum counts draws with two right samples twice.",
            (
                lambda n, correct, k: min(1.0, k * correct / n),
                lambda n, correct, k: k * correct / n,
            ),
        ),
        Mistake(
            "pass@1",
            "you never use k.",
            (lambda n, correct, k: correct / n,),
        ),
    ),
    "equals counting all the ways to draw k of n samples, on eight inputs",
)

# --- pass@k of a set of puzzles


def _each(estimate):
    """The mean over the puzzles of an estimate for one."""
    return lambda counts, n, k: fmean(estimate(c, n, k) for c in counts)


def _pooled(counts, n, k):
    right, samples = sum(counts), n * len(counts)
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


mean_pass_at_k = Exercise(
    "mean_pass_at_k",
    (
        ([2], 4, 1),
        ([2], 4, 3),
        ([2, 0, 4], 4, 2),
        ([0, 0, 8, 8], 8, 4),
        ([1, 5, 3, 0, 9], 10, 5),
        ([1, 2, 3], 9, 9),
    ),
    _each(lambda c, n, k: _by_counting(n, c, k)),
    (
        Mistake(
            "plug-in",
            "you draw with replacement: 1 - (1 - c/n)^k may look at one sample twice, so it is too "
            "low. Count the draws of k *different* samples that hold no right one.",
            (_each(lambda c, n, k: 1 - (1 - c / n) ** k),),
        ),
        Mistake(
            "pooled",
            "you throw the samples of all puzzles together. Then easy puzzles lend their luck to "
            "those that are never solved: take pass@k of each puzzle, and the mean at the end.",
            (_pooled, lambda counts, n, k: 1 - (1 - fmean(counts) / n) ** k),
        ),
        Mistake(
            "the chance to miss",
            "you computed the chance that all k samples are wrong. The answer is 1 minus that.",
            (_each(lambda c, n, k: math.comb(n - c, k) / math.comb(n, k)),),
        ),
        Mistake(
            "all of them",
            "you computed the chance that *all* k samples are right; one is enough.",
            (
                _each(lambda c, n, k: math.comb(c, k) / math.comb(n, k)),
                _each(lambda c, n, k: (c / n) ** k),
            ),
        ),
        Mistake(
            "fewer than k wrong ones",
            "when fewer than k samples are wrong, any k of them hold a right one: the answer is 1. "
            "Your formula leaves its range there.",
            (_each(lambda c, n, k: _factorials(n, c, k)),),
        ),
        Mistake(
            "solved at all",
            "you count the puzzles with any right sample among all n. That is pass@n; draw only k.",
            (_each(lambda c, n, k: float(c > 0)),),
        ),
        Mistake(
            "pass@1",
            "you never use k.",
            (_each(lambda c, n, k: c / n),),
        ),
        Mistake(
            "k times pass@1",
            "k tries are not k times as good: that sum counts draws with two right samples twice.",
            (_each(lambda c, n, k: k * c / n), _each(lambda c, n, k: min(1.0, k * c / n))),
        ),
        Mistake(
            "sum instead of mean",
            "you add the puzzles up; divide by their number.",
            (lambda counts, n, k: sum(_by_counting(n, c, k) for c in counts),),
        ),
        Mistake(
            "one puzzle",
            "you give back one number a puzzle; the mean of them is asked for.",
            (lambda counts, n, k: [_by_counting(n, c, k) for c in counts],),
        ),
    ),
    "equals counting all the ways to draw k of n samples of each puzzle, on six sets of puzzles",
)
