"""The exact truth about jugs: which steps there are, and by breadth-first search how far they lead.

A state is the amounts that the jugs of some capacities hold; a step is an action and the amounts
after it.
"""

from __future__ import annotations

from functools import lru_cache

NAMES = "abc"
Step = tuple[str, tuple[int, ...]]


@lru_cache(maxsize=1 << 16)
def steps(capacities: tuple[int, ...], amounts: tuple[int, ...]) -> tuple[Step, ...]:
    """The steps that change something, in canonical order: fill, empty, pour, each by name."""
    fills, empties, pours = [], [], []
    for i, (capacity, amount) in enumerate(zip(capacities, amounts, strict=True)):
        if amount < capacity:
            fills.append((f"fill {NAMES[i]}", _replaced(amounts, {i: capacity})))
        if amount > 0:
            empties.append((f"empty {NAMES[i]}", _replaced(amounts, {i: 0})))
        for j, room in enumerate(c - x for c, x in zip(capacities, amounts, strict=True)):
            moved = min(amount, room)
            if i != j and moved > 0:
                after = _replaced(amounts, {i: amount - moved, j: amounts[j] + moved})
                pours.append((f"pour {NAMES[i]} to {NAMES[j]}", after))
    return (*fills, *empties, *pours)


def _replaced(amounts: tuple[int, ...], new: dict[int, int]) -> tuple[int, ...]:
    return tuple(new.get(i, amount) for i, amount in enumerate(amounts))


@lru_cache(maxsize=4096)
def from_empty(capacities: tuple[int, ...]) -> dict[int, int]:
    """The fewest steps from empty jugs to each amount that can be measured (breadth-first)."""
    layer, seen = [(0,) * len(capacities)], {(0,) * len(capacities)}
    found, depth = {}, 0
    while layer:
        for amounts in layer:
            for amount in amounts:
                found.setdefault(amount, depth)
        after = {step[1] for amounts in layer for step in steps(capacities, amounts)} - seen
        seen |= after
        layer, depth = sorted(after), depth + 1
    return found


@lru_cache(maxsize=256)
def to_goal(capacities: tuple[int, ...], goal: int) -> dict[tuple[int, ...], tuple[int, int]]:
    """For every state that can win, its distance to the goal and the number of shortest ways.

    Breadth-first from the goal backward, over all states, also those that no play from empty jugs
    meets (at most 14^3 of them).
    """
    states = [()]
    for capacity in capacities:
        states = [(*state, amount) for state in states for amount in range(capacity + 1)]
    before: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for state in states:
        if goal not in state:  # a solved state has no steps
            for step in steps(capacities, state):
                before.setdefault(step[1], []).append(state)
    known = {state: (0, 1) for state in states if goal in state}
    layer, distance = list(known), 0
    while layer:
        distance += 1
        ways: dict[tuple[int, ...], int] = {}
        for state in layer:
            for earlier in before.get(state, ()):
                if earlier not in known:
                    ways[earlier] = ways.get(earlier, 0) + known[state][1]
        known.update((state, (distance, n)) for state, n in ways.items())
        layer = list(ways)
    return known
