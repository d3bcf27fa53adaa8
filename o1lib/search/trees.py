"""Step by step: blind and random controls, and beams."""

from __future__ import annotations

import contextlib
import random

from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_value
from o1lib.search.expand import any_step, legal_steps
from o1lib.search.guidance import ahead, give_values
from o1lib.search.nodes import Found, TreeNode, Visit
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
def random_steps(
    space: Space,
    n: int = 16,
    choose: Part = by_value(),
    guidance: Part | None = None,
    max_depth: int = 32,
    seed: int = 0,
):
    """`n` chains of legal steps drawn at random, no policy: what the rules alone are worth. A chain
    that has not ended after `max_depth` steps is dropped.

    The control of every curve over the number of samples, as `depth_first` is that of every search.
    """
    if n < 1 or max_depth < 1:
        raise ValueError("need n >= 1 and max_depth >= 1")
    rng, root, ends = random.Random(f"{seed} {space.prompt}"), TreeNode(space.root), []
    for _ in range(n):
        node = space.root
        while not space.complete(node) and node.depth < max_depth:
            node = space.child(node, rng.choice(space.steps(node)))
        if space.complete(node):
            ends.append(TreeNode(node, 1.0, root))
    root.children = ends
    if guidance:
        with contextlib.suppress(OutOfBudget):
            yield from give_values(space, ends, guidance)
    best = yield from choose(space, ends)
    texts = tuple(space.response(end.node) for end in ends)
    return Found(best and space.response(best.node), texts, root)


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
    open_, done, trace = [root], [], []
    try:
        for _ in range(max_depth):
            if not open_:
                break
            families = yield from expand(space, open_)
            for here, children in zip(open_, families, strict=True):
                here.visits, here.children = 1, children
                trace.append(Visit((here,)))
            below = [child for children in families for child in children]
            if guidance and below:
                yield from give_values(space, below, guidance)
            else:
                for child in below:
                    child.value = child.path_prior
            below.sort(key=lambda n: (n.value, n.path_prior), reverse=True)
            kept = below[:width]
            done += [n for n in kept if space.complete(n.node)]
            open_ = [n for n in kept if not space.complete(n.node)]
    except OutOfBudget:
        pass
    best = yield from choose(space, done)
    return Found(best and space.response(best.node), (), root, trace=tuple(trace))


def lookahead(
    guidance: Part,
    k: int = 2,
    width: int | None = 4,
    expand: Part | None = None,
    choose: Part = by_value(),
    max_depth: int = 32,
) -> Part:
    """Beam search in which every partial solution is valued where the policy is `k` steps later.

    Source: lookahead search of Snell et al. (2024), arXiv 2408.03314, section 5.2; with `k=0` it is
        the beam.
    """
    return beam(ahead(guidance, k), width, expand, choose, max_depth)


@part
def dvts(
    space: Space,
    guidance: Part,
    trees: int = 4,
    expand: Part = any_step(),
    choose: Part = by_value(),
    max_depth: int = 32,
):
    """Diverse verifier tree search: instead of one beam that may crowd together, `trees` greedy
    searches that never meet, since each begins with a first step of its own. Of their ends one is
    chosen.

    Args:
        expand: the steps of which each tree takes the best; with `sampled_steps(m)` it is the
            paper's N = trees * m.

    Source: Beeching, Tunstall & Rush (2024), "Scaling test-time compute with open models", Hugging
        Face.
    """
    if trees < 1 or max_depth < 1:
        raise ValueError("need trees >= 1 and max_depth >= 1")
    root, done, trace = TreeNode(space.root), [], []
    heads = [root] * trees
    try:
        for _ in range(max_depth):
            families = yield from expand(space, heads)
            below = [child for children in families for child in children]
            yield from give_values(space, below, guidance)
            for here in {id(here): here for here in heads}.values():
                here.visits = 1
                trace.append(Visit((here,)))
            heads, taken = [], set()
            for children in families:
                free = [child for child in children if child.node.prefix not in taken]
                best = yield from by_value()(space, free)
                if best is None:
                    continue
                taken.add(best.node.prefix)
                known = [*(best.parent.children or []), *free]
                best.parent.children = list({c.node.prefix: c for c in known}.values())
                (done if space.complete(best.node) else heads).append(best)
    except OutOfBudget:
        pass
    best = yield from choose(space, done)
    return Found(best and space.response(best.node), (), root, trace=tuple(trace))
