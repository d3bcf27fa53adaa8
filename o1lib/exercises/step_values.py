"""Exercises about what a step is worth: exactly, by going backward, and as counted in rollouts."""

from __future__ import annotations

import math
from collections.abc import Callable

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import Countdown

# --- values by going backward


def countdown_tree(numbers, target: int, slip: float = 0.0):
    """The tree of a policy that takes every legal step of a puzzle equally often, and with the
    chance `slip` does none of them: a number where an episode has ended, else pairs (chance, tree).
    """
    task = Countdown()

    def below(state):
        steps = task.legal_steps(state)
        if not steps:
            return float(task.is_solved(state))
        return [((1 - slip) / len(steps), below(task.apply(state, step))) for step in steps]

    return below(task.problem(numbers, target))


def _ends(tree, chance: float = 1.0):
    """Every end of an episode, as (its chance, what it pays)."""
    if not isinstance(tree, list):
        return [(chance, tree)]
    return [end for p, child in tree for end in _ends(child, chance * p)]


def _from_the_ends(tree):
    """The definition: a sum over all ends, without going backward."""

    def worth(part):
        return sum(chance * pay for chance, pay in _ends(part))

    q = [worth(child) for _, child in tree] if isinstance(tree, list) else []
    return worth(tree), q, [x - worth(tree) for x in q]


def _mean(pairs):
    return sum(p * v for p, v in pairs)


def _plain_mean(pairs):
    return sum(v for _, v in pairs) / len(pairs)


def _backward(
    combine: Callable = _mean,
    q: Callable = lambda p, v: v,
    advantage: Callable = lambda q, v: [x - v for x in q],
    first: Callable | None = None,
):
    """A way to write it: what becomes of the children's values, of Q, and of A. With `first`, the
    root's value is made from the children's in another way than theirs.
    """

    def value(tree):
        if not isinstance(tree, list):
            return tree
        return combine([(p, value(child)) for p, child in tree])

    def values(tree):
        if not isinstance(tree, list):
            return tree, [], []
        below = [(p, value(child)) for p, child in tree]
        v, action = (first or combine)(below), [q(p, x) for p, x in below]
        return v, action, advantage(action, v)

    return values


def _one_layer(tree):
    if not isinstance(tree, list):
        return tree, [], []
    q = [0.0 if isinstance(child, list) else child for _, child in tree]
    v = sum(p * x for (p, _), x in zip(tree, q, strict=True))
    return v, q, [x - v for x in q]


values = Exercise(
    "values",
    (
        ([(0.3, [(0.9, 1.0)]), (0.5, [(1.0, 0.0)])],),
        ([(0.5, 1.0), (0.25, 0.5), (0.25, -1.0)],),
        ([(0.25, [(0.5, 1.0), (0.5, 0.0)]), (0.75, [(0.8, 0.5), (0.1, [(0.7, 1.0)])])],),
        (1.0,),
    ),
    _from_the_ends,
    (
        Mistake(
            "the best instead of the mean",
            "you take the *best* of what may follow. That is the value of a perfect player; this "
            "policy also takes the other steps, each as often as its chance says.",
            (_backward(max_ := lambda pairs: max(v for _, v in pairs)), _backward(first=max_)),
        ),
        Mistake(
            "all steps alike",
            "you average over the steps as if all were equally likely. Weigh each by its chance.",
            (_backward(_plain_mean), _backward(first=_plain_mean)),
        ),
        Mistake(
            "slips left out",
            "you divide by the sum of the chances. Where they sum to less than one, the rest are "
            "slips, and a slip pays nothing: it counts as zero, and it does count.",
            (
                _backward(rest := lambda pairs: _mean(pairs) / sum(p for p, _ in pairs)),
                _backward(first=rest),
            ),
        ),
        Mistake(
            "one layer only",
            "you look one step ahead only. A step that does not end the episode is worth what "
            "comes after it, and so on: call `values` on the tree behind it.",
            (_one_layer,),
        ),
        Mistake(
            "Q with its chance",
            "your Q of a step holds the chance that the step is taken. Q says what the step is "
            "worth *once it has been taken*; its chance belongs into V.",
            (_backward(q=lambda p, v: p * v),),
        ),
        Mistake(
            "sign",
            "your advantage is V - Q. A step that is better than usual must get a positive one.",
            (_backward(advantage=lambda q, v: [v - x for x in q]),),
        ),
        Mistake(
            "compared with the other steps",
            "you compare a step with the plain mean of all steps, or with the best. Its advantage "
            "is over what the policy gets on average, V.",
            (
                _backward(advantage=lambda q, v: [x - sum(q) / len(q) for x in q]),
                _backward(advantage=lambda q, v: [x - max(q) for x in q]),
            ),
        ),
    ),
    "agrees with the sum over all ends of the episode, on three trees and on one that has ended",
)

# --- labels from rollouts


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
                lambda v, m: 0 if v == 1 else math.floor(math.log(m) / math.log(1 - v) - 1e-9),
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
            (lambda v, m: math.ceil((1 - v) / m) or 1, lambda v, m: math.ceil((1 - v) / m)),
        ),
    ),
    "finds the smallest number of rollouts, for six values",
)
