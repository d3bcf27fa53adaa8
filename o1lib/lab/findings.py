"""Findings: claims in the prose of a notebook that are checked, by sign and order, on every run.

    finding("RL raises pass@1", low, at_least=0.1, scale=SCALE, holds_at=("laptop", "gpu"))

shows the sentence with its number and whether it holds. `o1lib run` fails where a finding does not
hold at a scale where it should; at other scales the reader is told that the scale cannot show it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from o1lib.lab.paths import SCALES
from o1lib.lab.results import outputs_of

MIME = "application/vnd.o1lib.finding+json"


@dataclass(frozen=True)
class Finding:
    """A claim, its number, the bounds it must keep, and the scales at which it must."""

    sentence: str
    value: float
    scale: str
    holds_at: tuple[str, ...]
    bounds: tuple[tuple[str, float], ...]  # ("at least", 0.1), ("below", 0.5)

    @property
    def held(self) -> bool:
        """Whether the number keeps its bounds (one that is not a number does not)."""
        keeps = {
            "at least": lambda bound: self.value >= bound,
            "at most": lambda bound: self.value <= bound,
            "above": lambda bound: self.value > bound,
            "below": lambda bound: self.value < bound,
        }
        return math.isfinite(self.value) and all(keeps[how](bound) for how, bound in self.bounds)

    @property
    def shown(self) -> bool:
        """Whether this scale can show it."""
        return self.scale in self.holds_at

    @property
    def ok(self) -> bool:
        return self.held or not self.shown

    def numbers(self) -> str:
        """The number and its bounds: `0.152, at least 0.1`."""
        return ", ".join([f"{self.value:.4g}", *(f"{how} {b:.4g}" for how, b in self.bounds)])

    def text(self) -> str:
        """What the reader sees, as Markdown."""
        if not self.shown:
            why = f"*At this scale ({self.scale}) this cannot be shown:*"
            return f"{why} {self.sentence} ({self.value:.4g} here)."
        if self.held:
            return f"✓ **{self.sentence}**: {self.numbers()}."
        return f"✗ **{self.sentence}**: this did **not** hold in this run ({self.numbers()})."


def finding(
    sentence: str,
    value: float,
    *,
    scale: str,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    holds_at: Sequence[str] = SCALES,
) -> None:
    """State a claim with its number, for the reader and for the runner.

    Args:
        value: the number that carries the claim: best the near end of its interval.
        scale: the notebook's `SCALE`.
        at_least, at_most, above, below: what the number must keep, one or more; `above=other` says
            an order between two measured numbers.
        holds_at: the scales that are large enough to show it.

    Raises `ValueError` for no bound or an unknown scale.
    """
    from IPython.display import display

    given = {"at least": at_least, "at most": at_most, "above": above, "below": below}
    bounds = tuple((how, float(bound)) for how, bound in given.items() if bound is not None)
    if not bounds:
        raise ValueError(f"the finding {sentence!r} has no bound, so nothing could contradict it")
    for name in (scale, *holds_at):
        if name not in SCALES:
            raise ValueError(f"unknown scale {name!r}; choose from {', '.join(SCALES)}")
    found = Finding(sentence.rstrip("."), float(value), scale, tuple(holds_at), bounds)
    data = {MIME: asdict(found), "text/markdown": found.text(), "text/plain": found.text()}
    display(data, raw=True)


def findings(notebook: dict) -> list[Finding]:
    """The findings of an executed notebook, in order."""
    return [
        Finding(
            data["sentence"],
            float(data["value"]),
            data["scale"],
            tuple(data["holds_at"]),
            tuple((how, bound) for how, bound in data["bounds"]),
        )
        for data in outputs_of(notebook, MIME)
    ]
