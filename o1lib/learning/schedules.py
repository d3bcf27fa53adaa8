"""Schedules: how long a run is, and how fast it learns at each point.

A schedule has a `total` in its `unit` (`steps` or `tokens`) and a `rate(done)`, the learning rate
once so much is done.

Used in notebook 00.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")


@dataclass(frozen=True)
class Schedule:
    """`steps` rounds of collect and update, at a rate that rises linearly to `lr` over
    `warmup_steps` and then, with `decay`, falls linearly to zero.
    """

    steps: int
    lr: float
    warmup_steps: int = 0
    decay: bool = True
    unit = "steps"

    def __post_init__(self):
        if self.steps < 0 or not self.lr > 0:
            raise ValueError(f"need steps >= 0 and lr > 0, got {self.steps} and {self.lr}")

    @property
    def total(self) -> int:
        return self.steps

    def rate(self, done: int) -> float:
        rate = self.lr * min(1.0, (done + 1) / max(1, self.warmup_steps))
        return rate * (1 - done / self.steps) if self.decay else rate


@dataclass(frozen=True)
class Cosine:
    """`tokens` tokens, at a rate that rises linearly to `lr` over a share `warmup` of them, then
    falls as a cosine to 5%.
    """

    tokens: int
    lr: float
    warmup: float = 0.03
    unit = "tokens"

    def __post_init__(self):
        _check(tokens=self.tokens, lr=self.lr)

    @property
    def total(self) -> int:
        return self.tokens

    def rate(self, done: int) -> float:
        progress = min(1.0, done / self.tokens)
        if progress < self.warmup:
            return self.lr * (progress + 1e-3) / (self.warmup + 1e-3)
        angle = math.pi * (progress - self.warmup) / max(1e-9, 1 - self.warmup)
        return self.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(angle)))


@dataclass(frozen=True)
class Linear:
    """`tokens` tokens, at a rate that rises over the first twentieth to `lr` and falls linearly to
    zero.
    """

    tokens: int
    lr: float
    unit = "tokens"

    def __post_init__(self):
        _check(tokens=self.tokens, lr=self.lr)

    @property
    def total(self) -> int:
        return self.tokens

    def rate(self, done: int) -> float:
        progress = done / self.tokens
        return self.lr * min(1.0, (progress + 0.01) / 0.05) * (1 - progress)
