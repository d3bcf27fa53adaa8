"""Trees: the whole tree of a small puzzle with the truth about every state, and the tree that a
search grew.
"""

from __future__ import annotations

import re

from o1lib.tasks.countdown import Countdown, Problem
from o1lib.viz.palette import GRAY, GREEN
from o1lib.viz.terminal import harmless


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


def spelled(step: str) -> str:
    """A step's text with the signs of school, without what is left: `7 * 3 = 21 left 5 21` becomes
    7 × 3 = 21.
    """
    step = re.sub(r"</?(?:think|answer)>", "", step.split(" left ")[0])
    step = step.replace(" * ", " × ").replace(" - ", " − ").strip()
    return step if len(step) <= 26 else step[:25] + "…"


def _heights(children: dict[int, list[int]]) -> dict[int, float]:
    """The height of every node: leaves one below the other, the others in the middle of their
    children.
    """
    heights: dict[int, float] = {}
    leaves = 0

    def place(i: int) -> float:
        nonlocal leaves
        if not children.get(i):
            heights[i] = -float(leaves)
            leaves += 1
        else:
            heights[i] = sum(place(child) for child in children[i]) / len(children[i])
        return heights[i]

    place(0)
    return heights


def _note(axis, text: str, place: tuple[float, float], points: float, color) -> None:
    """A small text so many points above (below, if negative) a place, whatever the scale is."""
    va = "bottom" if points > 0 else "top"
    # What a model writes is text, also between two dollar signs.
    options = {"fontsize": 6, "ha": "center", "va": va, "color": color, "parse_math": False}
    axis.annotate(text, place, xytext=(0, points), textcoords="offset points", **options)


def _edge(
    axis, depth: int, start: float, end: float, label: str, color, weight: float, gap: float
) -> None:
    """An edge from depth - 1 + gap to depth, which ends flat, a label above its flat part."""
    spots = [depth - 1 + gap, depth - 0.62, depth - 0.04]
    axis.plot(spots, [start, end, end], color=color, lw=weight)
    _note(axis, label, (depth - 0.37, end), 2, color)


def draw_tree(axis, task: Countdown, problem: Problem) -> tuple[int, int]:
    """Draw a 3-number tree left to right, a step on every edge: from green states (in bold) the
    goal can still be reached, from gray ones it cannot. Returns (states, alive states).
    """
    nodes = layers(task, problem)
    children: dict[int, list[int]] = {}
    for i, (_, _, _, parent, _) in enumerate(nodes):
        if parent is not None:
            children.setdefault(parent, []).append(i)
    heights = _heights(children)
    for i, (depth, state, alive, parent, step) in enumerate(nodes):
        color = GREEN if alive else GRAY
        if parent is not None:
            weight = 1.6 if alive else 0.6
            _edge(axis, depth, heights[parent], heights[i], spelled(step), color, weight, 0.2)
        axis.text(
            depth,
            heights[i],
            " ".join(map(str, state.numbers)) + (" ✓" if task.is_solved(state) else ""),
            color=color,
            fontsize=7 if depth else 10,
            va="center",
            weight="bold" if alive else "normal",
        )
    axis.set(xlim=(-0.1, max(node[0] for node in nodes) + 0.3))
    axis.axis("off")
    return len(nodes), sum(alive for _, _, alive, _, _ in nodes)


def step_text(node, parent) -> str:
    """The step to a search node: its label, or what its text adds to its parent's."""
    return spelled(harmless(node.label or node.node.prefix[len(parent.node.prefix) :].strip()))


def draw_search(axis, task: Countdown, root, most: int = 16) -> None:
    """A search tree (`o1lib.search.nodes.TreeNode`), left to right: on every edge the step and its
    prior P, at every node its visits N and mean value Q, or its value V where nothing was backed
    up (beams value no root).

    Dots grow with the visits and are green where the oracle says that the state can still win. Only
    the `most` nodes with the most visits are drawn; `+3` counts visited or valued children that are
    not.
    """

    def met(node) -> bool:
        return bool(node.visits) or node.value is not None

    def weight_of(node) -> tuple:
        return node.visits, node.value or 0.0

    backed_up = root.value is not None or not any(n.value is not None for n in root.walk())
    nodes = sorted(filter(met, root.walk()), key=weight_of, reverse=True)[:most]
    shown = {id(node) for node in nodes} | {id(root)}
    drawn, children, parents = [root], {}, {}
    for i, node in enumerate(drawn):  # grows; a child has no more visits than its parent: a tree
        for child in sorted(node.children or (), key=weight_of, reverse=True):
            if id(child) in shown:
                children.setdefault(i, []).append(len(drawn))
                parents[len(drawn)] = i
                drawn.append(child)
    heights, depths = _heights(children), {0: 0}
    for i, node in enumerate(drawn):
        alive = node.node.state is not None and task.solvable(node.node.state)
        color = GREEN if alive else GRAY
        if i:
            parent = parents[i]
            depths[i] = depths[parent] + 1
            label = f"{step_text(node, drawn[parent])}   P {node.prior:.2f}"
            start, weight = heights[parent], 1.6 if alive else 0.7
            _edge(axis, depths[i], start, heights[i], label, color, weight, 0.03)
        hidden = sum(map(met, node.children or ())) - len(children.get(i, ()))
        note = f"N {node.visits}  Q {node.mean:.2f}"
        if not backed_up:
            note = "" if node.value is None else f"V {node.value:.2f}"
        note += f"  +{hidden}" if hidden else ""
        axis.scatter(
            depths[i], heights[i], s=8 + 32 * node.visits / max(1, root.visits), color=color
        )
        if i:
            _note(axis, note, (depths[i], heights[i]), -6, color)
        else:  # all edges leave from here: its note stands in the corner
            note = f"root: {note}"
            axis.text(0, 1, note, fontsize=6, va="top", color=color, transform=axis.transAxes)
    axis.set(xlim=(-0.1, max(depths.values()) + 0.3))
    middle, half = min(heights.values()) / 2, max(-min(heights.values()), 6) / 2 + 1
    axis.set_ylim(middle - half, middle + half)
    axis.axis("off")
