"""Scale presets: one place where `ci`, `laptop` and `gpu` differ."""

from __future__ import annotations

from typing import TypeVar

from o1lib.lab.paths import SCALES

T = TypeVar("T")


def pick(scale: str, ci: T, laptop: T, gpu: T | None = None) -> T:
    """The setting of a scale; `gpu` defaults to laptop's.

    Raises `ValueError` for an unknown scale.
    """
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose from {', '.join(SCALES)}")
    return {"ci": ci, "laptop": laptop, "gpu": laptop if gpu is None else gpu}[scale]
