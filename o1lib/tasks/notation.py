r"""Lenient notation: what other people's models write, rewritten in our strict grammar.

Only signs are changed, never numbers: whatever is removed leaves a blank behind, so that two
numbers cannot become one, and everything that is not listed here is refused. What comes out goes
through the strict parser like any other answer. The text is read once from left to right, with a
stack for the braces; nothing is evaluated.

    white space of any kind, square brackets, and a trailing `= goal` that names the goal
    × · ∙ ⋅ ∗ • ✕ ✖ and x between blanks or brackets     ÷ ∕ ⁄     − – — ‐ ‑ ‒ ﹣ －     ＋
    $ \( \) \[ \]   \times \cdot \ast \div   \frac{a}{b}   \boxed{a}   \left \right   \, \; \! \quad

Left out on purpose: implied multiplication as in 2(3 + 4), `24 = ...`, words, other digits.
"""

from __future__ import annotations

import re

NOTATIONS = ("strict", "lenient")
MAX_ANSWER_CHARS = 4096
_SIGNS = {
    **dict.fromkeys("×·∙⋅∗•✕✖", "*"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("−–—‐‑‒﹣－", "-"),
    "＋": "+",
    "[": "(",
    "]": ")",
    "$": " ",
}
_COMMANDS = {
    **dict.fromkeys(("\\times", "\\cdot", "\\ast"), "*"),
    "\\div": "/",
    **dict.fromkeys(("\\left", "\\right", "\\quad", "\\(", "\\)", "\\[", "\\]"), " "),
    **dict.fromkeys(("\\,", "\\;", "\\:", "\\!", "\\ "), " "),
}
_FRACTIONS = ("\\frac", "\\dfrac", "\\tfrac")
_TIMES = re.compile(r"(?<=[\s)\]])[xX](?=[\s(\[])")
_PART = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
_BOX, _END_OF_BOX = "\x01", "\x02"  # where a box began and ended; refused in the text itself
_GOAL = re.compile(rf"=[ ]*+([0-9]{{1,30}})[ ]*+({_END_OF_BOX}?[ ]*+)\Z")


def check_notation(notation: str) -> None:
    """Raise `ValueError` unless it is "strict" or "lenient"."""
    if notation not in NOTATIONS:
        raise ValueError(f"unknown notation {notation!r}; choose from {', '.join(NOTATIONS)}")


def check_answer(text: str) -> None:
    """Raise `ValueError` with the reason for an answer that will not be read at all."""
    if not isinstance(text, str):
        raise ValueError(f"an answer must be text, got {type(text).__name__}")
    if len(text) > MAX_ANSWER_CHARS:
        raise ValueError(f"the answer is longer than {MAX_ANSWER_CHARS} characters")


def plain_expression(text: str, goal: int | None = None) -> str:
    """An expression in lenient notation, rewritten for `parse_expression`.

    Args:
        goal: what a trailing `= goal` must name.

    Raises `ValueError` with a plain reason for what cannot be rewritten.
    """
    check_answer(text)
    out = _rewritten(_TIMES.sub("*", text))
    stated = _GOAL.search(out)
    if stated and goal is not None:
        if stated[1].lstrip("0") != str(goal):
            raise ValueError(f"the answer claims to be {stated[1][:20]}, the goal is {goal}")
        out = out[: stated.start()] + stated[2]
    out = out.strip(" ")
    if out.startswith(_BOX) and out.endswith(_END_OF_BOX) and out.count(_BOX) == 1:
        return out[1:-1].strip(" ")  # a box around the whole is no bracket
    return out.replace(_BOX, "(").replace(_END_OF_BOX, ")")


def _rewritten(text: str) -> str:
    out: list[str] = []
    closing: list[str] = []  # what the open braces close with
    wants_brace = None  # the command that must be followed by a brace
    for part in _PART.findall(text):
        if part.isspace():
            out.append(" ")
        elif part == "{":
            opening, end = {
                None: ("(", ")"),
                "\\boxed": (_BOX, _END_OF_BOX),
                "the second part of \\frac": ("(", "))"),
            }.get(wants_brace, ("((", ")/"))
            out.append(opening)
            closing.append(end)
            wants_brace = None
        elif wants_brace:
            raise ValueError(f"{wants_brace} needs braces")
        elif part == "}":
            if not closing:
                raise ValueError("a brace closes that was not opened")
            out.append(closing.pop())
            if out[-1] == ")/":
                wants_brace = "the second part of \\frac"
        elif part in _FRACTIONS or part == "\\boxed":
            wants_brace = part
        elif part in _COMMANDS:
            out.append(_COMMANDS[part])
        elif len(part) > 1 or part in (_BOX, _END_OF_BOX):
            raise ValueError(f"the answer contains {ascii(part)[1:-1]:.20}, which is not allowed")
        else:  # the strict parser names what it does not allow
            out.append(_SIGNS.get(part, part))
    if closing or wants_brace:
        raise ValueError("a brace is not closed" if closing else f"{wants_brace} needs braces")
    return "".join(out)
