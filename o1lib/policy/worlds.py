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
    """Expressions of 4, 5 and 6 numbers, mostly the longest (which hold the others), and as many
    tokens of single equations: a short training then meets the rare ones too.
    """
    shares = {4: 1, 5: 4, 6: 10}
    chains = {f"{n} numbers": (s, straight_part(Arithmetic(n))) for n, s in shares.items()}
    return chains | {"equations": (15, equations_part)}


def countdown_parts() -> dict[str, tuple[float, Part]]:
    """Puzzles of 3 to 6 numbers, as many tokens of each, and single equations. Three steps in ten
    are blind, so that the policy learns to end honestly where the goal is out of reach.
    """
    chains = {f"{n} numbers": (1, solve_part(n, blind=0.3)) for n in (3, 4, 5, 6)}
    return chains | {"equations": (1, equations_part)}


def jugs_parts() -> dict[str, tuple[float, Part]]:
    """Two and three jugs, as many tokens of each; the chain is a shortest one."""
    return {f"{n} jugs": (1, straight_part(Jugs(n))) for n in (2, 3)}
