"""Exercises about labels that are counted: what rollouts say of a step, and how many it takes."""

from __future__ import annotations

import math
from collections.abc import Callable

from o1lib.exercises.check import Exercise, Mistake


def _by_counting(rollouts, right):
    found = []
    for outcomes in rollouts:
        wins = outcomes.count(1)
        found.append((wins / len(outcomes), 1 if wins else 0))
    return [*found, (1 if right else 0,) * 2]


def _labels(
    soft: Callable = lambda some, right: sum(some) / len(some),
    hard: Callable = lambda some: int(any(some)),
    last: Callable | None = lambda right: (right, right),
    order: int = 1,
):
    def labels(rollouts, right):
        found = [(soft(some, right), hard(some)) for some in rollouts]
        return [pair[::order] for pair in [*found, *([last(right)] if last else [])]]

    return labels


step_labels = Exercise(
    "step_labels",
    (
        ([[1, 0, 0, 1], [0, 0, 0, 1]], 1),
        ([[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], 0),
        ([[1, 1, 0, 1, 1, 0, 1, 0]], 0),
        ([], 1),
    ),
    _by_counting,
    (
        Mistake(
            "majority",
            "your hard label asks whether *most* rollouts are right. It is 1 as soon as one of "
            "them is: the goal can then be reached from here.",
            (
                _labels(hard=lambda some: int(2 * sum(some) >= len(some))),
                _labels(hard=lambda some: int(2 * sum(some) > len(some))),
            ),
        ),
        Mistake(
            "all instead of any",
            "your hard label wants *every* rollout to be right. One is enough.",
            (_labels(hard=lambda some: int(all(some))),),
        ),
        Mistake(
            "the response itself",
            "you count the response itself among the rollouts. The rule takes the fresh ones only: "
            "if the response was picked *because* it is right, its own outcome would make every "
            "label too high.",
            (_labels(soft=lambda some, right: (sum(some) + right) / (len(some) + 1)),),
        ),
        Mistake(
            "divided by n + 1",
            "you divide by one more than there are rollouts, so that every label is too low.",
            (
                _labels(soft=lambda some, right: sum(some) / (len(some) + 1)),
                _labels(soft=lambda some, right: (sum(some) + 1) / (len(some) + 2)),
            ),
        ),
        Mistake(
            "the last step missing",
            "the last step has no label. Nothing is left to roll out behind it, and nothing needs "
            "to be: its label is whether the response is right.",
            (_labels(last=None),),
        ),
        Mistake(
            "the last step is always right",
            "the last step does not get the outcome of the response as its label.",
            (
                _labels(last=lambda right: (1, 1)),
                _labels(last=lambda right: (0, 0)),
                _labels(last=lambda right: (0.5, 1)),
            ),
        ),
        Mistake(
            "one label for all",
            "every step gets the outcome of the whole response. That is an outcome reward, spread "
            "over the steps.",
            (lambda rollouts, right: [(right, right)] * (len(rollouts) + 1),),
        ),
        Mistake(
            "swapped",
            "the labels are right, but in the other order: soft first, then hard.",
            (_labels(order=-1),),
        ),
    ),
    "gives the labels that the rollouts say, on four responses",
)


def _trying(value, miss):
    """The first of 1, 2, 3, ... for which all rollouts together fail rarely enough."""
    return next(n for n in range(1, 10_000) if math.prod([1 - value] * n) <= miss)


def _smallest(enough: Callable):
    return lambda value, miss: next((n for n in range(10_000) if enough(value, miss, n)), None)


rollouts_needed = Exercise(
    "rollouts_needed",
    ((0.5, 0.25), (0.3, 0.05), (0.1, 0.01), (0.9, 0.05), (1.0, 0.01), (0.02, 0.05)),
    _trying,
    (
        Mistake(
            "right instead of wrong",
            "you ask when *all* rollouts are right. The label is missed when all are wrong, and "
            "one is wrong with the chance 1 - value.",
            (_smallest(lambda v, m, n: n > 0 and (v**n <= m or (v == 1 and n == 1))),),
        ),
        Mistake(
            "one too few",
            "your n is one too small: with it the label is still missed too often. Round up.",
            (
                _smallest(lambda v, m, n: (1 - v) ** (n + 1) <= m),
                lambda v, m: 1 if v == 1 else math.floor(math.log(m) / math.log(1 - v) - 1e-9),
            ),
        ),
        Mistake(
            "one too many",
            "a smaller n is enough. `at most` allows the chance to be exactly `miss`.",
            (
                _smallest(lambda v, m, n: n > 0 and (1 - v) ** n < m),
                _smallest(lambda v, m, n: n > 0 and (1 - v) ** (n - 1) <= m),
            ),
        ),
        Mistake(
            "the mean number of tries",
            "1 / value is how many rollouts it takes *on average* until one is right; that often, "
            "all of them are wrong more often than you allow.",
            (lambda v, m: math.ceil(1 / v), lambda v, m: 1 / v),
        ),
        Mistake(
            "not multiplied",
            "the chance that all n are wrong is a product of n factors, not one of them divided by "
            "n.",
            (lambda v, m: math.ceil((1 - v) / m),),
        ),
        Mistake(
            "logarithm of zero",
            "your formula is right but for a value of 1, where it takes the logarithm of 0. There "
            "one rollout is enough.",
            (
                lambda v, m: math.ceil(math.log(m) / math.log(1 - v)),
                lambda v, m: math.ceil(math.log(m, 1 - v)),
            ),
        ),
    ),
    "finds the smallest number of rollouts, for six values",
)
