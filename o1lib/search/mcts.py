"""Monte-Carlo tree search over steps, tokens or whole solutions."""

from __future__ import annotations

import math

from o1lib.search.budget import OutOfBudget
from o1lib.search.expand import legal_steps, sampled_tokens
from o1lib.search.nodes import Found, TreeNode, Visit
from o1lib.search.parts import Part, part, together
from o1lib.tasks.space import Space


@part
def mcts(
    space: Space,
    guidance: Part,
    simulations: int = 50,
    c_puct: float = 1.0,
    expand: Part = legal_steps(),
    leaf: Part | None = None,
    temperature: float = 1.0,
):
    """Monte-Carlo tree search with PUCT: select, expand, evaluate, back up; deterministic.

    A new node is expanded with the policy's probabilities as priors P and evaluated by the
    guidance. A leaf that is reached again gives its value again, at no cost. Returned is the
    solution at the end of the most visited path.

    Args:
        guidance: gives the values that are backed up.
        expand: `legal_steps`, `sampled_steps`, `sampled_tokens` or `whole_responses`: the level of
            the search.
        leaf: what evaluates complete solutions; by default the guidance. With `correct()` the
            checker does, and the search ends at a right one.
        temperature: flattens (above 1) or sharpens the priors.

    Source: Silver et al. (2017), AlphaGo Zero, with the rule of Rosin (2011): argmax Q + c P
        sqrt(N) / (1 + n).
    """
    if simulations < 0 or c_puct < 0 or not temperature > 0:
        raise ValueError("need simulations >= 0, c_puct >= 0 and temperature > 0")
    root, solved, trace = TreeNode(space.root), None, []
    try:
        for _ in range(simulations):
            solved = yield from simulate(
                space, root, guidance, expand, leaf, c_puct, temperature, trace
            )
            if solved:
                break
    except OutOfBudget:
        pass
    best = solved or most_visited(root, space)
    return Found(best and space.response(best.node), (), root, trace=tuple(trace))


def simulate(
    space: Space,
    root: TreeNode,
    guidance: Part,
    expand: Part,
    leaf: Part | None,
    c_puct: float,
    temperature: float,
    trace: list[Visit],
):
    """One simulation from a node, which the trace keeps; returns the complete solution that `leaf`
    calls right, if it came upon one, else None.
    """

    def puct(child: TreeNode, parent: TreeNode) -> float:
        return child.mean + c_puct * child.prior * math.sqrt(parent.visits) / (1 + child.visits)

    here = root
    while here.children:  # selection
        parent = here
        here = max(here.children, key=lambda child: puct(child, parent))
    if here.value is None and space.complete(here.node):  # evaluation of a leaf
        [here.value] = yield from (leaf or guidance)(space, [here])
    elif here.value is None:  # expansion and evaluation, asked for in one turn
        [children], [here.value] = yield from together(
            expand(space, [here]), guidance(space, [here])
        )
        _temper(children, temperature)
        here.children = children
    for node in here.path:  # backup
        node.visits += 1
        node.value_sum += here.value
    trace.append(Visit(here.path, here.value))
    return here if leaf and here.value >= 1 and space.complete(here.node) else None


@part
def token_mcts(
    space: Space,
    guidance: Part,
    simulations: int = 8,
    c_puct: float = 1.0,
    expand: Part = sampled_tokens(4),
    leaf: Part | None = None,
    max_new_tokens: int = 128,
):
    """Tree search over tokens: before each token some simulations, then the most visited one is
    written, and the search goes on below it.

    Args:
        simulations: before each token.
        leaf: what evaluates complete solutions, as in `mcts`.

    Source: PPO-MCTS, Liu et al. (2023), arXiv 2309.15028; there the children are the
        most probable tokens, here those that the policy draws.
    """
    if simulations < 1 or c_puct < 0 or max_new_tokens < 1:
        raise ValueError("need simulations >= 1, c_puct >= 0 and max_new_tokens >= 1")
    root = here = TreeNode(space.root)
    solved, trace = None, []
    try:
        for _ in range(max_new_tokens):
            if space.complete(here.node):
                break
            # One more where the node itself is still to be opened.
            for _ in range(simulations + (here.value is None)):
                solved = yield from simulate(
                    space, here, guidance, expand, leaf, c_puct, 1.0, trace
                )
                if solved:
                    break
            if solved or not here.children:
                break
            here = max(here.children, key=lambda child: (child.visits, child.mean, child.prior))
    except OutOfBudget:
        pass
    best = solved or here
    return Found(space.response(best.node) or None, (), root, trace=tuple(trace))


def _temper(children: list[TreeNode], temperature: float) -> None:
    """Make the priors sum to one, flattened or sharpened."""
    weights = [child.prior ** (1 / temperature) for child in children]
    total = sum(weights) or 1.0
    for child, weight in zip(children, weights, strict=True):
        child.prior = weight / total


def most_visited(root: TreeNode, space: Space) -> TreeNode | None:
    """The complete solution at the end of the most visited path, among paths that end in one; None
    if there is none.

    Where visits are equal, the higher mean decides.
    """
    nodes = list(root.walk())
    ends: set[int] = set()  # nodes from which an evaluated complete solution can be reached
    for node in reversed(nodes):
        complete = bool(node.visits) and space.complete(node.node)
        if complete or any(id(child) in ends for child in node.children or ()):
            ends.add(id(node))
    here = root if id(root) in ends else None
    while here is not None and not (here.visits and space.complete(here.node)):
        options = [child for child in here.children or () if id(child) in ends]
        here = max(options, key=lambda child: (child.visits, child.mean, child.prior), default=None)
    return here
