"""Step by step: blind depth-first search, and beams."""

from __future__ import annotations

from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_value
from o1lib.search.expand import any_step, legal_steps
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import Part, part
from o1lib.search.requests import Check
from o1lib.tasks.space import Space


@part
def depth_first(space: Space, limit: int | None = None):
    """Blind depth-first search: every legal step in canonical order, no policy, the checker at
    every leaf.

    It remembers the states that it has been in (on six numbers 15,580 instead of 962,475 nodes),
    and keeps no tree.

    Args:
        limit: states visited at most.

    The yardstick of every table: a search that is guided must beat what enumeration does in as
        many checks.
    """
    stack, seen = [iter([space.root])], {space.root.state}
    try:
        while stack and (limit is None or len(seen) <= limit):
            here = next(stack[-1], None)
            if here is None:
                stack.pop()
            elif space.complete(here):
                response = space.response(here)
                if (yield Check(response)):
                    return Found(response, (response,))
            else:
                stack.append(_unseen(space, here, seen))
    except OutOfBudget:
        pass
    return Found(None)


def _unseen(space: Space, node, seen: set):
    """The children of a node in states that were not met before, one after the other."""
    for step in space.steps(node):
        child = space.child(node, step)
        if child.state not in seen:
            seen.add(child.state)
            yield child


@part
def beam(
    space: Space,
    guidance: Part | None = None,
    width: int | None = 4,
    expand: Part | None = None,
    choose: Part = by_value(),
    max_depth: int = 32,
):
    """Beam search: the `width` best partial solutions are kept at every depth. Complete ones among
    them are set aside, and in the end one is chosen.

    Partial solutions are ranked by the guidance's value; without guidance by the policy's
    probability of all their steps.

    Args:
        width: None keeps all: exhaustive search.
        expand: by default `legal_steps`, or, where a guidance values them and the policy's opinion
            would not be used, `any_step`.

    Source: the reward-guided beam of Snell et al. (2024), arXiv 2408.03314.
    """
    for name, number in (("width", width), ("max_depth", max_depth)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    expand = expand or (any_step() if guidance else legal_steps())
    root = TreeNode(space.root)
    open_, done = [root], []
    try:
        for _ in range(max_depth):
            if not open_:
                break
            families = yield from expand(space, open_)
            for here, children in zip(open_, families, strict=True):
                here.visits, here.children = 1, children
            below = [child for children in families for child in children]
            if guidance and below:
                values = yield from guidance(space, below)
            else:
                values = [child.path_prior for child in below]
            for child, value in zip(below, values, strict=True):
                child.value = value
            below.sort(key=lambda n: (n.value, n.path_prior), reverse=True)
            kept = below[:width]
            done += [n for n in kept if space.complete(n.node)]
            open_ = [n for n in kept if not space.complete(n.node)]
    except OutOfBudget:
        pass
    best = yield from choose(space, done)
    return Found(best and space.response(best.node), (), root)
