"""A search bug: a memory that forgets how deep it was."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import jugs_oracle


class _After:
    """What the jugs can hold after one step."""

    def __call__(self, capacities, amounts) -> list[tuple[int, ...]]:
        return [new for _, new in jugs_oracle.steps(tuple(capacities), tuple(amounts))]

    def __deepcopy__(self, memo) -> _After:
        return self

    def __str__(self) -> str:
        return "after"


after = _After()


class TooManyStates(Exception):
    """A search has looked at far more states than a search with a memory needs."""


def _reached(capacities) -> dict:
    """How many steps it takes from empty jugs to each state, breadth-first."""
    start = (0,) * len(capacities)
    depth, waiting = {start: 0}, deque([start])
    while waiting:
        here = waiting.popleft()
        for new in after(capacities, here):
            if new not in depth:
                depth[new] = depth[here] + 1
                waiting.append(new)
    return depth


def with_a_count(function: Callable, capacities, goal, limit, step: Callable):
    """What a search says, if it asks for the steps of no state more often than there are numbers of
    steps that can be left there.
    """
    depth, asked = _reached(capacities), Counter()

    def counted(jugs, amounts):
        asked[tuple(amounts)] += 1
        if asked[tuple(amounts)] > limit + 1 - depth.get(tuple(amounts), 0):
            raise TooManyStates(f"it looks at {amounts} again and again")
        return step(jugs, amounts)

    return function(capacities, goal, limit, counted)


def _breadth_first(capacities, goal, limit, step):
    return any(goal in state and depth <= limit for state, depth in _reached(capacities).items())


def _depth_first(
    skip: Callable = lambda seen, state, left: seen.get(state, -1) >= left,
    note: Callable = lambda seen, state, left: seen.__setitem__(state, left),
    forget: bool = False,
    extra: int = 0,
):
    """A way to write it: which state is skipped, what is noted of it, and whether that is forgotten
    on the way back.
    """

    def search(capacities, goal, limit, step):
        seen: dict = {}

        def below(amounts, left):
            if goal in amounts:
                return True
            if left <= 0 or skip(seen, amounts, left):
                return False
            note(seen, amounts, left)
            found = any([below(new, left - 1) for new in step(capacities, amounts)])
            if forget:
                seen.pop(amounts, None)
            return found

        return below((0,) * len(capacities), limit + extra)

    return search


def _early(capacities, goal, limit, step):
    """The suspect as it stands in the notebook, which stops at the first success."""
    seen = set()

    def below(amounts, left):
        if goal in amounts:
            return True
        if left == 0 or amounts in seen:
            return False
        seen.add(amounts)
        return any(below(new, left - 1) for new in step(capacities, amounts))

    return below((0,) * len(capacities), limit)


def _known(seen, state, left):
    return state in seen


mended_search = Exercise(
    "mended_search",
    (
        ([3, 5], 4, 6, after),
        ([3, 5], 4, 5, after),
        ([3, 5], 2, 2, after),
        ([4, 7], 2, 9, after),
        ([2, 4], 3, 8, after),
        ([3, 7, 9], 5, 4, after),
        ([5, 8, 13], 1, 7, after),
        ([5, 8, 13], 1, 5, after),
    ),
    _breadth_first,
    (
        Mistake(
            "unchanged",
            "a state is still skipped although more steps are left than when it was met before. "
            "Remember how many were left then, and skip it only if those were at least as many.",
            (
                _early,
                _depth_first(skip=_known),
                _depth_first(skip=lambda seen, state, left: seen.get(state, math.inf) <= left),
                _depth_first(skip=lambda seen, state, left: seen.get(state, math.inf) < left),
            ),
        ),
        Mistake(
            "no memory",
            "the answers may be right, but without a memory of all that was met, the search goes "
            "through the same states over and over: it takes exponential time.",
            (
                _depth_first(skip=lambda *_: False),
                _depth_first(skip=_known, forget=True),
                _depth_first(forget=True),
            ),
        ),
        Mistake(
            "the first number kept",
            "when a state is met with more steps left, the new number must be remembered; you "
            "keep the old one and look again every time.",
            (_depth_first(note=lambda seen, state, left: seen.setdefault(state, left)),),
        ),
        Mistake(
            "looked at again for nothing",
            "with *equally* many steps left as before nothing new can come of a state: skip it.",
            (_depth_first(skip=lambda seen, state, left: seen.get(state, -1) > left),),
        ),
        Mistake(
            "limit off by one",
            "your search takes one step too many, or one too few.",
            (_depth_first(extra=1), _depth_first(extra=-1)),
        ),
    ),
    "agrees with breadth-first search on eight puzzles, and asks about no state too often",
    with_a_count,
)
