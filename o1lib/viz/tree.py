"""The tree of a small puzzle, with the truth about every state."""

from __future__ import annotations

from o1lib.tasks.countdown import Countdown, Problem
from o1lib.viz.plots import COLORS


def layers(task: Countdown, problem: Problem):
    """Nodes (depth, state, alive, parent index, step text) of the whole tree, in drawing order."""
    nodes = [(0, problem, task.solvable(problem), None, "")]
    index = 0
    while index < len(nodes):
        depth, state, _, _, _ = nodes[index]
        if not task.is_solved(state):
            for step in task.legal_steps(state):
                child = task.apply(state, step)
                nodes.append((depth + 1, child, task.solvable(child), index, step.equation))
        index += 1
    return nodes


def draw_tree(axis, task: Countdown, problem: Problem) -> tuple[int, int]:
    """Draw a 3-number tree left to right: green states can still win, gray ones cannot. Returns
    (states, alive states).
    """
    nodes = layers(task, problem)
    children: dict[int, list[int]] = {}
    for i, (_, _, _, parent, _) in enumerate(nodes):
        if parent is not None:
            children.setdefault(parent, []).append(i)
    height: dict[int, float] = {}
    leaf = 0

    def place(i: int) -> float:
        nonlocal leaf
        if i not in children:
            height[i] = -leaf
            leaf += 1
        else:
            height[i] = sum(place(child) for child in children[i]) / len(children[i])
        return height[i]

    place(0)
    for i, (depth, state, alive, parent, _) in enumerate(nodes):
        color = COLORS[2] if alive else "#bbbbbb"
        if parent is not None:
            axis.plot(
                [depth - 1 + 0.16, depth - 0.02],
                [height[parent], height[i]],
                color=color,
                lw=1.6 if alive else 0.7,
                zorder=1,
            )
        label = " ".join(map(str, state.numbers))
        weight = "bold" if alive else "normal"
        axis.text(
            depth,
            height[i],
            label,
            color="#1b5e20" if alive else "#999999",
            fontsize=7 if depth else 10,
            va="center",
            weight=weight,
        )
    axis.set_xlim(-0.1, 2.3)
    axis.axis("off")
    return len(nodes), sum(alive for _, _, alive, _, _ in nodes)


def draw_search(axis, task: Countdown, root, most: int = 14) -> None:
    """A search tree (`o1lib.search.trees.TreeNode`), top down: a dot per visited state, its size the visits, green where the
    oracle says that it can still win.
    """
    width = 0

    def place(node, depth: int) -> float:
        nonlocal width
        below = sorted((c for c in node.children or () if c.visits), key=lambda c: -c.visits)[:most]
        if below:
            spots = [place(child, depth + 1) for child in below]
            x = sum(spots) / len(spots)
        else:
            x, spots = float(width), []
            width += 1
        for child, spot in zip(below, spots, strict=True):
            axis.plot([x, spot], [-depth, -depth - 1], color="#bbbbbb", lw=0.8, zorder=1)
            if depth == 0:
                axis.text(
                    spot, -1.12, f"{child.visits}", fontsize=7, ha="center", va="top", zorder=3
                )
        alive = task.solvable(node.node.state)
        size = 14 + 220 * node.visits / root.visits
        axis.scatter([x], [-depth], s=size, color=COLORS[2] if alive else "#999999", zorder=2)
        return x

    place(root, 0)
    axis.axis("off")
