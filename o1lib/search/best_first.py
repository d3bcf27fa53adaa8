"""Best-first search: of all that is open, the most promising is taken up next."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from o1lib.search.budget import OutOfBudget
from o1lib.search.expand import any_step
from o1lib.search.guidance import correct, give_values
from o1lib.search.heuristics import steps_left
from o1lib.search.nodes import Found, TreeNode, Visit
from o1lib.search.parts import Part, part
from o1lib.tasks.space import Space


@part
def best_first(
    space: Space,
    guidance: Part,
    expand: Part = any_step(),
    leaf: Part | None = None,
    limit: int | None = None,
):
    """Greedy best-first search: always the open state with the highest value, whatever its depth.
    A state that was met is met again only on a shorter way.

    Args:
        leaf: what judges complete solutions; with `correct()` the checker, and the search goes on
            until one is right. By default the first that comes up is taken.
        limit: nodes taken up at most.

    Source: Pearl (1984), Heuristics; with a language model Koh et al. (2024), arXiv 2407.01476.
    """
    return (yield from _search(space, guidance, lambda n: -n.value, expand, leaf, limit))


@part
def a_star(
    space: Space,
    guidance: Part = steps_left(),
    expand: Part = any_step(),
    leaf: Part | None = correct(),
    limit: int | None = None,
):
    """A*: always the open state with the least f = g + h, the steps taken and the steps that the
    guidance, as -h, says are left. Where h never says too many, the solution found is a shortest.

    Args:
        leaf: what judges complete solutions; None: the first that comes up is taken.
        limit: nodes taken up at most.

    Source: Hart, Nilsson & Raphael (1968), "A formal basis for the heuristic determination of
        minimum cost paths".
    """

    def f(here: TreeNode) -> float:
        return here.node.depth - here.value

    return (yield from _search(space, guidance, f, expand, leaf, limit))


def _search(
    space: Space,
    guidance: Part,
    f: Callable[[TreeNode], float],
    expand: Part,
    leaf: Part | None,
    limit: int | None,
):
    """Take up open nodes in the order of f (the deeper of equals first, then the earlier)."""
    root, taken, order, open_ = TreeNode(space.root), 0, count(), []
    nearest = {_place(root): 0}  # the fewest steps by which each state has been met
    children, trace = [root], []

    def found(here: TreeNode | None = None) -> Found:
        return Found(here and space.response(here.node), tree=root, trace=tuple(trace))

    try:
        while True:
            yield from give_values(space, children, guidance)
            for child in children:
                if child.value > float("-inf"):  # else it is beyond hope
                    heappush(open_, (f(child), -child.node.depth, next(order), child))
            children = []
            if not open_ or taken == limit:
                return found()
            here = heappop(open_)[-1]
            if here.node.depth > nearest[_place(here)]:  # met again on a shorter way
                continue
            taken += 1
            here.visits = 1
            trace.append(Visit((here,)))
            if space.complete(here.node):
                [verdict] = (yield from leaf(space, [here])) if leaf else [1.0]
                if verdict >= 1:
                    return found(here)
                continue
            [here.children] = yield from expand(space, [here])
            for child in here.children:
                if child.node.depth < nearest.get(_place(child), float("inf")):
                    nearest[_place(child)] = child.node.depth
                    children.append(child)
    except OutOfBudget:
        return found()


def _place(here: TreeNode):
    """Where a node stands: its state, or its text where it has left the task's steps."""
    return here.node.prefix if here.node.state is None else here.node.state
