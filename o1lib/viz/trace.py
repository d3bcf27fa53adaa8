"""A chain of thought, made readable: one thought a line, with the behavior it shows in words and in
color, and its dense words spelled out.
"""

from __future__ import annotations

import html
import re

from IPython.display import HTML

from o1lib.policy.behaviors import BEHAVIOR_OF
from o1lib.viz.palette import BEHAVIOR_COLORS, GRAY

# What the dense words mean, in fuller English.
ENGLISH = [
    (r"<think> use ([0-9 ]+) for ([0-9]+)", r"I have \1 and must make \2."),
    (r"try ([0-9]+) ([0-9]+) get ([0-9 ]+) rest ([0-9]+) ([0-9]+)",
     r"Try \1 with \2: that gives \3; \4 and \5 are left."),
    (r"try ([0-9]+ [-+*/] [0-9]+) = ([0-9]+) rest ([0-9 ]+) for ([0-9]+)",
     r"Try \1 = \2; then \3 are left for \4."),
    (r"want ([0-9]+) ([0-9]+) get ([0-9 ]+) :",
     r"For \1, keep \2 for last: the others must make one of \3."),
    (r"join ([0-9]+) ([0-9]+) get ([0-9 ]+) :",
     r"Or join it with \1 and \2, which give \3. What do goal and result want?"),
    (r"then ([0-9]+ [-+*/] [0-9]+) = ([0-9]+) get ([0-9]+) ([0-9]+) : ([0-9 ]*) ?for ([0-9]+)",
     r"then \1 = \2; \3 and \4 give \5, for \6:"),
    (r"want ([0-9]+) :", r"I need \1."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) wait", r"\1 and \2 give \3 — wait, that is wrong."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) no", r"\1 and \2 give \3: no."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) yes", r"\1 and \2 give \3: yes!"),
    (r"dead", r"Nothing works here."),
    (r"so (.+?) </think>", r"So: \1."),
    (r"<answer> (.+?) </answer>", r"Answer: \1"),
]  # fmt: skip
_OPENERS = r"(?<!\S)(?=(?:try|want|join|then|dead|so|<answer>|[0-9]+ [0-9]+ get)(?: |$))"
# A thought often shows several behaviors; it is named after the first of these.
_SPECIFIC = (
    "self-correction",
    "self-evaluation",
    "task decomposition",
    "alternative proposal",
    "problem analysis",
    "task completion",
)
_TABLE = '<table style="color:inherit;font-size:inherit">'  # also where a page's tables are black
_MARKS = {"yes": "✓", "no": "✗", "dead": "✗", "wait": "↻"}


def lines(text: str) -> list[str]:
    """A chain cut into thoughts."""
    # `try a b get`, `join a b get`, `want a b get` contain a pair: only pairs that open one cut.
    parts = [part.strip() for part in re.split(_OPENERS, text) if part.strip()]
    joined: list[str] = []
    for part in parts:
        if (joined and joined[-1] in ("try", "join", "want")) or (
            joined and joined[-1].endswith(" wait")
        ):
            joined[-1] += f" {part}"
        else:
            joined.append(part)
    return joined


def in_english(text: str) -> str:
    """One thought in fuller English; what has no rule stays as it is."""
    for pattern, replacement in ENGLISH:
        text = re.sub(pattern, replacement, text)
    return text


def behavior_of(line: str) -> str:
    """The behavior that a thought shows most specifically, or an empty text."""
    shown = {BEHAVIOR_OF.get(word) for word in line.split()}
    return next((name for name in _SPECIFIC if name in shown), "")


def color_of(line: str) -> str:
    """The color of the behavior that a thought shows most specifically; gray for none."""
    return BEHAVIOR_COLORS.get(behavior_of(line), GRAY)


def mark_of(line: str) -> str:
    """A check for a thought that says yes, a cross for no, a turn for wait: its last verdict."""
    return next((_MARKS[word] for word in reversed(line.split()) if word in _MARKS), "")


def plain_english(line: str) -> str:
    """One thought in fuller English without the tags."""
    return re.sub(r"</?(think|answer)>", "", in_english(line)).strip()


def indent_of(line: str, blanks: str = "  ") -> str:
    """The blanks before a thought: alternatives stand out, their trials are indented."""
    if re.match(r"try|dead|so|<", line):
        return ""
    return blanks if re.match(r"want|join|then", line) else 2 * blanks


class Chain(HTML):
    """A chain as a table; where no HTML is shown it is the same in plain text."""

    def __init__(self, page: str, text: str):
        super().__init__(page)
        self.text = text

    def __repr__(self) -> str:
        return self.text


def show_chain(
    prompt: str, response: str, verdict=None, english: bool = True, most: int = 60
) -> Chain:
    """A chain as a table: the behavior of each thought, its dense words, and the English.

    Says all in words and signs, so that nothing is lost where a page drops styles or colors.
    Thoughts beyond the first `most` are folded.
    """
    thoughts = lines(response)
    rows = [_row(line, english) for line in thoughts]
    head = "".join(
        f'<th style="text-align:left">{name}</th>'
        for name in ("behavior", "thought", *(("in English",) if english else ()))
    )
    table = f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(rows[:most])}</tbody></table>"
    if len(rows) > most:
        table += (
            f"<details><summary>{len(rows) - most} more thoughts</summary>{_TABLE}"
            f"<tbody>{''.join(rows[most:])}</tbody></table></details>"
        )
    mark, plain = "", ""
    if verdict is not None:
        plain = f" -> {'✓ right' if verdict.correct else '✗ wrong'}: {verdict.reason}"
        word = "✓ right" if verdict.correct else "✗ wrong"
        mark = f" &rarr; <b>{word}</b>: {html.escape(verdict.reason)}"
    page = f"<p><b>{html.escape(prompt)}</b>{mark}</p>{table}"
    shown = thoughts if len(thoughts) <= most else [*thoughts[:most], "..."]
    rest = "\n".join(f"{behavior_of(x):22s}{indent_of(x)}{x}" for x in shown)
    return Chain(page, f"{prompt}{plain}\n{rest}")


def _row(line: str, english: bool) -> str:
    name, color = behavior_of(line), color_of(line)
    dense = indent_of(line, 4 * "&nbsp;") + f"<code>{html.escape(line)}</code>"
    cell = 'style="text-align:left;vertical-align:top'
    row = (
        f'<td {cell};border-left:5px solid {color};padding-left:8px;white-space:nowrap">{name}</td>'
    )
    row += f'<td {cell}">{dense}{f" <b>{mark_of(line)}</b>" if mark_of(line) else ""}</td>'
    if english:
        row += f'<td {cell}">{html.escape(plain_english(line))}</td>'
    return f"<tr>{row}</tr>"


def draw_chain(axis, prompt: str, response: str, most: int = 24) -> None:
    """The same in a figure: one dense thought a line with its mark, beside it the color of its
    behavior, and a legend.
    """
    all_lines = lines(response)
    shown = (
        all_lines if len(all_lines) <= most else [*all_lines[: most - 6], "...", *all_lines[-5:]]
    )
    axis.axis("off")
    axis.set_title(prompt, loc="left", family="monospace", fontsize=9)
    for i, line in enumerate(shown):
        color = color_of(line)
        y = 1 - (i + 0.5) / (len(shown) + 1)
        text = f"{line[:70]} {mark_of(line)}"
        axis.text(0.02, y, text, family="monospace", fontsize=7.5, va="center")
        axis.plot([0, 0], [y - 0.018, y + 0.018], color=color, lw=5, solid_capstyle="butt")
    axis.set(xlim=(-0.02, 1), ylim=(0, 1))
    present = {behavior_of(line) for line in shown}
    for i, name in enumerate(name for name in BEHAVIOR_COLORS if name in present):
        y = 0.97 - 0.055 * i
        axis.text(0.98, y, name, fontsize=8, ha="right", va="center")
        color = BEHAVIOR_COLORS[name]
        axis.plot([1, 1], [y - 0.02, y + 0.02], color=color, lw=5, solid_capstyle="butt")
