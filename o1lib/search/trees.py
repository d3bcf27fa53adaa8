"""Step by step: depth-first, beam and Monte-Carlo tree search over the steps of `solve`.

Each strategy decides for itself what it may look at. `select="model"` ends with the solution that the policy and
the guidance like best; `select="checker"` asks the checker about every complete solution and stops at a right one.

Used in notebook 03, sections 3 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from o1lib.search.core import Check, Found, OutOfBudget, Propose, Score, Strategy
from o1lib.tasks.space import Node, Space


@dataclass
class TreeNode:
    """A node of a search tree: a partial solution, the policy's probability of the step to it, and its statistics.

    `value_sum / visits` is the mean value Q of the simulations that went through it.
    """

    node: Node
    prior: float = 1.0
    parent: TreeNode | None = field(default=None, repr=False)
    children: list[TreeNode] | None = field(default=None, repr=False)
    visits: int = 0
    value_sum: float = 0.0
    value: float | None = None  # what the guidance or the checker said

    @property
    def mean(self) -> float:
        return self.value_sum / self.visits if self.visits else 0.0

    def walk(self) -> Iterator[TreeNode]:
        """This node and all below it."""
        yield self
        for child in self.children or ():
            yield from child.walk()


def _selection(select: str, guided: bool) -> None:
    if select not in ("model", "checker"):
        raise ValueError(f"unknown select {select!r}; choose from model, checker")
    if select == "model" and not guided:
        raise ValueError("select='model' needs something that prefers one solution to another")


def depth_first(limit: int | None = None) -> Strategy:
    """Blind depth-first search: every legal step in canonical order, no policy, the checker at every leaf.

    Args:
        limit: nodes visited at most.

    The yardstick of every table: a search that is guided must beat what enumeration does in as many checks.
    """

    def strategy(space: Space):
        root = TreeNode(space.root)
        stack, candidates, visited = [root], [], 0
        try:
            while stack and (limit is None or visited < limit):
                here = stack.pop()
                visited += 1
                here.visits = 1
                if space.complete(here.node):
                    text = space.response(here.node)
                    candidates.append(text)
                    if (yield Check(text)):
                        here.value = 1.0
                        return Found(text, tuple(candidates), root)
                    continue
                here.children = [
                    TreeNode(space.child(here.node, step), parent=here)
                    for step in space.steps(here.node)
                ]
                stack += reversed(here.children)
        except OutOfBudget:
            pass
        return Found(None, tuple(candidates), root)

    return strategy


def beam(
    width: int | None = 4, branch: int | None = None, guided: bool = True, select: str = "model"
) -> Strategy:
    """Beam search over steps: the `width` best partial solutions are kept at every depth.

    Partial solutions are ranked by the guidance's value (`guided`), else by the policy's probability of all their steps.

    Args:
        width: None keeps all: exhaustive search.
        branch: only this many of a node's steps, the policy's likeliest, are looked at; None: all.

    Source: the reward-guided beam of Snell et al. (2024), arXiv 2408.03314.
    """
    _selection(select, True)
    for name, value in (("width", width), ("branch", branch)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    def strategy(space: Space):
        root = TreeNode(space.root)
        layer, best = [root], None
        try:
            while layer:
                below: list[TreeNode] = []
                for here in layer:
                    if branch is None and guided:  # the policy's opinion would not be used
                        steps = [(step, 1.0) for step in space.steps(here.node)]
                    else:
                        steps = yield Propose(here.node)
                        steps = sorted(steps, key=lambda s: -s[1])[:branch]
                    here.visits += 1
                    here.children = [
                        TreeNode(space.child(here.node, step), here.prior * p, here)
                        for step, p in steps
                    ]
                    below += here.children
                if guided and below:
                    values = yield Score(tuple(n.node for n in below))
                    for child, value in zip(below, values, strict=True):
                        child.value = value
                below.sort(key=lambda n: (-(n.value if guided else n.prior), -n.prior))
                layer = below[:width]
                if layer and space.complete(layer[0].node):
                    best = best or layer[0]
                    if select == "checker":
                        for leaf in layer:
                            best = leaf
                            if (yield Check(space.response(leaf.node))):
                                break
                        else:
                            best = layer[0]
                    layer = []
        except OutOfBudget:
            pass
        return Found(best and space.response(best.node), (), root)

    return strategy


def mcts(
    simulations: int = 50,
    c_puct: float = 1.0,
    select: str = "model",
    until_solved: bool = True,
    temperature: float = 1.0,
) -> Strategy:
    """Monte-Carlo tree search with PUCT: select, expand, evaluate, back up; deterministic.

    A new node is expanded with the policy's probabilities as priors and evaluated by the guidance. Complete
    solutions are evaluated by the checker (`select="checker"`, which ends the search at a right one when
    `until_solved`) or by the guidance. A leaf that is reached again gives its value again, at no cost.

    With `select="model"` the solution of the path that was visited most is returned.

    Args:
        temperature: flattens (above 1) or sharpens the priors.

    Source: Silver et al. (2017), AlphaGo Zero, with the rule of Rosin (2011): argmax Q + c P sqrt(N) / (1 + n).
    """
    _selection(select, True)
    if simulations < 0 or c_puct < 0 or not temperature > 0:
        raise ValueError("need simulations >= 0, c_puct >= 0 and temperature > 0")

    def puct(child: TreeNode, parent: TreeNode) -> float:
        return child.mean + c_puct * child.prior * math.sqrt(parent.visits) / (1 + child.visits)

    def strategy(space: Space):
        root, solved = TreeNode(space.root), None
        try:
            for _ in range(simulations):
                here = root
                while here.children:  # selection
                    parent = here
                    here = max(here.children, key=lambda c: puct(c, parent))
                if here.value is None and space.complete(here.node):  # evaluation of a leaf
                    if select == "checker":
                        here.value = float((yield Check(space.response(here.node))))
                        if here.value and until_solved:
                            solved = here
                    else:
                        [here.value] = yield Score((here.node,))
                elif here.value is None:  # expansion and evaluation
                    steps = yield Propose(here.node)
                    weights = [p ** (1 / temperature) for _, p in steps]
                    total = sum(weights) or 1.0
                    here.children = [
                        TreeNode(space.child(here.node, step), w / total, here)
                        for (step, _), w in zip(steps, weights, strict=True)
                    ]
                    [here.value] = yield Score((here.node,))
                value, node = here.value, here
                while node is not None:  # backup
                    node.visits += 1
                    node.value_sum += value
                    node = node.parent
                if solved:
                    break
        except OutOfBudget:
            pass
        best = solved or _favorite(root, space)
        return Found(best and space.response(best.node), (), root)

    return strategy


def _favorite(root: TreeNode, space: Space) -> TreeNode | None:
    """The complete solution at the end of the most visited path, among paths that end in one; None if there is none.

    Where visits are equal, the higher mean decides.
    """
    evaluated = {id(n) for n in root.walk() if n.visits and space.complete(n.node)}

    def ends(node: TreeNode) -> bool:
        return id(node) in evaluated or any(ends(c) for c in node.children or ())

    here = root
    while here is not None and id(here) not in evaluated:
        options = [c for c in here.children or () if ends(c)]
        here = max(options, key=lambda c: (c.visits, c.mean, c.prior), default=None)
    return here
