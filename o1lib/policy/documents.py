"""One training document, and what makes them (`o1lib.policy.corpus` joins the parts)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from o1lib.policy.traces import Piece


@dataclass(frozen=True)
class Document:
    """One training document: a user's prompt (None for plain text) and the pieces of the reply."""

    prompt: str | None
    pieces: list[Piece]

    @property
    def text(self) -> str:
        return " ".join(text for text, _ in self.pieces)


Part = Callable[[random.Random], Document]
