"""The exercise about the cheapest way: A*."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import jugs_oracle


class _Looked(dict):
    """A map that remembers from which places somebody wanted to go on."""

    def __init__(self, ways: dict):
        super().__init__(ways)
        self.places: set = set()

    def __getitem__(self, place):
        self.places.add(place)
        return super().__getitem__(place)

    def get(self, place, default=None):
        self.places.add(place)
        return super().get(place, default)


def _costs(ways, start) -> dict:
    """The least cost from the start to every place (Bellman-Ford)."""
    found = {place: math.inf for place in ways} | {start: 0}
    for _ in ways:
        for place, after in ways.items():
            for other, cost in after.items():
                found[other] = min(found[other], found[place] + cost)
    return found


def cost_and_detours(function: Callable, ways, h, start, goals):
    """[the cost, the places looked at although f is beyond the least cost]; what is no number is
    given back as it is.
    """
    looked = _Looked(ways)
    found = function(looked, h, start, goals)
    if not isinstance(found, int | float):
        return found
    known = _costs(ways, start)
    least = min(known[goal] for goal in goals)
    return [found, sorted(p for p in looked.places if known[p] + h[p] > least)]


def _least(ways, h, start, goals):
    known = _costs(ways, start)
    return [min(known[goal] for goal in goals), []]


def _best_first(
    f: Callable = lambda g, h: g + h,
    cost: Callable = lambda cost: cost,
    on_push: bool = False,
    closed: str = "",
    carried: bool = False,
    none: Callable = lambda: math.inf,
):
    """A way to write it: the order, what a way costs, when the goal is noticed, and what is closed
    for good (`push`: what was seen; `pop`: what was taken up).
    """

    def search(ways, h, start, goals):
        open_, best, shut = [(f(0, h[start]), start, 0)], {start: 0}, {start}
        taken = set()
        while open_:
            order, place, g = heappop(open_)
            if place in goals:
                return g
            if closed == "pop" and place in taken:
                continue
            taken.add(place)
            for other, price in ways[place].items():
                new = (order if carried else g) + cost(price)
                if on_push and other in goals:
                    return new
                if closed == "push":
                    fresh = other not in shut
                    shut.add(other)
                elif closed == "pop":
                    fresh = other not in taken
                else:
                    fresh = new < best.get(other, math.inf)
                if fresh:
                    best[other] = new
                    heappush(open_, (f(new, h[other]), other, new))
        return none()

    return search


_INN = {
    "S": {"A": 1, "G": 10, "X": 1},
    "A": {"B": 1, "G": 4},
    "B": {"G": 1},
    "X": {"Y": 1},
    "Y": {},
    "G": {},
}
_DETOUR = {"S": {"A": 4, "B": 1}, "A": {"G": 1}, "B": {"A": 1}, "G": {}}
_SLOW_GOAL = {"S": {"A": 1, "B": 5}, "A": {"G": 2}, "B": {"G": 1}, "G": {}}
_TWO_GOALS = {"S": {"A": 2, "B": 3}, "A": {"G": 6}, "B": {"H": 3}, "G": {}, "H": {}}
_NO_WAY = {"S": {"A": 1}, "A": {"S": 1}, "G": {}}

a_star = Exercise(
    "a_star",
    (
        (_INN, {"S": 3, "A": 2, "B": 1, "X": 9, "Y": 9, "G": 0}, "S", ["G"]),
        (_DETOUR, {"S": 0, "A": 0, "B": 0, "G": 0}, "S", ["G"]),
        # Never too much, but from B to A it falls by more than the way costs.
        (
            {"S": {"A": 3, "B": 1}, "A": {"G": 10}, "B": {"A": 1}, "G": {}},
            {"S": 0, "A": 0, "B": 11, "G": 0},
            "S",
            ["G"],
        ),
        (_SLOW_GOAL, {"S": 3, "A": 2, "B": 1, "G": 0}, "S", ["G"]),
        (_TWO_GOALS, {"S": 5, "A": 6, "B": 2, "G": 0, "H": 0}, "S", ["G", "H"]),
        (_NO_WAY, {"S": 0, "A": 0, "G": 0}, "S", ["G"]),
        (_DETOUR, {"S": 0, "A": 0, "B": 0, "G": 0}, "S", ["S"]),
    ),
    _least,
    (
        Mistake(
            "goal noticed too early",
            "you stop when a goal is *seen*. A cheaper way to it may still come up: stop when it "
            "is taken up, as the place with the least f.",
            (_best_first(on_push=True),),
        ),
        Mistake(
            "closed when seen",
            "a place that was seen once is never seen again, not even on a cheaper way. Keep the "
            "least g of every place, and take note when it gets smaller.",
            (_best_first(closed="push"),),
        ),
        Mistake(
            "closed when taken up",
            "a place that was taken up is closed for good. That is safe only if h never falls by "
            "more than a way costs; here it may, so a cheaper way must open the place again.",
            (_best_first(closed="pop"),),
        ),
        Mistake(
            "h only",
            "you go by h alone and forget what the way has cost. That is greedy: it finds *a* way.",
            (
                _best_first(lambda g, h: h),
                _best_first(lambda g, h: h, closed="push"),
                _best_first(lambda g, h: h, closed="pop"),
            ),
        ),
        Mistake(
            "g only",
            "the cost is right, but you look at places that A* never needs: h plays no part. The "
            "order is by f = g + h.",
            (
                _best_first(lambda g, h: g),
                _best_first(lambda g, h: g, closed="pop"),
            ),
        ),
        Mistake(
            "steps counted",
            "you count steps. Each way has a cost of its own.",
            (
                _best_first(cost=lambda cost: 1),
                _best_first(cost=lambda cost: 1, closed="push"),
            ),
        ),
        Mistake(
            "h carried along",
            "you add the cost of a way to f instead of g, so that the h of every place on the way "
            "is paid as if it were a cost.",
            (_best_first(carried=True), _best_first(carried=True, closed="pop")),
        ),
        Mistake(
            "no way",
            "where no way leads to a goal, nothing is left to take up: give back `math.inf`.",
            (
                _best_first(none=lambda: None),
                _best_first(none=lambda: -1),
                _best_first(none=lambda: 0),
                _best_first(none=lambda: heappop([])),
            ),
        ),
    ),
    "finds the least cost on six maps, and looks at no place that it need not",
    cost_and_detours,
    "the cost, and the places looked at for nothing: ",
)


def jug_map(capacities) -> dict:
    """All that jugs can hold, from empty ones: {amounts: {amounts after a step: its cost}}. Water
    from the tap costs a unit a liter, and nothing else costs anything.
    """
    start = (0,) * len(capacities)
    ways, waiting = {}, [start]
    for amounts in waiting:
        if amounts not in ways:
            after = [new for _, new in jugs_oracle.steps(tuple(capacities), amounts)]
            ways[amounts] = {new: max(0, sum(new) - sum(amounts)) for new in after}
            waiting += after
    return ways
