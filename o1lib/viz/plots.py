"""One plotting style, and the few pictures that several notebooks share."""

from __future__ import annotations

from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np

from o1lib.lab.statistics import interval

COLORS = ["#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c"]
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.titlesize": 11,
    "legend.frameon": False,
    "font.size": 10,
}


@contextmanager
def figure(width: float = 7.0, height: float = 3.4, columns: int = 1, title: str = ""):
    """A figure in the course's style: `with figure(columns=2) as (left, right): ...`; shown when
    the block ends.
    """
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(1, columns, figsize=(width, height))
        if title:
            fig.suptitle(title)
        yield axes
        plt.show()
        plt.close(fig)


def smooth(values, window: int = 25) -> np.ndarray:
    """A trailing mean; the first values average over what there is."""
    values = np.asarray(values, float)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def rate_bars(axis, labels, correct, n, **options) -> None:
    """Success rates as bars with their 95% intervals; `correct` and `n` per bar."""
    rates = np.array(correct) / np.array(n)
    bounds = np.array([interval(c, m) for c, m in zip(correct, n, strict=True)])
    errors = np.abs(bounds.T - rates)
    bars = axis.bar(labels, rates, yerr=errors, capsize=3, **options)
    axis.bar_label(bars, [f"{r:.0%}" for r in rates], padding=3)
    axis.set_ylim(0, 1.12)
    axis.set_ylabel("success rate (95% interval)")


def loss_curves(
    axis, rows, names=("loss_numbers", "loss_no", "loss_yes", "loss_words"), window: int = 50
) -> None:
    """Training losses per kind of token against tokens seen."""
    for name in names:
        points = [(r["tokens"], r[name]) for r in rows if isinstance(r.get(name), (int, float))]
        if points:
            x, y = zip(*points, strict=True)
            axis.plot(np.array(x) / 1e6, smooth(y, window), label=name.removeprefix("loss_"))
    axis.set_xlabel("training tokens (millions)")
    axis.set_ylabel("loss (nats per token)")
    axis.legend(title="kind of token")


def live_plot(name: str, label: str):
    """A callback for `learn(on_row=...)` that redraws a column of the log while a run goes on."""
    from IPython.display import display

    handle = None

    def redraw(log) -> None:
        nonlocal handle
        points = [(r["step"], r[name]) for r in log.rows if isinstance(r.get(name), (int, float))]
        if not points:
            return
        with plt.rc_context(STYLE):
            fig, axis = plt.subplots(figsize=(6, 2.6))
            steps, values = zip(*points, strict=True)
            axis.plot(steps, values, ".", alpha=0.4)
            axis.plot(steps, smooth(values, 8))
            axis.set(xlabel="step", ylabel=label)
            handle = handle or display(display_id=True)
            handle.update(fig)
            plt.close(fig)

    return redraw
