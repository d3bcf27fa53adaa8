"""The exercise about what a step is worth, exactly: values, by going backward."""

from __future__ import annotations

from collections.abc import Callable

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import Countdown


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
