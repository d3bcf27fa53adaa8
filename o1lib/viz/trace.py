"""A chain of thought, made readable: one thought a line, colored by behavior, with the dense words
spelled out.
"""

from __future__ import annotations

import html
import re

from IPython.display import HTML

from o1lib.policy.behaviors import BEHAVIOR_OF
from o1lib.viz.plots import COLORS

# What the dense words mean, in fuller English.
ENGLISH = [
    (r"<think> use ([0-9 ]+) for ([0-9]+)", r"I have \1 and must make \2."),
    (r"try ([0-9]+) ([0-9]+) get ([0-9 ]+) rest ([0-9]+) ([0-9]+) for ([0-9]+)",
     r"Try \1 with \2: that gives \3; \4 and \5 are left, and the goal is still \6."),
    (r"try ([0-9]+ [-+*/] [0-9]+) = ([0-9]+) rest ([0-9 ]+) for ([0-9]+)", r"Try \1 = \2; then \3 are left for \4."),
    (r"keep ([0-9]+) want ([0-9 ]+) :", r"Keep \1 for last: the others must make one of \2."),
    (r"join ([0-9]+) ([0-9]+) get ([0-9 ]+) :", r"Or join it with \1 and \2, which give \3:"),
    (r"then ([0-9]+ [-+*/] [0-9]+) = ([0-9]+) get ([0-9]+) ([0-9]+) : ([0-9 ]*) ?for ([0-9]+)",
     r"then \1 = \2; \3 and \4 give \5, for \6:"),
    (r"want ([0-9]+) :", r"I need \1."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) wait", r"\1 and \2 give \3 — wait, that is wrong."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) no", r"\1 and \2 give \3: no."),
    (r"([0-9]+) ([0-9]+) get ([0-9 ]+) yes", r"\1 and \2 give \3: yes!"),
    (r"([0-9]+) want ([0-9 ]*) ?no", r"\1 would need \2: no."),
    (r"([0-9]+) want ([0-9 ]+) yes", r"\1 would need \2: yes!"),
    (r"dead", r"Nothing works here."),
    (r"so (.+?) </think>", r"So: \1."),
    (r"<answer> (.+?) </answer>", r"Answer: \1"),
]  # fmt: skip
_OPENERS = (
    r"(?<!\S)(?=(?:try|keep|join|then|dead|so|<answer>|[0-9]+ [0-9]+ get|[0-9]+ want)(?: |$))"
)


def lines(text: str) -> list[str]:
    """A chain cut into thoughts."""
    # `try a b get` and `join a b get` contain a pair: only pairs that open a thought cut.
    parts = [part.strip() for part in re.split(_OPENERS, text) if part.strip()]
    joined: list[str] = []
    for part in parts:
        if (
            (joined and joined[-1] in ("try", "join"))
            or (joined and joined[-1].endswith(" wait"))
            or (joined and re.fullmatch(r"keep [0-9]+|keep|join [0-9]+", joined[-1]))
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


def color_of(line: str) -> str:
    """The color of the behavior that a thought shows most specifically."""
    names = list(dict.fromkeys(BEHAVIOR_OF.values()))
    words = line.split()
    for name in (
        "self-correction",
        "self-evaluation",
        "task decomposition",
        "alternative proposal",
        "problem analysis",
        "task completion",
    ):
        if any(BEHAVIOR_OF.get(word) == name for word in words):
            return COLORS[names.index(name)]
    return "#555555"


def show_chain(
    prompt: str, response: str, verdict=None, english: bool = True, most: int = 60
) -> HTML:
    """A chain as colored lines, its dense words beside the English."""
    rows = []
    all_lines = lines(response)
    for line in all_lines[:most]:
        dense = html.escape(line)
        plain = html.escape(re.sub(r"</?(think|answer)>", "", in_english(line))) if english else ""
        indent = (
            0
            if re.match(r"try|dead|so|<", line)
            else 1.5
            if re.match(r"keep|join|then", line)
            else 3
        )
        rows.append(
            f'<tr><td style="text-align:left;border-left:4px solid {color_of(line)};padding:1px 8px 1px {8 + 12 * indent}px;'
            f'font-family:monospace">{dense}</td><td style="text-align:left;padding:1px 12px">{plain}</td></tr>'
        )
    if len(all_lines) > most:
        rows.append(f"<tr><td>... {len(all_lines) - most} more lines</td><td></td></tr>")
    mark = (
        ""
        if verdict is None
        else f" &rarr; <b>{'right' if verdict.correct else 'wrong'}</b>: {html.escape(verdict.reason)}"
    )
    return HTML(f"<p><b>{html.escape(prompt)}</b>{mark}</p><table>{''.join(rows)}</table>")


def draw_chain(axis, prompt: str, response: str, most: int = 24) -> None:
    """The same in a figure: one dense thought a line, in the color of its behavior, with a legend."""
    all_lines = lines(response)
    shown = (
        all_lines if len(all_lines) <= most else [*all_lines[: most - 6], "...", *all_lines[-5:]]
    )
    axis.axis("off")
    axis.set_title(prompt, loc="left", family="monospace", fontsize=9)
    for i, line in enumerate(shown):
        color = color_of(line)
        y = 1 - (i + 0.5) / (len(shown) + 1)
        axis.text(0.02, y, line[:72], color=color, family="monospace", fontsize=7.5, va="center")
        axis.plot([0, 0], [y - 0.018, y + 0.018], color=color, lw=3, solid_capstyle="butt")
    axis.set(xlim=(-0.02, 1), ylim=(0, 1))
    names = list(dict.fromkeys(BEHAVIOR_OF.values()))
    present = {color_of(line) for line in shown}
    for i, name in enumerate(n for n in names if COLORS[names.index(n)] in present):
        axis.text(
            1.0, 0.97 - 0.055 * i, name, color=COLORS[names.index(name)], fontsize=8, ha="right"
        )
