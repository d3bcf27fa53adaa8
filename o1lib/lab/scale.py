"""Scale presets: one place where `ci`, `laptop` and `gpu` differ."""

from __future__ import annotations

from typing import TypeVar

from o1lib.lab.paths import SCALES

T = TypeVar("T")


def pick(scale: str, ci: T, laptop: T, gpu: T | None = None) -> T:
    """The setting of a scale; `gpu` defaults to laptop's. Raises `ValueError` for an unknown scale."""
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose from {', '.join(SCALES)}")
    return {"ci": ci, "laptop": laptop, "gpu": laptop if gpu is None else gpu}[scale]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that at least one of k of n samples is right, of which `correct` are: the unbiased
    estimate.

    Source: Chen et al. (2021), arXiv 2107.03374, equation 1.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(
            f"need 1 <= k <= n and 0 <= correct <= n, got n={n}, correct={correct}, k={k}"
        )
    miss = 1.0
    for i in range(k):
        miss *= max(0, n - correct - i) / (n - i)
    return 1.0 - miss
