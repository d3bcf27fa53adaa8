"""Trees of Thoughts: the policy proposes the steps, and judges where they lead."""

from __future__ import annotations

from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_value
from o1lib.search.expand import proposed_steps
from o1lib.search.guidance import judge, likelihood
from o1lib.search.nodes import Found, TreeNode, Visit
from o1lib.search.parts import Part, part, together
from o1lib.tasks.space import Space


@part
def tot_bfs(
    space: Space,
    guidance: Part = judge(),
    width: int = 5,
    expand: Part = proposed_steps(),
    leaf: Part = likelihood(),
    max_depth: int = 32,
):
    """Tree of Thoughts, breadth first: the policy proposes steps and judges the states they lead
    to, and the `width` best are kept at every depth; of the complete solutions among them the best
    is returned. It is a beam whose parts are all prompts.

    Args:
        leaf: what values complete solutions. The policies shipped were never taught to judge them,
            so by default it is how likely they find the whole chain.

    Source: Yao et al. (2023), arXiv 2305.10601, Algorithm 1.
    """
    if width < 1 or max_depth < 1:
        raise ValueError("need width >= 1 and max_depth >= 1")
    root = TreeNode(space.root)
    open_, done, trace = [root], [], []
    try:
        for _ in range(max_depth):
            families = yield from expand(space, open_)
            for here, children in zip(open_, families, strict=True):
                here.visits, here.children = 1, children
                trace.append(Visit((here,)))
            below = [child for children in families for child in children]
            yield from _value(space, below, guidance, leaf)
            below.sort(key=lambda child: child.value, reverse=True)
            done += [child for child in below[:width] if space.complete(child.node)]
            open_ = [child for child in below[:width] if not space.complete(child.node)]
            if not open_:
                break
    except OutOfBudget:
        pass
    best = yield from by_value()(space, done)
    return Found(best and space.response(best.node), (), root, trace=tuple(trace))


def _value(space: Space, nodes: list[TreeNode], guidance: Part, leaf: Part):
    """Give nodes their values: complete solutions by `leaf`, the others by the guidance."""
    whole = [here for here in nodes if space.complete(here.node)]
    going = [here for here in nodes if not space.complete(here.node)]
    values = yield from together(leaf(space, whole), guidance(space, going))
    for here, value in zip(whole + going, values[0] + values[1], strict=True):
        here.value = value


@part
def tot_dfs(
    space: Space,
    guidance: Part = judge(),
    threshold: float = 0.5,
    expand: Part = proposed_steps(),
    leaf: Part = likelihood(),
    limit: int = 100,
):
    """Tree of Thoughts, depth first: the best child first, and what is valued no higher than the
    threshold is not entered. The first complete solution above it ends the search; where there is
    none, the best that was seen is returned.

    Args:
        leaf: what values complete solutions, as in `tot_bfs`.
        limit: nodes entered at most (the paper's 100).

    Source: Yao et al. (2023), arXiv 2305.10601, Algorithm 2.
    """
    root, done, trace = TreeNode(space.root), [], []
    stack, entered = [root], 0
    try:
        while stack and entered < limit:
            here, entered = stack.pop(), entered + 1
            [here.children] = yield from expand(space, [here])
            here.visits = 1
            trace.append(Visit((here,)))
            yield from _value(space, here.children, guidance, leaf)
            best_last = sorted(here.children, key=lambda child: (child.value, child.path_prior))
            done += [child for child in best_last if space.complete(child.node)]
            if done and done[-1].value > threshold:
                break
            stack += [
                child
                for child in best_last
                if child.value > threshold and not space.complete(child.node)
            ]
    except OutOfBudget:
        pass
    best = yield from by_value()(space, done)
    return Found(best and space.response(best.node), (), root, trace=tuple(trace))
