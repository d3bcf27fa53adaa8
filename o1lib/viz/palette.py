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
