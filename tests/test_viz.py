"""Pictures and widgets: what they show is what is true, and hostile text stays text."""

import random
import re
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from o1lib.lab.statistics import interval
from o1lib.learning.advantages import group_mean
from o1lib.learning.completions import Batch, Completion
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.behaviors import BEHAVIORS
from o1lib.policy.traces import GRAMMARS, Style, think
from o1lib.search.nodes import TreeNode
from o1lib.tasks import Countdown, Verdict
from o1lib.tasks.space import Space
from o1lib.viz import plots
from o1lib.viz.palette import BEHAVIOR_COLORS, COLORS, GRAY, diverging, solid
from o1lib.viz.plots import failure_curves, figure, live_plot, rate_bars, smooth
from o1lib.viz.rollouts import show_rollouts, token_numbers
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


def live_log(steps: int) -> list[dict]:
    rows = [{"step": 0, "greedy, held-out goals": 0.5, "note": "start"}]
    return rows + [{"step": t, "reward": t / 4, "length": 40 + t} for t in range(1, steps + 1)]


def test_live_panels_are_the_columns_there_are():
    picture = plots.log_picture([*live_log(3), {"step": 4, "reward": ""}], plots.LIVE_COLUMNS)
    assert picture.alt == (
        "Steps 1 to 3: mean reward from 0.25 to 0.75; tokens a chain from 41 to 43; "
        "greedy success, held-out goals from 0.5 to 0.5"
    )
    assert plots.log_picture(live_log(3), {"note": "words are not drawn"}) is None
    assert not plt.get_fignums()


def test_live_panels_do_nothing_outside_a_notebook(capsys):
    live_plot("reward", "share right")(SimpleNamespace(rows=live_log(3)))
    assert capsys.readouterr().out == ""


def test_a_headless_run_leaves_one_figure():
    """Pictures come at most every two seconds; the one that stays shows the last row all the same,
    and the next cell gets a picture of its own.
    """
    import nbformat
    from nbclient import NotebookClient

    cell = (
        "from types import SimpleNamespace\n"
        "from o1lib.viz.plots import live_plots\n"
        "log, on_row = SimpleNamespace(rows=[]), live_plots()\n"
        f"for row in {live_log(20)!r}:\n"
        "    log.rows.append(row)\n"
        "    on_row(log)\n"
    )
    again = "on_row(log)"
    cells = [nbformat.v4.new_code_cell(code) for code in (cell, again, "pass")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for one in notebook.cells[:2]:
        [output] = one.outputs
        assert "mean reward from 0.25 to 5;" in output.metadata["image/png"]["alt"]
        assert "image/png" in output.data
    assert notebook.cells[2].outputs == []


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
    draw_search(axis, task, TreeNode(space.root))  # of a search without a simulation
    plt.close("all")


def test_beams_are_drawn_with_their_values():
    """A beam backs nothing up: its nodes have values, and no means."""
    task = Countdown(3)
    space = Space(task, task.problem([3, 5, 7], 26), "solve")
    root = TreeNode(space.root, visits=1)
    root.children = [
        TreeNode(space.child(root.node, step), parent=root, value=i / 10)
        for i, step in enumerate(space.steps(root.node)[:5])
    ]
    _, axis = plt.subplots()
    draw_search(axis, task, root, most=4)
    texts = [t.get_text() for t in axis.texts]
    assert {"V 0.40", "V 0.30", "V 0.20", "root:   +2"} <= set(texts)
    assert not any("Q" in text for text in texts)
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


# --- rollouts

TOKENIZER = build_tokenizer()


def completion(text: str, reward: float, group: int = 0, **options) -> Completion:
    prompt, ids = (TOKENIZER.encode(part) for part in (f"think : make {group}", text))
    return Completion(prompt, ids, rewards=(reward,), group=group, **options)


ROLLOUTS = [
    completion("try 1 2", 0.0, 7),
    completion("try 3 4 5", 1.0, 7),
    completion("try 6", 0.0, 8),
    completion("try 8", 0.0, 8),
]


def grounds(page: str) -> list[tuple[str, str, str]]:
    """(tooltip, color, text) of every span of tokens."""
    return re.findall(
        r'<span title="([^"]*)" style="background:(#[0-9a-f]{8})[^"]*">([^<]*)</span>', page
    )


def test_rollouts_show_groups_rewards_and_advantages():
    shown = show_rollouts(Batch(ROLLOUTS), TOKENIZER, group_mean)
    texts = [piece.strip() for _, _, piece in grounds(shown.data)]
    assert texts == ["try 3 4 5", "try 1 2", "try 6", "try 8"]  # the best of a group first
    tips = [tip for tip, _, _ in grounds(shown.data)]
    assert tips == ["advantage +0.5", "advantage -0.5", "advantage +0", "advantage +0"]
    assert "think : make 7 · 2 samples, mean reward 0.5" in shown.data
    assert "reward 1, tokens 4, advantage +0.5: try 3 4 5" in repr(shown)
    assert "<script" not in shown.data
    assert shown.data.count("<details open>") == 1


def test_tokens_keep_their_text_and_numbers():
    """A number of several tokens stays one word, and each token has its own advantage."""
    text = "use 1200 and 11 200"
    row = completion(text, 1.0, logprobs=[-1.0] * len(TOKENIZER.encode(text)))
    numbers = torch.arange(len(row.completion_ids)) / 10
    page = show_rollouts([row], TOKENIZER, [numbers], {"entropy": [numbers * 2]}).data
    found = grounds(page)
    assert "".join(piece for _, _, piece in found) == TOKENIZER.decode(row.completion_ids)
    assert [tip.split(",")[0] for tip, _, _ in found] == [
        f"advantage {float(x):+.3g}" for x in numbers
    ]
    assert "entropy +0.2, probability 0.368" in found[1][0]
    widths = [int(w) for w in re.findall("border-bottom:([0-9]+)px", page)]
    assert widths == sorted(widths)
    assert widths[-1] == 4


def test_hostile_rollouts_stay_text():
    """Whatever a tokenizer makes of its ids."""

    class Hostile:
        def decode(self, ids, **_options):
            return "".join(["<script>", '" onload="', "\x1b[31m", "&\u202e"][i] for i in ids)

    shown = show_rollouts([Completion([0], [0, 1, 2, 3], rewards=(1,))], Hostile(), [[1.0]])
    assert "<script" not in shown.data
    assert "&lt;script&gt;&quot; onload=" in shown.data
    for text in (shown.data, repr(shown)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_rollouts_say_what_they_leave_out():
    rows = [completion(f"try {i} 2 3", i % 3, group=i // 3) for i in range(12)]
    shown = show_rollouts(rows, TOKENIZER, group_mean, groups=2, samples=2, tokens=3)
    for text in (shown.data, repr(shown)):
        assert "2 more groups not shown" in text
        assert text.count("1 more sample not shown") == 2
    assert shown.data.count("<summary>1 more token</summary>") == 4
    assert repr(shown).count(" ... (1 more)") == 4


def test_rows_of_one_group_are_parted_by_their_prompts():
    """Collectors that make no groups number them all alike."""
    rows = [Completion(TOKENIZER.encode(prompt), [5], rewards=(1,)) for prompt in ("2", "3", "2")]
    text = repr(show_rollouts(rows, TOKENIZER))
    assert "2 · 2 samples" in text
    assert "3 · 1 sample, mean" in text


def test_rollouts_of_nothing():
    for batch in (Batch([]), []):
        assert "No completions" in show_rollouts(batch, TOKENIZER, group_mean).data
    empty = show_rollouts([Completion([1], [])], TOKENIZER, [[0.5]])  # no token, no reward
    assert "tokens 0, advantage +0: " in repr(empty)
    with pytest.raises(ValueError, match="1 rows of advantage for 4 completions"):
        show_rollouts(ROLLOUTS, TOKENIZER, [[1.0]])
    with pytest.raises(ValueError, match="2 numbers of entropy for 3 tokens"):
        show_rollouts(ROLLOUTS[:1], TOKENIZER, None, {"entropy": [[1.0, 2.0]]})


def test_numbers_that_are_none_are_gray():
    page = show_rollouts(ROLLOUTS[:1], TOKENIZER, [[float("nan"), 1.0, float("inf")]]).data
    colors = [color for _, color, _ in grounds(page)]
    assert colors == [diverging(0), diverging(1), diverging(0)]


def test_token_numbers_are_the_models():
    """Entropy and log-ratio by one plain forward pass a completion."""
    policy = Policy.load("nano-think", bf16=False)
    task = Countdown(3)
    prompts = [task.prompt(task.train_problem(i)) for i in range(2)]
    rows = [
        Completion(policy.encode(prompt), s.token_ids, [x - 0.25 for x in s.logprobs])
        for prompt, [s] in zip(prompts, policy.sample(prompts, max_new_tokens=20), strict=True)
    ]
    found = token_numbers(policy, rows)
    for row, entropy, ratio in zip(rows, found["entropy"], found["log-ratio"], strict=True):
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        with torch.no_grad():
            logits = policy.model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
        own = torch.distributions.Categorical(logits=logits).entropy()
        assert entropy.tolist() == pytest.approx(own.tolist(), abs=1e-4)
        assert ratio.tolist() == pytest.approx([0.25] * len(ratio), abs=2e-3)


# --- the palette


def glazed(color: str, ground: str) -> str:
    """A color #rrggbbaa over a ground."""
    share = int(color[7:9], 16) / 255
    parts = [
        round(share * int(color[i : i + 2], 16) + (1 - share) * int(ground[i : i + 2], 16))
        for i in (1, 3, 5)
    ]
    return "#{:02x}{:02x}{:02x}".format(*parts)


def test_the_diverging_colors_order_numbers():
    """From orange to blue they only get bluer, on both grounds; the text on them stays readable,
    and everybody tells the ends apart.
    """
    values = np.linspace(-1, 1, 41)
    for ground, text in (("#ffffff", "#212121"), ("#111111", "#ffffff")):
        colors = [glazed(diverging(v), ground) for v in values]
        blueness = [int(c[5:7], 16) - int(c[1:3], 16) for c in colors]
        assert all(np.diff(blueness) > 0)
        assert min(contrast(c, text) for c in colors) >= 4.5
        for name, matrix in VISION.items():
            low, zero, high = (
                lab(np.array(matrix) @ linear(colors[i])) for i in (0, len(values) // 2, -1)
            )
            assert ciede2000(low, high) >= 16, (name, ground)
            assert min(ciede2000(low, zero), ciede2000(zero, high)) >= 10, (name, ground)
    assert diverging(7) == diverging(1)
    assert diverging(-7) == diverging(-1)


def test_solid_colors_are_seen_on_both_grounds():
    """What WCAG asks of graphics, for every number; and everybody tells the ends apart."""
    colors = [solid(v) for v in np.linspace(-1, 1, 81)]
    assert min(contrast(c, ground) for c in colors for ground in ("#ffffff", "#111111")) >= 3
    blueness = [int(c[5:7], 16) - int(c[1:3], 16) for c in colors]
    assert all(np.diff(blueness) >= 0)
    assert solid(0) == GRAY
    for matrix in VISION.values():
        low, zero, high = (lab(np.array(matrix) @ linear(solid(v))) for v in (-1, 0, 1))
        assert min(ciede2000(low, zero), ciede2000(zero, high), ciede2000(low, high)) >= 16


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
