"""One plotting style, and the few pictures that several notebooks share.

Figures have no ground of their own and gray axes, so that they are read in a light and in a dark
theme, and every figure carries a sentence for those who cannot see it.
"""

from __future__ import annotations

import io
import textwrap
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython

from o1lib.lab.statistics import interval
from o1lib.viz.palette import COLORS, GRAY

STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": GRAY,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": GRAY,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "grid.color": GRAY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=COLORS[:6]),
    "axes.titlesize": 11,
    "legend.frameon": False,
    "font.size": 10,
}


class Picture:
    """A figure as an image with its alternative text, which is also what a terminal shows."""

    def __init__(self, figure, alt: str = ""):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True)
        self.png, self.alt = buffer.getvalue(), alt or described(figure)

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"

    def _repr_png_(self) -> tuple[str, dict]:
        return b64encode(self.png).decode("ascii"), {"alt": self.alt}


def described(figure) -> str:
    """A figure's titles and axis labels in one sentence: the alternative text of one without."""
    parts = [figure.get_suptitle()]
    for axis in figure.axes:
        title = axis.get_title() or axis.get_title("left")
        labels = " against ".join(filter(None, (axis.get_ylabel(), axis.get_xlabel())))
        parts.append(f"{title} ({labels})" if title and labels else title or labels)
    return "; ".join(" ".join(part.split()) for part in parts if part) or "a figure without a title"


@contextmanager
def figure(
    width: float = 7.0,
    height: float = 3.4,
    columns: int = 1,
    title: str = "",
    alt: str = "",
    rows: int = 1,
):
    """A figure in the course's style: `with figure(columns=2) as (left, right): ...`; shown when
    the block ends.

    Args:
        width, height: in inches.
        title: of the whole figure; it states what was found.
        alt: what the figure shows, in a sentence; by default its titles and axis labels.
        rows, columns: of the panels, which come as one flat list.
    """
    from IPython.display import display

    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height))
        try:
            if title:
                fig.suptitle(title)
            yield axes.ravel() if rows > 1 else axes
            display(Picture(fig, alt))
        finally:
            plt.close(fig)


def smooth(values, window: int = 25) -> np.ndarray:
    """A centered mean over at most `window` values; it shrinks towards both ends, so that it never
    lags.
    """
    values = np.asarray(values, float)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    at = np.arange(len(values))
    half = np.minimum(np.minimum(at, len(values) - 1 - at), window // 2)
    return (sums[at + half + 1] - sums[at - half]) / (2 * half + 1)


def rate_bars(axis, labels, correct, n, **options) -> None:
    """Success rates as bars with their 95% intervals; `correct` and `n` per bar, `n` below each."""
    rates = np.array(correct) / np.array(n)
    bounds = np.array([interval(c, m) for c, m in zip(correct, n, strict=True)])
    errors = np.abs(bounds.T - rates)
    places = np.arange(len(rates))
    bars = axis.bar(places, rates, yerr=errors, capsize=3, ecolor=GRAY, **options)
    axis.bar_label(bars, [f"{r:.0%}" for r in rates], padding=3)
    axis.set_xticks(places, [f"{label}\nn = {m:g}" for label, m in zip(labels, n, strict=True)])
    axis.set_ylim(0, 1.12)
    axis.set_ylabel("success rate (95% interval)")
    axis.grid(False, axis="x")


def failure_curves(axis, curves: dict, ks, n: int | None = None) -> None:
    """Failure rates 1 - pass@k on logarithmic axes: differences near 100% become visible.

    Args:
        curves: name -> pass@k for each of `ks`.
        n: puzzles behind every point, for 95% bands. A point where none failed is drawn as a
            triangle at half a puzzle.
    """
    ks = np.asarray(ks)
    floor = 0.5 / n if n else 1e-3
    for name, curve in curves.items():
        failed = 1 - np.asarray(curve, float)
        none = failed < floor
        drawn = np.maximum(failed, floor)
        [line] = axis.plot(ks, drawn, label=name)
        axis.plot(ks[~none], drawn[~none], "o", color=line.get_color())
        axis.plot(ks[none], drawn[none], "v", color=line.get_color(), fillstyle="none")
        if n:
            bounds = np.array([interval(f * n, n) for f in failed])
            low, high = np.maximum(bounds, floor).T
            axis.fill_between(ks, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axis.set(xscale="log", yscale="log", xlabel="k, sampled responses")
    axis.set_ylabel("share of puzzles without a right one")
    axis.set_xticks(ks, [f"{k:g}" for k in ks])
    axis.xaxis.minorticks_off()
    axis.legend()


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


# What `live_plots` draws where a log has it: a column (`greedy` is also `greedy, held-out goals`)
# and its label.
LIVE_COLUMNS = {
    "reward": "mean reward",
    "length": "tokens a chain",
    "entropy": "entropy (nats per token)",
    "greedy": "greedy success",
    "held_out": "held-out success",
}


class LivePlots:
    """A callback for `learn(on_row=...)`: one picture, redrawn in its place while a run goes on and
    once more when the cell has ended. Outside a notebook it does nothing.

    Args:
        columns: columns of the log, or how their names begin up to a comma, and their labels.
        every: seconds between two pictures at least, so that drawing takes little of a run.
    """

    def __init__(self, columns: Mapping[str, str], every: float = 2.0):
        self.columns, self.every = columns, every
        self._begin()

    def _begin(self) -> None:
        self._log = self._handle = None
        self._drawn, self._next = 0, 0.0  # rows in the picture, and when the next may be made

    def __call__(self, log) -> None:
        shell = get_ipython()
        if getattr(shell, "kernel", None) is None:
            return
        if self._log is None:
            shell.events.register("post_run_cell", self._finish)
        self._log = log
        if time.monotonic() >= self._next:
            self._redraw()

    def _finish(self, _result) -> None:
        """The end of the cell: the last rows, which may have come too soon after a picture."""
        get_ipython().events.unregister("post_run_cell", self._finish)
        if len(self._log.rows) > self._drawn:
            self._redraw()
        self._begin()  # the next cell gets a picture of its own

    def _redraw(self) -> None:
        from IPython.display import display

        picture = log_picture(self._log.rows, self.columns)
        if picture is not None and self._handle is None:
            self._handle = display(picture, display_id=True)
        elif picture is not None:
            self._handle.update(picture)
        self._drawn, self._next = len(self._log.rows), time.monotonic() + self.every


def log_picture(rows, columns: Mapping[str, str]) -> Picture | None:
    """Columns of a run log against its steps, a panel each: a dot a row, and their centered mean.
    None where no row has one of them.
    """
    names = {name: None for row in rows for name in row}  # in order, each once
    panels = []
    for begins, label in columns.items():
        for name in [n for n in names if n == begins or n.startswith(f"{begins},")]:
            points = [(r["step"], r[name]) for r in rows if isinstance(r.get(name), (int, float))]
            if points:
                panels.append((f"{label}{name.removeprefix(begins)}", *zip(*points, strict=True)))
    if not panels:
        return None
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(1, len(panels), figsize=(max(6, 2.8 * len(panels)), 2.6))
        for axis, (label, steps, values) in zip(np.atleast_1d(axes), panels, strict=True):
            axis.plot(steps, values, ".", alpha=0.5)
            axis.plot(steps, smooth(values, 9), color=COLORS[0])
            axis.set_xlabel("step")
            axis.set_title(textwrap.fill(label, 28), loc="left", fontsize=10)
        ends = (f"{label} from {y[0]:.3g} to {y[-1]:.3g}" for label, _, y in panels)
        alt = f"Steps {panels[0][1][0]} to {panels[0][1][-1]}: {'; '.join(ends)}"
        picture = Picture(fig, alt)
        plt.close(fig)
    return picture


def live_plots(columns: Mapping[str, str] = LIVE_COLUMNS) -> LivePlots:
    """Small live panels of a training run, one for each of `columns` (name: label) that its log
    has: `learn(..., on_row=live_plots())`.
    """
    return LivePlots(columns)


def live_plot(name: str, label: str) -> LivePlots:
    """One live panel, of one column."""
    return LivePlots({name: label})
