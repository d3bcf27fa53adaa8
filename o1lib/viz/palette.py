"""The course's colors: six that everybody can tell apart, on white paper and in a dark theme.

Each has a contrast of at least 3 to 1 on white and on #111111 (what WCAG asks of graphics), and any
two are at least 16 apart (CIEDE2000) in ordinary, deutan and protan vision; the tests compute it.
"""

from __future__ import annotations

VIOLET, MUSTARD, GREEN, PLUM, LILAC, OLIVE = (
    "#910ff5",
    "#9b910f",
    "#50a07d",
    "#915f82",
    "#aa87c3",
    "#64690f",
)
GRAY = "#777777"  # axes, text and what is not in question: readable on both grounds

# Curves and bars take them in this order; the gray comes after them.
COLORS = [VIOLET, MUSTARD, GREEN, PLUM, LILAC, OLIVE, GRAY]

BEHAVIOR_COLORS = {
    "problem analysis": OLIVE,
    "task decomposition": LILAC,
    "task completion": GREEN,
    "alternative proposal": PLUM,
    "self-evaluation": MUSTARD,
    "self-correction": VIOLET,
}

# Numbers with a sign: orange below zero, gray at zero, blue above.
ORANGE, BLUE = "#c8640a", "#2d73e1"


def _signed(value: float) -> tuple[float, list[int]]:
    """The strength of a number's color, which grows with the square root of its size (small ones
    show their sign too), and the color's three parts.
    """
    end, share = (BLUE if value > 0 else ORANGE), min(1.0, abs(value)) ** 0.5
    return share, [
        round((1 - share) * int(GRAY[i : i + 2], 16) + share * int(end[i : i + 2], 16))
        for i in (1, 3, 5)
    ]


def diverging(value: float) -> str:
    """The ground (#rrggbbaa) behind text for a number from -1 (orange) over 0 (gray) to 1 (blue).

    It is a glaze over the page's own ground, so that the page's own text stays readable on it.
    """
    share, parts = _signed(value)
    return "#{:02x}{:02x}{:02x}{:02x}".format(*parts, round(255 * (0.12 + 0.4 * share)))


def solid(value: float) -> str:
    """The same color (#rrggbb) for a dot or a bar, of a contrast of 3 to 1 on both grounds."""
    return "#{:02x}{:02x}{:02x}".format(*_signed(value)[1])
