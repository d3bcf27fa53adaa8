"""Rules of thumb as guidance: what a person would look at, worked out from the state at no cost.

A guidance is better where it is higher, so a heuristic h, an estimate of what is left to do, is
given as -h. A text that has left the task's steps has no state: it gets minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from o1lib.search.nodes import TreeNode
from o1lib.search.parts import part
from o1lib.tasks.arithmetic import Expression
from o1lib.tasks.countdown import Problem
from o1lib.tasks.jugs import JugProblem
from o1lib.tasks.space import Space


def _minus(heuristic: Callable, nodes: Sequence[TreeNode]) -> list[float]:
    states = [here.node.state for here in nodes]
    return [float("-inf") if s is None else -float(heuristic(s)) for s in states]


@part
def distance(space: Space, nodes: Sequence[TreeNode]):
    """Minus how far the numbers lie from the goal: on the mean in Countdown, the nearest jug in
    Jugs.

    Source: the "sum" heuristic of Gandhi et al. (2024), Stream of Search, arXiv 2404.03683.
    """

    def far(state) -> float:
        match state:
            case Problem(numbers, target):
                return sum(abs(number - target) for number in numbers) / len(numbers)
            case JugProblem(_, goal, amounts):
                return min(abs(amount - goal) for amount in amounts)
        raise ValueError("distance reads numbers and a goal: Countdown or Jugs")

    return _minus(far, nodes)
    yield  # a generator that asks for nothing


@part
def factors(space: Space, nodes: Sequence[TreeNode]):
    """Minus how far the numbers lie from the nearest factor of the goal (2 or more), summed: near
    a factor a product can end it.

    Source: the "multiply" heuristic of Gandhi et al. (2024), Stream of Search, arXiv 2404.03683.
    """

    def far(state) -> float:
        if not isinstance(state, Problem):
            raise ValueError("factors reads the numbers and the goal of Countdown")
        some = [f for f in range(2, state.target + 1) if state.target % f == 0] or [1]
        return sum(min(abs(number - factor) for factor in some) for number in state.numbers)

    return _minus(far, nodes)
    yield  # a generator that asks for nothing


@part
def steps_left(space: Space, nodes: Sequence[TreeNode]):
    """Minus the number of steps that are at least left. Never more than there are, and no step
    lowers it by more than one: *consistent*, so A* finds a shortest solution.

    In Countdown and Arithmetic every step uses up one number or one bracket. In Jugs see
    `relaxed_steps`.
    """

    def least(state) -> float:
        match state:
            case Problem(numbers, _):
                return len(numbers) - 1
            case Expression(text):
                return sum(text.count(f" {op} ") for op in "+-*/")
            case JugProblem(capacities, goal, amounts):
                return relaxed_steps(capacities, goal, amounts)
        raise ValueError("steps_left knows Countdown, Arithmetic and Jugs")

    return _minus(least, nodes)
    yield  # a generator that asks for nothing


@lru_cache(maxsize=1 << 16)
def relaxed_steps(capacities: tuple[int, ...], goal: int, amounts: tuple[int, ...]) -> float:
    """How many steps it takes until some jug holds the goal, if a jug that has held an amount went
    on holding it beside all later ones; infinity where even that does not help.

    Source: h_max (the delete relaxation) of Bonet & Geffner (2001), "Planning as heuristic search",
        which is consistent.
    """
    jugs = range(len(capacities))
    held = [{amount} for amount in amounts]
    steps = 0
    while not any(goal in some for some in held):
        after = [some | {0, capacities[i]} for i, some in enumerate(held)]
        for i in jugs:
            for j in jugs:
                for x, y in ((x, y) for x in held[i] for y in held[j] if i != j):
                    moved = min(x, capacities[j] - y)
                    after[i].add(x - moved)
                    after[j].add(y + moved)
        if after == held:
            return float("inf")
        held, steps = after, steps + 1
    return steps
