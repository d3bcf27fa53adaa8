"""A chain in the terminal, written while the model writes it: a thought a line, in the color of its
behavior.

What a model writes is hostile text, and a terminal obeys control characters: they are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from o1lib.viz.palette import BEHAVIOR_COLORS, GRAY
from o1lib.viz.trace import behavior_of, color_of, indent_of, lines, mark_of, plain_english

PLAIN, COLORS_256, TRUE_COLOR = 0, 256, 1 << 24
_SIGNS = str.maketrans({"✓": "+", "✗": "x", "↻": "~", "—": "-", "×": "*", "−": "-"})


def color_depth(stream, environ: Mapping[str, str]) -> int:
    """How many colors may be written: none into files and pipes, or where NO_COLOR is set."""
    dumb = environ.get("TERM") == "dumb"
    if environ.get("NO_COLOR") or dumb or not getattr(stream, "isatty", lambda: False)():
        return PLAIN
    rich = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    return TRUE_COLOR if rich else COLORS_256


def paint(text: str, color: str, depth: int) -> str:
    """Text in a color given as #rrggbb, by the escapes of a terminal of that depth."""
    if depth == PLAIN or not text:
        return text
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    if depth == TRUE_COLOR:
        return f"\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"
    r, g, b = (round(part / 51) for part in (red, green, blue))  # the cube of 6 x 6 x 6 colors
    return f"\x1b[38;5;{16 + 36 * r + 6 * g + b}m{text}\x1b[0m"


def harmless(text: str) -> str:
    """Text without the control characters that a terminal would obey; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def fitted(text: str, encoding: str | None) -> str:
    """Text that a stream of this encoding can write: signs as letters, other letters as `?`."""
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.translate(_SIGNS).encode(encoding, "replace").decode(encoding)


def legend(depth: int) -> str:
    """The names of the six behaviors in their colors."""
    return "  ".join(paint(f"■ {name}", color, depth) for name, color in BEHAVIOR_COLORS.items())


def settled(text: str) -> str:
    """The part of an unfinished chain whose cut into thoughts is certain.

    The last word may go on, and numbers belong to the thought before or after them.
    """
    return re.sub(r"(?:(?<=\s)|^)(?:[0-9]+\s+)*\S*\Z", "", text).rstrip()


def _colored(thought: str, start: int, depth: int) -> str:
    """A thought from a place on: each word in the color of what is shown up to it, so that one sees
    a computation turn into a verdict; what comes before the first behavior takes the color of that.
    """
    words = re.finditer(r"\s*\S+", thought[start:])
    found = ((word[0], behavior_of(thought[: start + word.end()])) for word in words)
    end = color_of(thought)
    return "".join(paint(word, BEHAVIOR_COLORS.get(name, end), depth) for word, name in found)


def write_live(
    pieces: Iterable[str],
    write: Callable[[str], object],
    depth: int = PLAIN,
    english: bool = False,
) -> str:
    """Write a chain while its pieces arrive, a thought a line; returns the whole text.

    Args:
        pieces: what the model adds to its text, token by token.
        write: takes the next characters of the output.
        depth: of the colors, see `color_depth`.
        english: write each thought in fuller English as soon as it is complete, instead of word by
            word as the model puts it.
    """
    text, begun, written = "", 0, ""  # begun: thoughts on the screen; written: of the last of them

    def end_line() -> None:
        if begun and english:
            write(f"{indent_of(written)}{paint(plain_english(written), color_of(written), depth)}")
        if begun:
            mark = mark_of(written)
            write((f" {paint(mark, color_of(written), depth)}" if mark else "") + "\n")

    def show(part: str) -> None:
        nonlocal begun, written
        thoughts = lines(part)
        for i in range(max(begun - 1, 0), len(thoughts)):
            if i >= begun:
                end_line()
                begun, written = i + 1, ""
                if not english:
                    write(indent_of(thoughts[i]))
            if not english:
                write(_colored(thoughts[i], len(written), depth))
            written = thoughts[i]

    for piece in pieces:
        text += piece
        show(harmless(settled(text)))
    show(harmless(text))
    end_line()
    return text


def verdict_line(verdict, tokens: int, seconds: float, depth: int = PLAIN) -> str:
    """The verdict with its reason, and what it cost."""
    word = "✓ right" if verdict.correct else "✗ wrong"
    color = BEHAVIOR_COLORS["task completion" if verdict.correct else "self-evaluation"]
    cost = paint(f"({tokens} tokens in {seconds:.1f} s)", GRAY, depth)
    return f"{paint(word, color, depth)}: {harmless(verdict.reason)} {cost}"
