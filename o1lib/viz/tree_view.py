"""A search tree to step through: a slider goes from simulation to simulation, nodes are named by
their steps, colored by what they are worth and sized by their visits, and each of them tells what
was written when it is pointed at or reached by the arrow keys.

The picture is plain SVG with a little script of its own: it needs neither a kernel nor a network.
Where scripts do not run (an untrusted notebook), a picture of the finished tree stands there
instead. What a model writes is hostile text: it enters the page as data and is only ever set as
text.
"""

from __future__ import annotations

import html
import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

import matplotlib.pyplot as plt

from o1lib.search.nodes import SearchResult, TreeNode, Visit
from o1lib.tasks.space import Space
from o1lib.viz.palette import BLUE, GRAY, VIOLET, diverging, solid
from o1lib.viz.plots import STYLE, Picture
from o1lib.viz.terminal import harmless
from o1lib.viz.trace import Chain
from o1lib.viz.tree import draw_search, step_text

COLORS = [solid(i / 20 - 1) for i in range(41)]  # from the lowest value to the highest
ROW = 33  # pixels from one row to the next
LONGEST = 400  # characters of a node's text that are kept, the last ones


def show_tree(
    result: SearchResult,
    task,
    truth: Mapping[str, float] | None = None,
    *,
    most: int = 500,
) -> Chain:
    """A viewer of the tree of a search, as it was after each simulation of `mcts` or expansion of
    `beam`.

    Args:
        result: of `search_all`.
        task: whose oracle tells which states are alive.
        truth: true values by the text of a node, such as
            `{v.node.prefix: v.value for v in enumerate_values(...)[0]}`; by default one where the
            oracle says that the state can still win, and zero where it cannot.
        most: nodes drawn at most, those with the most visits; the page says how many are left out.

    Raises `ValueError` for a search that keeps no tree.
    """
    if result.tree is None:
        raise ValueError("this search keeps no tree; mcts and beam do")
    drawn = shown_nodes(result.tree, most)
    tree = _Tree(result, task, truth, drawn)
    page = Template(files("o1lib.viz").joinpath("tree_view.html").read_text(encoding="utf-8"))
    return Chain(
        page.substitute(
            still=tree.still(),
            title=html.escape(tree.title()),
            noun=tree.noun,
            choices=tree.choices(),
            legend=tree.legend(),
            data=tree.data(),
            blue=BLUE,
            gray=GRAY,
            violet=VIOLET,
            glaze=diverging(0.3),
        ),
        tree.text(),
    )


def shown_nodes(root: TreeNode, most: int) -> list[TreeNode]:
    """The nodes that were visited or valued, at most so many of them, those with the most visits
    first; of each its parent comes before it.
    """
    nodes = [n for n in root.walk() if n is not root and (n.visits or n.value is not None)]
    nodes.sort(key=lambda n: (-n.visits, len(n.path), -(n.value or 0.0)))
    shown, found = {id(root)}, [root]
    for node in nodes:
        if len(found) < most and id(node.parent) in shown:
            shown.add(id(node))
            found.append(node)
    return found


def positions(parents: Sequence[int]) -> list[tuple[int, int]]:
    """Depth and row of every node of a tree, given their parents' indices (the root's is -1): a
    first child stands in its parent's row, every other one below all that came before it.
    """
    children: dict[int, list[int]] = {}
    for i, parent in enumerate(parents):
        children.setdefault(parent, []).append(i)
    places, waiting, row = [(0, 0)] * len(parents), [(0, 0, True)], 0
    while waiting:
        i, depth, first = waiting.pop()
        row += not first
        places[i] = depth, row
        below = [(child, depth + 1, k == 0) for k, child in enumerate(children.get(i, ()))]
        waiting += reversed(below)
    return places


def births(trace: Sequence[Visit]) -> dict[int, int]:
    """The visit (from zero) in which each node got its value, by its `id`: a simulation values the
    node that it ends in, an expansion the children of the node that it opens.
    """
    found: dict[int, int] = {}
    for turn, visit in enumerate(trace):
        end = visit.path[-1]
        for node in [end] if visit.value is not None else end.children or ():
            found.setdefault(id(node), turn)
    return found


def _finite(number: float | None) -> float | None:
    return round(number, 4) if number is not None and math.isfinite(number) else None


def _why(hidden: Sequence[TreeNode]) -> str:
    """Why nodes are not drawn."""
    unseen = not any(node.visits or node.value is not None for node in hidden)
    return "never visited" if unseen else "not drawn"


class _Tree:
    """The tree of a search with the truth about it, as data for the page and as text."""

    def __init__(self, result: SearchResult, task, truth, drawn: list[TreeNode]):
        self.result, self.task, self.drawn = result, task, drawn
        self.space = Space(task, result.problem)
        self.index = {id(node): i for i, node in enumerate(drawn)}
        self.parents = [-1, *(self.index[id(node.parent)] for node in drawn[1:])]
        self.labels = [self._label(i) for i in range(len(drawn))]
        self.known = truth is not None
        self.truth = [_finite(self._true(node, truth)) for node in drawn]
        self.values = [_finite(node.value) for node in drawn]
        self.counts = any(visit.value is not None for visit in result.trace)
        self.noun = "simulation" if self.counts or not result.trace else "expansion"
        means = [_finite(node.mean) for node in drawn if node.visits and self.counts]
        numbers = [x for x in [*self.truth, *self.values, *means] if x is not None]
        largest = max([1e-3, *numbers])
        # Values are chances of winning, as a rule; only very small or larger ones set the scale.
        self.low, self.high = min([0.0, *numbers]), 1.0 if 0.1 < largest < 1 else largest

    def _alive(self, node: TreeNode) -> bool | None:
        state = node.node.state
        return None if state is None else self.task.solvable(state)

    def _true(self, node: TreeNode, truth) -> float | None:
        if self.known:
            return truth.get(node.node.prefix)
        alive = self._alive(node)
        return None if alive is None else float(alive)

    def _label(self, i: int) -> str:
        """The step to a node, with a check where it ends right and a star where it was returned."""
        node = self.drawn[i]
        name = step_text(node, node.parent) if i else "start"
        state = node.node.state
        solved = state is not None and self.task.is_solved(state)
        returned = self.result.response is not None and (
            self.space.complete(node.node)
            and self.space.response(node.node) == self.result.response
        )
        return name.replace("\n", " ") + " ✓" * solved + " ★" * returned

    def title(self) -> str:
        turns = len(self.result.trace)
        some = f"{turns} {self.noun}{'s' * (turns != 1)}" if turns else "no simulation"
        hidden = [n for n in self.result.tree.walk() if id(n) not in self.index]
        rest = f" ({len(hidden)} more {_why(hidden)})" if hidden else ""
        many = "s" * (len(self.drawn) != 1)
        return f"{harmless(str(self.result.problem))}: {some}, {len(self.drawn)} node{many}{rest}"

    def alt(self) -> str:
        """The finished tree in a sentence or two."""
        best, path = self.drawn[0], []
        while choices := [n for n in best.children or () if n.visits and id(n) in self.index]:
            best = max(choices, key=lambda n: (n.visits, n.value or 0.0))
            path.append(self.labels[self.index[id(best)]])
        way = f" Most visited: {', then '.join(path)}." if path else ""
        return f"A search tree. {self.title()}.{way}"

    def still(self) -> str:
        """The finished tree as a picture under its title."""
        rows = sum(i not in self.parents for i in range(len(self.drawn[:16])))
        with plt.rc_context(STYLE):
            figure, axis = plt.subplots(figsize=(8, 0.8 + 0.28 * max(5, rows)))
            draw_search(axis, self.task, self.result.tree, 16)
            picture = Picture(figure, self.alt())
            plt.close(figure)
        source = b64encode(picture.png).decode("ascii")
        image = f'<img src="data:image/png;base64,{source}" alt="{html.escape(picture.alt)}">'
        return f"<figcaption>{html.escape(self.title())}</figcaption>{image}"

    def choices(self) -> str:
        names = {"mean": "mean value Q so far", "value": "the judge's value", "truth": "the truth"}
        if not self.counts:
            del names["mean"]
        return "".join(f'<option value="{key}">{name}</option>' for key, name in names.items())

    def legend(self) -> str:
        parts = [
            f'<span><i style="background:{COLORS[round(40 * share)]}"></i>'
            f"{self.low + share * (self.high - self.low):.2g}</span>"
            for share in (0, 0.25, 0.5, 0.75, 1)
        ]
        parts.append(f'<span><i style="border:1.5px solid {GRAY}"></i>no value</span>')
        size = "larger: more visits" if self.counts else "large: opened"
        line = f'<i style="width:1.6em;height:3px;border-radius:0;background:{VIOLET};'
        parts.append(f"<span>{size}</span>")
        parts.append(f'<span>{line}vertical-align:.25em"></i>this {self.noun}</span>')
        parts.append("<span>✓ makes the goal</span><span>★ returned</span>")
        return "".join(parts)

    def data(self) -> str:
        """What the page's script draws, as JSON that can stand inside a script."""
        places = positions(self.parents)
        widest: dict[int, int] = {}  # of the labels in a column, in pixels
        for (depth, _), label in zip(places, self.labels, strict=True):
            narrow = 142 if depth else 126  # what the numbers need
            widest[depth] = max(widest.get(depth, narrow), 44 + round(7.2 * len(label)))
        ends = [12 + sum(widest[k] for k in range(d + 1)) for d in range(len(widest))]
        born = births(self.result.trace)
        nodes = []
        for i, node in enumerate(self.drawn):
            depth, row = places[i]
            text = harmless(node.node.prefix)
            nodes.append(
                {
                    "p": self.parents[i],
                    "x": ends[depth],
                    "y": 22 + ROW * row,
                    "w": widest[depth] - (20 if depth else 0),
                    "l": self.labels[i],
                    "s": text if len(text) <= LONGEST else f"… {text[-LONGEST:]}",
                    "P": _finite(node.prior),
                    "v": self.values[i],
                    "t": self.truth[i],
                    "b": born.get(id(node), len(self.result.trace)),
                    "u": self._rest(node),
                }
            )
        data = {
            "nodes": nodes,
            "trace": [self._shown(visit) for visit in self.result.trace],
            "colors": COLORS,
            "low": self.low,
            "high": self.high,
            "noun": self.noun,
            "counts": self.counts,
            "alive": not self.known,
            "alt": self.alt(),
            "width": ends[-1] + 30,
            "height": 44 + ROW * max(row for _, row in places),
        }
        text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        return text.replace("<", "\\u003c").replace("&", "\\u0026").replace(">", "\\u003e")

    def _rest(self, node: TreeNode) -> str:
        """How many of a node's steps are not drawn."""
        every = node.children or []
        hidden = [child for child in every if id(child) not in self.index]
        return f"{len(hidden)} of its {len(every)} next steps {_why(hidden)}" if hidden else ""

    def _shown(self, visit: Visit) -> list:
        """A visit as (the last drawn node, how many up from it are visited, the value)."""
        path = [node for node in visit.path if id(node) in self.index]
        drawn = next(n for n in reversed(visit.path[-1].path) if id(n) in self.index)
        return [self.index[id(drawn)], len(path), _finite(visit.value)]

    def text(self, most: int = 40) -> str:
        """The tree as an indented list."""
        children: dict[int, list[int]] = {}
        for i, parent in enumerate(self.parents):
            children.setdefault(parent, []).append(i)
        lines, waiting = [], [(0, 0)]
        while waiting:
            i, depth = waiting.pop()
            node, numbers = self.drawn[i], []
            if self.counts:
                numbers += [f"N {node.visits}", f"Q {node.mean:.2f}"]
            elif node.visits:
                numbers.append("opened")
            if self.values[i] is not None:
                numbers.append(f"judged {self.values[i]:.2f}")
            if self.truth[i] is not None:
                known, alive = f"true {self.truth[i]:.2f}", "alive" if self.truth[i] else "dead"
                numbers.append(known if self.known else alive)
            lines.append(f"{'  ' * depth}{self.labels[i]}  ({', '.join(numbers)})")
            waiting += [(child, depth + 1) for child in reversed(children.get(i, ()))]
        rest = [f"... and {len(lines) - most} more nodes"] if len(lines) > most else []
        return "\n".join([self.title(), *lines[:most], *rest])
