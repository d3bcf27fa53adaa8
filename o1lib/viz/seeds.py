"""Pictures of experiments with seeds: a dot is a seed, a band is over runs, never over puzzles.

Rows are those of `data/experiments/*.csv`, as dictionaries or a data frame: arm, seed, step,
metric, value.
"""

from __future__ import annotations

import numpy as np

from o1lib.lab.statistics import seeds_interval
from o1lib.viz.palette import COLORS


def mean_band(values) -> tuple[float, float, float]:
    """The mean of some runs and its 95% interval, by Student's t; of one run the run itself."""
    mean = float(np.mean(values))
    return (mean, *seeds_interval(values)) if len(values) > 1 else (mean, mean, mean)


def _values(rows, metric: str) -> dict:
    """arm -> step -> values of the seeds. Raises `ValueError` for a metric that is not there."""
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    found: dict = {}
    for row in rows:
        if row["metric"] == metric:
            steps = found.setdefault(row["arm"], {})
            steps.setdefault(float(row["step"]), []).append(float(row["value"]))
    if not found:
        known = ", ".join(sorted({row["metric"] for row in rows})) or "none"
        raise ValueError(f"there are no rows of the metric {metric!r}; there are {known}")
    return found


def seed_dots(axis, rows, metric: str, step: float | None = None, label: str = "") -> None:
    """One column an arm: a dot for every seed, a line at their mean, a band for its 95% interval.

    Args:
        step: by default the last step of each arm.
    """
    found = _values(rows, metric)
    names = []
    for place, (arm, steps) in enumerate(found.items()):
        values = steps[max(steps) if step is None else float(step)]
        color = COLORS[place % 6]
        mean, low, high = mean_band(values)
        if len(values) > 1:
            axis.fill_between([place - 0.3, place + 0.3], low, high, color=color, alpha=0.2, lw=0)
        axis.plot([place - 0.3, place + 0.3], [mean, mean], color=color)
        spots = place + 0.08 * (np.arange(len(values)) - (len(values) - 1) / 2)
        axis.plot(spots, values, "o", color=color)
        names.append(f"{arm}\n{len(values)} seed{'s' if len(values) > 1 else ''}")
    axis.set_xticks(range(len(found)), names)
    axis.set_xlim(-0.6, len(found) - 0.4)
    axis.grid(False, axis="x")
    axis.set_ylabel(label or metric)


def seed_curves(axis, rows, metric: str, label: str = "") -> None:
    """One curve an arm against the step: the mean of the seeds, a dot for each, a 95% band."""
    for place, (arm, steps) in enumerate(_values(rows, metric).items()):
        at, color = sorted(steps), COLORS[place % 6]
        mean, low, high = np.array([mean_band(steps[s]) for s in at]).T
        seeds = max(len(values) for values in steps.values())
        name = f"{arm} ({seeds} seed{'s' if seeds > 1 else ''})"
        axis.plot(at, mean, color=color, label=name)
        axis.fill_between(at, low, high, color=color, alpha=0.15, lw=0)
        for s in at:
            axis.plot([s] * len(steps[s]), steps[s], ".", color=color, alpha=0.6, ms=4)
    axis.set(xlabel="step", ylabel=label or metric)
    axis.legend()
