"""A strip under a response, one cell a step: what a judge gives the step and what it is truly
worth, side by side, so that one sees where the judge is wrong.

One piece of HTML without scripts. Every number stands in words too, so that nothing but the grounds
is lost where a page drops styles; what a model writes is escaped.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.reward.process import node_values
from o1lib.reward.winning import exact_values
from o1lib.search.requests import Scorer
from o1lib.tasks.space import Node, Space
from o1lib.viz.palette import GRAY, diverging
from o1lib.viz.terminal import harmless
from o1lib.viz.trace import Chain, lines
from o1lib.viz.tree import spelled

Judge = Sequence[float] | Mapping[str, float] | Callable[[Node], float] | Scorer | Policy
WRONG = 0.25  # a judge that is off by so much is marked


def step_ends(space: Space, response: str) -> list[Node]:
    """What has been written at the end of every step of a response to `solve`, or of every thought
    of another. The state is known where all that has been written is canonical.
    """
    if space.instruction == "solve":
        ends = [m.end() for m in re.finditer(r"[^;]*?(?:;|</think>)", response)]
        closed = response.find("</think>")
        ends = [e for e in ends if closed < 0 or e <= closed + len("</think>")]
        if closed < 0 and response[ends[-1] if ends else 0 :].strip():
            ends.append(len(response))  # a chain that was cut off in a step
        prefixes = [response[:end] for end in ends]
    else:
        thoughts = lines(" ".join(response.split()))
        prefixes = [" ".join(thoughts[: i + 1]) for i in range(len(thoughts))]
    states = {node.prefix: node.state for node in space.read(response)}
    return [Node(text, states.get(text), i + 1) for i, text in enumerate(prefixes)]


def values_along(space: Space, response: str, judge: Judge) -> list[float | None]:
    """A judge's value at the end of every step.

    Args:
        judge: numbers, one a step; values by text (`{v.node.prefix: v.value for v in tree}`, texts
            that are not listed are worth zero); a function of a node; a scorer, such as a value
            head; or a policy, for its exact values (three numbers, or an Arithmetic expression;
            texts that are not canonical are worth zero).

    Raises `ValueError` where numbers do not fit the steps.
    """
    nodes = step_ends(space, response)
    if isinstance(judge, Policy):
        [table] = exact_values(judge, [space])
        values = [table.get(tuple(encode_text(judge.tokenizer, n.prefix)), 0.0) for n in nodes]
    elif hasattr(judge, "score"):
        values = node_values(judge, [(space, node) for node in nodes])
    elif isinstance(judge, Mapping):
        values = [judge.get(node.prefix, 0.0) for node in nodes]
    elif callable(judge):
        values = [judge(node) for node in nodes]
    else:
        values = list(judge)
    if len(values) != len(nodes):
        raise ValueError(f"{len(values)} values for {len(nodes)} steps")
    numbers = [None if x is None else float(x) for x in values]
    return [x if x is not None and math.isfinite(x) else None for x in numbers]


def value_strip(
    space: Space,
    response: str,
    learned: Judge,
    exact: Judge,
    names: tuple[str, str] = ("learned", "exact"),
) -> Chain:
    """A strip under a response: at the end of every step the learned value beside the exact one,
    orange for zero and blue for one; where they differ by a quarter or more the cell is framed.

    Args:
        space: of the problem, with the instruction that the response follows.
        learned, exact: values, or who gives them; see `values_along`.
        names: what the two are called in the cells.

    Raises `ValueError` where numbers do not fit the steps, and for one name for both.
    """
    if names[0] == names[1]:
        raise ValueError(f"learned and exact values are both called {names[0]!r}")
    nodes = step_ends(space, response)
    rows = [values_along(space, response, judge) for judge in (learned, exact)]
    steps, before = [], ""
    for node in nodes:
        steps.append(harmless(node.prefix[len(before) :]).strip(" ;\n"))
        before = node.prefix
    verdict = space.task.verify(space.problem, response)
    word = "✓ right" if verdict.correct else "✗ wrong"
    asked, reason = harmless(str(space.problem)), harmless(verdict.reason)
    cells = [
        _Cell(i + 1, step, dict(zip(names, pair, strict=True)))
        for i, (step, *pair) in enumerate(zip(steps, *rows, strict=True))
    ]
    page_of = "".join(cell.page() for cell in cells)
    said = _summary(cells)
    page = (
        f"<p><b>{html.escape(asked)}</b> &rarr; <b>{word}</b>: {html.escape(reason)}</p>"
        f'<ol style="list-style:none;padding:0;margin:0;font-size:14px">{page_of}</ol>'
        f"<p>{html.escape(said)}</p>"
    )
    table = [f"{'step':30s}{names[0]:>12s}{names[1]:>12s}{'off by':>10s}"]
    return Chain(page, "\n".join([f"{asked} -> {word}: {reason}", *table, *map(str, cells), said]))


def _summary(cells: Sequence[_Cell]) -> str:
    known = [cell for cell in cells if cell.error is not None]
    if not known:
        return "" if cells else "There are no steps."
    worst = max(known, key=lambda cell: abs(cell.error))
    frames = sum(cell.wrong for cell in known)
    framed = f" {frames} of {len(cells)} framed: off by {WRONG} or more." if frames else ""
    return f"Furthest apart at {worst.sentence()}.{framed}"


def _shown(number: float | None, form: str = ".2f") -> str:
    return "–" if number is None else format(number, form).replace("-", "−")


class _Cell:
    """One step with its two values."""

    def __init__(self, place: int, step: str, values: dict[str, float | None]):
        self.place, self.step, self.values = place, step, values
        learned, exact = values.values()
        known = learned is not None and exact is not None
        self.error = learned - exact if known else None
        self.wrong = known and abs(self.error) >= WRONG

    def sentence(self) -> str:
        parts = [f"{name} {_shown(x, '.3f')}" for name, x in self.values.items()]
        return f"step {self.place} ({spelled(self.step)}): {', '.join(parts)}"

    def __str__(self) -> str:
        numbers = "".join(f"{_shown(x):>12s}" for x in self.values.values())
        mark = "  <-" if self.wrong else ""
        return f"{spelled(self.step):30s}{numbers}{_shown(self.error, '+.2f'):>10s}{mark}"

    def page(self) -> str:
        halves = "".join(
            f'<span style="display:inline-block;width:50%;text-align:center;padding:3px 0;'
            f'box-sizing:border-box{self._ground(x)}"><b>{_shown(x)}</b><br>'
            f"<small>{html.escape(name)}</small></span>"
            for name, x in self.values.items()
        )
        off = f"off by {_shown(self.error, '+.2f')}" if self.error is not None else "not known"
        border = "2px solid" if self.wrong else f"1px solid {GRAY}"
        off = f"<b>{off} ≠</b>" if self.wrong else off
        return (
            f'<li title="{html.escape(f"{self.step}: {self.sentence()}")}" style="display:'
            f"inline-block;vertical-align:top;min-width:10.5em;margin:0 6px 6px 0;border:{border};"
            f'border-radius:5px;text-align:center;overflow:hidden;line-height:1.35">'
            f'<div style="padding:3px 6px;white-space:nowrap">{html.escape(spelled(self.step))}'
            f'</div><div style="font-size:0"><div style="font-size:13px">{halves}</div></div>'
            f'<div style="padding:2px 4px"><small>{off}</small></div></li>'
        )

    def _ground(self, value: float | None) -> str:
        return "" if value is None else f";background-color:{diverging(2 * value - 1)}"
