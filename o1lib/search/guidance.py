"""Guidance: what a search asks about partial solutions. Anything that gives values can stand in for anything else: a
trained value head, or the truth, with as much noise as one likes.

Used in notebook 03, section 3.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from o1lib.tasks.space import Node, Space


class Guidance(Protocol):
    """Values of partial solutions, higher is better; `scored_tokens` says what judging one costs."""

    def values(self, spaces: Sequence[Space], nodes: Sequence[Node]) -> list[float]: ...

    def scored_tokens(self, space: Space, node: Node) -> int: ...


class OracleGuidance:
    """The truth as guidance: one for a state that can still win, else zero, plus Gaussian noise of a chosen level.

    The noise of a state is fixed by the seed: asking twice does not help. It costs no tokens.
    """

    def __init__(self, noise: float = 0.0, seed: int = 0):
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        self.noise, self.seed = noise, seed

    def values(self, spaces: Sequence[Space], nodes: Sequence[Node]) -> list[float]:
        return [self._value(s, n) for s, n in zip(spaces, nodes, strict=True)]

    def _value(self, space: Space, node: Node) -> float:
        alive = float(space.task.solvable(node.state))
        if not self.noise:
            return alive
        return alive + random.Random(f"{self.seed} {space.problem} {node.state}").gauss(
            0, self.noise
        )

    def scored_tokens(self, space: Space, node: Node) -> int:
        return 0
