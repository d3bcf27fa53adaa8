"""Pictures and widgets: what they show is what is true, and hostile text stays text."""

import random
import re
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from o1lib.lab.statistics import interval
from o1lib.policy.behaviors import BEHAVIORS
from o1lib.policy.traces import GRAMMARS, Style, think
from o1lib.search.nodes import TreeNode
from o1lib.tasks import Countdown, Verdict
from o1lib.tasks.space import Space
from o1lib.viz import plots
from o1lib.viz.palette import BEHAVIOR_COLORS, COLORS, GRAY
from o1lib.viz.plots import failure_curves, figure, live_plot, rate_bars, smooth
from o1lib.viz.seeds import mean_band, seed_curves, seed_dots
from o1lib.viz.source import show_source
from o1lib.viz.trace import behavior_of, draw_chain, in_english, lines, show_chain
from o1lib.viz.tree import draw_search, draw_tree, layers, spelled

matplotlib.use("Agg")


def chain(grammar="fan", n=4, index=3):
    problem = Countdown(n).train_problem(index)
    return " ".join(t for t, _ in think(problem, random.Random(0), Style(grammar, slip=0.02)))


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_lines_lose_nothing(grammar):
    for index in range(20):
        text = chain(grammar, index=index)
        assert " ".join(lines(text)) == text
        assert len(lines(text)) >= 5


def test_english_has_the_same_numbers():
    for line in lines(chain()):
        assert re.findall("[0-9]+", in_english(line)) == re.findall("[0-9]+", line)
    assert in_english("want 24 7 get 31 17 168 :").startswith("For 24, keep 7 for last")


def test_hostile_text_is_escaped():
    page = show_chain(
        "<b>prompt</b>",
        "<script>alert(1)</script> try 1 2 get 3 <img src=x>",
        Verdict(False, "<i>"),
    ).data
    for tag in ("<script", "<img", "<i>", "<b>prompt"):
        assert tag not in page
    assert show_chain("x", "").data


def test_tree_counts_the_truth():
    task = Countdown(3)
    problem = task.problem([3, 5, 7], 26)
    _, axis = plt.subplots()
    states, alive = draw_tree(axis, task, problem)
    nodes = layers(task, problem)
    assert states == len(nodes)
    assert alive == sum(task.solvable(state) for _, state, _, _, _ in nodes)
    assert sum(task.is_solved(state) for _, state, _, _, _ in nodes) == task.count_solutions(
        problem
    )
    plt.close("all")


def test_chain_figure_and_bars():
    """Bars say how many puzzles each of them stands for."""
    _, (left, right) = plt.subplots(1, 2)
    draw_chain(left, "think : x", chain())
    rate_bars(right, ["a", "b"], [3, 0], [4, 5])
    assert len(left.texts) > 10
    assert [t.get_text() for t in right.get_xticklabels()] == ["a\nn = 4", "b\nn = 5"]
    plt.close("all")


def shown(monkeypatch, draw) -> list:
    """What `draw` displays."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda item, **_: found.append(item))
    draw()
    return found


def test_figures_carry_alternative_text(monkeypatch):
    def draw():
        with figure(
            2, 2, columns=2, title="Thinking wins", alt="Bars: thinking is right more often."
        ):
            pass
        with figure(2, 2, title="Thinking wins") as axis:
            axis.set(xlabel="tokens", ylabel="success", title="on\n24")

    given, default = shown(monkeypatch, draw)
    png, metadata = given._repr_png_()
    assert png.startswith("iVBOR")
    assert metadata == {"alt": "Bars: thinking is right more often."}
    assert default.alt == "Thinking wins; on 24 (success against tokens)"
    assert repr(default) == f"Figure: {default.alt}"
    assert not plt.get_fignums()


def test_alternative_text_reaches_the_output():
    """As a notebook records it: metadata {"image/png": {"alt": ...}}."""
    from IPython.core.formatters import DisplayFormatter

    fig, _ = plt.subplots()
    data, metadata = DisplayFormatter().format(plots.Picture(fig, "a line"))
    assert metadata["image/png"] == {"alt": "a line"}
    assert data["text/plain"] == "Figure: a line"
    plt.close("all")


def test_figures_have_no_ground(monkeypatch):
    """Every pixel at the border is transparent."""
    import io

    from PIL import Image

    def draw():
        with figure(2, 2) as axis:
            axis.plot([0, 1])

    [picture] = shown(monkeypatch, draw)
    pixels = np.array(Image.open(io.BytesIO(picture.png)).convert("RGBA"))
    assert pixels[0, :, 3].max() == pixels[:, 0, 3].max() == 0


def test_a_figure_that_fails_is_closed():
    with pytest.raises(ZeroDivisionError), figure():
        1 / 0  # noqa: B018
    assert not plt.get_fignums()


def test_smooth_does_not_lag():
    """A centered mean of a straight line is that line, up to its ends; a trailing one is not."""
    line = np.arange(20.0)
    assert smooth(line, 7).tolist() == line.tolist()
    assert smooth([0, 0, 3, 0, 0], 3).tolist() == [0, 1, 1, 1, 0]
    assert smooth([1.0], 9).tolist() == [1.0]


def test_live_plot_updates_one_picture(monkeypatch):
    updates = []

    class Handle:
        def update(self, picture):
            updates.append(picture)

    rows = [{"step": 0, "reward": 0.25}, {"step": 1, "reward": ""}, {"step": 2, "reward": 0.5}]
    log = SimpleNamespace(rows=rows)
    monkeypatch.setattr("IPython.display.display", lambda display_id: Handle())
    redraw = live_plot("reward", "share right")
    redraw(log)
    redraw(log)
    assert len(updates) == 2
    assert updates[1].alt == "share right: from 0.25 at the first step to 0.5 at the last"
    live_plot("nothing", "")(log)
    assert not plt.get_fignums()


def test_failure_curves_draw_what_is_left():
    _, axis = plt.subplots()
    failure_curves(axis, {"think": [0.9, 1.0]}, [1, 4], n=50)
    line, some, none = axis.lines
    assert line.get_ydata() == pytest.approx([0.1, 0.01])  # none failed: half a puzzle
    assert some.get_ydata() == pytest.approx([0.1])
    assert none.get_marker() == "v"
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(interval(5, 50)[1])
    assert axis.get_yscale() == "log"
    plt.close("all")


ROWS = [
    {"arm": arm, "seed": seed, "step": step, "metric": "pass@1", "value": value + step + seed / 10}
    for arm, value in (("grpo", 1.0), ("practice", 2.0))
    for seed in range(3)
    for step in (0, 8)
]


def test_bands_are_over_runs():
    """Student's interval of three runs, by hand: mean 1.1, standard deviation 0.1, t = 4.303."""
    assert mean_band([1.0, 1.1, 1.2]) == pytest.approx((1.1, 0.8516, 1.3484), abs=1e-3)
    assert mean_band([2.0]) == (2.0, 2.0, 2.0)


def test_dots_are_seeds():
    import pandas as pd

    _, (left, right) = plt.subplots(1, 2)
    seed_dots(left, ROWS, "pass@1")
    dots = [line.get_ydata() for line in left.lines if line.get_marker() == "o"]
    assert dots[0] == pytest.approx([9.0, 9.1, 9.2])
    assert [t.get_text() for t in left.get_xticklabels()] == ["grpo\n3 seeds", "practice\n3 seeds"]
    seed_curves(right, pd.DataFrame(ROWS), "pass@1")
    assert right.lines[0].get_ydata() == pytest.approx([1.1, 9.1])
    assert right.get_legend().get_texts()[1].get_text() == "practice (3 seeds)"
    with pytest.raises(ValueError, match="no rows of the metric 'loss'; there are pass@1"):
        seed_dots(left, ROWS, "loss")
    plt.close("all")


def test_trees_have_steps_on_their_edges():
    task = Countdown(3)
    _, axis = plt.subplots()
    draw_tree(axis, task, task.problem([3, 5, 7], 26))
    texts = [t.get_text() for t in axis.texts]
    assert "7 × 3 = 21" in texts
    assert "21 + 5 = 26" in texts
    assert "26 ✓" in texts
    assert spelled("<think> 12 - 4 = 8 left 6 8") == "12 − 4 = 8"
    plt.close("all")


def test_search_trees_show_steps_and_statistics():
    task = Countdown(3)
    space = Space(task, task.problem([3, 5, 7], 26), "solve")
    root = TreeNode(space.root, visits=20, value_sum=10.0)
    steps = space.steps(root.node)
    root.children = [
        TreeNode(space.child(root.node, step), prior=0.1, parent=root, visits=i, value_sum=i / 2)
        for i, step in enumerate(steps)
    ]
    _, axis = plt.subplots()
    draw_search(axis, task, root, most=4)
    texts = [t.get_text() for t in axis.texts]
    assert "root: N 20  Q 0.50  +5" in texts  # 8 were visited, 3 are drawn
    assert (
        sum(re.fullmatch(r"[0-9]+ [+−×/] [0-9]+ = [0-9]+   P 0.10", t) is not None for t in texts)
        == 3
    )
    assert f"N {len(steps) - 1}  Q 0.50" in texts
    plt.close("all")
    _, axis = plt.subplots()
    draw_search(axis, task, TreeNode(space.root, visits=1))  # a root alone
    plt.close("all")


def test_chains_are_readable_without_styles():
    """What a page shows that strips styles: every behavior by its name, verdicts as signs."""
    text = chain()
    page = re.sub(r' style="[^"]*"', "", show_chain("think : x", text, Verdict(True, "fine")).data)
    for name in BEHAVIORS:
        if any(behavior_of(line) == name for line in lines(text)):
            assert f"<td>{name}</td>" in page
    assert "<code>" in page
    assert "no</code> <b>✗</b>" in page
    assert "yes</code> <b>✓</b>" in page
    assert "✓ right" in page


def test_chains_survive_where_there_is_no_html():
    shown_text = repr(show_chain("think : x", chain(), Verdict(False, "no answer")))
    assert shown_text.startswith("think : x -> ✗ wrong: no answer\n")
    assert "self-evaluation" in shown_text


def test_long_chains_are_folded():
    page = show_chain("x", chain(), most=5).data
    assert page.count("<tr>") == 1 + len(lines(chain()))
    assert f"<summary>{len(lines(chain())) - 5} more thoughts</summary>" in page


def test_show_source():
    source = show_source(interval, Verdict).data
    assert re.search(r"`o1lib/lab/statistics.py:[0-9]+`", source)
    assert "def interval(correct: float, n: int)" in source
    assert "Wilson" not in source
    assert "Wilson" in show_source(interval, docstring=True).data
    assert "class Verdict:" in source
    assert source.count("```python") == 2
    fence = show_source(test_show_source).data.splitlines()[-1]
    assert len(fence) > 3  # this function holds back ticks itself: ``` does not end it
    with pytest.raises(ValueError, match="no source code"):
        show_source(len)
    with pytest.raises(ValueError, match="name at least one"):
        show_source()


# --- the palette


def linear(color: str) -> np.ndarray:
    part = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of linear RGB."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    t = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(one, other) -> float:
    """The difference of two colors. Source: Sharma, Wu & Dalal (2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    gain = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    c1, c2 = np.hypot(a1 * gain, b1), np.hypot(a2 * gain, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a * gain)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, chroma, h = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360
    t = (1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
         + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.2 * np.cos(np.radians(4 * h - 63)))  # fmt: skip
    by_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    by_chroma, by_hue = (c2 - c1) / (1 + 0.045 * chroma), hue / (1 + 0.015 * chroma * t)
    rotation = 2 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    rotation *= -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    return float(np.sqrt(by_light**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue))


def test_the_formula_is_right():
    """Pairs 1, 7 and 17 of Sharma's published test data."""
    for one, other, value in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ):
        assert ciede2000(one, other) == pytest.approx(value, abs=1e-4)


def test_everybody_can_tell_the_colors_apart():
    from itertools import combinations

    assert set(BEHAVIOR_COLORS) == set(BEHAVIORS)
    assert sorted(BEHAVIOR_COLORS.values()) == sorted(COLORS[:6])
    for color in (*COLORS, GRAY):
        assert contrast(color, "#ffffff") >= 3
        assert contrast(color, "#111111") >= 3
    assert contrast(GRAY, "#ffffff") > 4
    assert contrast(GRAY, "#111111") > 4
    for name, matrix in VISION.items():
        for one, other in combinations(COLORS[:6], 2):
            seen = [lab(np.array(matrix) @ linear(c)) for c in (one, other)]
            assert ciede2000(*seen) >= 16, (name, one, other)
