"""The mixtures of the policies that write straight chains (instruction `solve`), one for each
world: what reward models and searches begin with, because a straight chain of a small policy often
fails.
"""

from __future__ import annotations

from o1lib.policy.corpus import solve_part, straight_part
from o1lib.policy.documents import Part
from o1lib.policy.drills import equations_part
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.jugs import Jugs


def arithmetic_parts() -> dict[str, tuple[float, Part]]:
    """Expressions of 4, 5 and 6 numbers, as many tokens of each, and single equations."""
    chains = {f"{n} numbers": (1, straight_part(Arithmetic(n))) for n in (4, 5, 6)}
    return chains | {"equations": (1, equations_part)}


def countdown_parts() -> dict[str, tuple[float, Part]]:
    """Puzzles of 3 to 6 numbers; the chain is a random one of the solutions."""
    return {f"{n} numbers": (1, solve_part(n)) for n in (3, 4, 5, 6)}


def jugs_parts() -> dict[str, tuple[float, Part]]:
    """Two and three jugs; the chain is a shortest one."""
    return {f"{n} jugs": (1, straight_part(Jugs(n))) for n in (2, 3)}
