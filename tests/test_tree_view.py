"""The tree viewer: what a page shows after any number of simulations is what a search of so many
simulations has; hostile text stays text; the page needs nothing but itself.
"""

import fnmatch
import json
import re
import tomllib
from html.parser import HTMLParser

import matplotlib
import nbformat
import pytest

from o1lib.lab.pages import page
from o1lib.lab.paths import PACKAGE, ROOT
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.budget import Cost
from o1lib.search.driver import search_all
from o1lib.search.expand import any_step
from o1lib.search.guidance import oracle
from o1lib.search.mcts import mcts
from o1lib.search.nodes import SearchResult, TreeNode, Visit
from o1lib.search.trees import beam, depth_first
from o1lib.tasks import Arithmetic, Countdown, Jugs
from o1lib.tasks.space import Node
from o1lib.viz.tree_view import ROW, positions, show_tree, shown_nodes

matplotlib.use("Agg")
task = Countdown(3)
PROBLEM = task.problem([3, 5, 7], 26)
NOISY = oracle(noise=0.5)
VOID = {"img", "input", "br", "meta", "link"}


class Nobody:
    """A policy that is never asked."""

    bf16 = False
    tokenizer = build_tokenizer()


def searched(strategy, problem=PROBLEM, of=task) -> SearchResult:
    [result] = search_all(strategy, Nobody(), of, [problem])
    return result


def tree_search(simulations: int, **options):
    return mcts(NOISY, simulations, expand=any_step(), **options)


class Page(HTMLParser):
    """Tags, attributes and texts of a page; a tag that closes another than the last is an error."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))


def data_of(view) -> dict:
    """What the page's script draws."""
    [found] = [text for tag, text in Page(view.data).texts if tag == "script" and text[0] == "{"]
    return json.loads(found)


def replayed(data: dict, turns: int) -> list[tuple[int, float]]:
    """Visits and sums after so many visits, as the page's script counts them."""
    counts, sums = [0] * len(data["nodes"]), [0.0] * len(data["nodes"])
    for end, length, value in data["trace"][:turns]:
        for _ in range(length):
            counts[end] += 1
            sums[end] += value or 0.0
            end = data["nodes"][end]["p"]
    return list(zip(counts, sums, strict=True))


def test_every_position_of_the_slider_is_a_shorter_search():
    """Which nodes there are, their visits and their values: those of a search that ended there."""
    whole = data_of(show_tree(searched(tree_search(25)), task))
    for n in range(26):
        short = {x.node.prefix: x for x in searched(tree_search(n)).tree.walk() if x.visits}
        numbers = replayed(whole, n)
        there = [i for i, node in enumerate(whole["nodes"]) if node["b"] < n]
        assert {whole["nodes"][i]["s"] for i in there} == set(short)
        for i in there:
            node, (count, total) = short[whole["nodes"][i]["s"]], numbers[i]
            assert count == node.visits
            assert total == pytest.approx(node.value_sum, abs=1e-4 * count)
            assert whole["nodes"][i]["v"] == pytest.approx(node.value, abs=1e-4)


def test_a_beam_opens_its_nodes_in_order():
    result = searched(beam(NOISY, 2))
    data = data_of(show_tree(result, task))
    opened = [data["nodes"][end]["s"] for end, length, value in data["trace"]]
    assert opened == [visit.path[-1].node.prefix for visit in result.trace]
    assert opened[0] == ""
    assert [count for count, _ in replayed(data, len(opened))] == [
        int(node["s"] in opened) for node in data["nodes"]
    ]
    for node in data["nodes"][1:]:  # it is there as soon as its parent is opened
        assert node["b"] == opened.index(data["nodes"][node["p"]]["s"])
    assert (data["noun"], data["counts"]) == ("expansion", False)
    assert "Q so far" not in show_tree(result, task).data


@pytest.mark.parametrize(
    ("world", "problem"),
    [
        (task, PROBLEM),
        (Countdown(4), Countdown(4).problem([4, 6, 8, 8], 24)),
        (Jugs(), Jugs().problems("train", 1)[0]),
        (Arithmetic(4), Arithmetic(4).train_problem(0)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_nodes_do_not_overlap(world, problem):
    data = data_of(show_tree(searched(tree_search(30), problem, world), world))
    nodes = data["nodes"]
    assert len(nodes) > 2
    for i, node in enumerate(nodes):
        assert 0 <= node["x"] - node["w"] < node["x"] < data["width"]
        assert ROW / 2 < node["y"] < data["height"]
        if i:
            parent = nodes[node["p"]]
            assert node["p"] < i
            assert node["x"] - node["w"] > parent["x"]
            assert node["y"] >= parent["y"]
        for other in nodes[:i]:
            assert abs(node["y"] - other["y"]) >= ROW or abs(node["x"] - other["x"]) > node["w"]


def test_positions():
    """0 has 1 and 4, 1 has 2 and 3: first children stand in their parents' rows."""
    assert positions([-1, 0, 1, 1, 0]) == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 2)]
    chain = positions([-1, *range(2000)])  # deep trees need no deep recursion
    assert chain[-1] == (2000, 0)


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e\u2028&'\""


def hostile(label: str = HOSTILE) -> SearchResult:
    root = TreeNode(Node(""), visits=1, value_sum=0.5, value=0.5)
    evil = TreeNode(Node(HOSTILE, None, 1, True), float("nan"), root, label, value=float("inf"))
    evil.visits, evil.value_sum, root.children = 1, float("nan"), [evil]
    trace = (Visit((root, evil), float("nan")),)
    return SearchResult(PROBLEM, HOSTILE, (), root, Cost(), False, (), trace)


def test_hostile_text_stays_text():
    view = show_tree(hostile(), task)
    found = Page(view.data)
    assert found.tags.count("script") == 2
    assert found.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in found.attributes)
    for text in (view.data, repr(view)):
        assert not any(sign in text for sign in "\x1b\u202e\u2028")
    assert "<script>alert" not in view.data
    node = data_of(view)["nodes"][1]
    assert node["s"].startswith("</script><script>alert(1)</script><img src=x onerror=alert(1)>")
    assert (node["v"], node["P"]) == (None, None)
    script = max((text for tag, text in found.texts if tag == "script"), key=len)
    assert not re.search(r"innerHTML|outerHTML|document\.write|insertAdjacent|eval", script)


@pytest.mark.parametrize("label", [r"$\frac{$", "$", "{{noun}}", "$data", "\n\n", "\x00", "ü" * 99])
def test_no_label_breaks_the_page(label):
    """Neither the picture's formulas, nor the page's own placeholders, nor a line end."""
    view = show_tree(hostile(label), task)
    shown = data_of(view)["nodes"][1]["l"]
    assert "\n" not in shown
    assert len(shown) <= 28
    assert shown.split(" ★")[0].rstrip("…") in label.replace("\x00", "\ufffd").strip()


def test_a_large_tree_is_cut_and_small():
    four = Countdown(4)
    problem = four.problem([3, 5, 7, 11], 26)
    result = searched(tree_search(900, c_puct=30.0), problem, four)
    view = show_tree(result, four)
    data = data_of(view)
    assert len(data["nodes"]) == 500
    assert len(view.data) < 300_000
    assert re.search(r"900 simulations, 500 nodes \([0-9]+ more not drawn\)", repr(view))
    kept = shown_nodes(result.tree, 500)
    least = min(node.visits for node in kept)
    hidden = {id(n) for n in result.tree.walk()} - {id(n) for n in kept}
    assert all(n.visits <= least for n in result.tree.walk() if id(n) in hidden)
    for node, (count, _) in zip(kept, replayed(data, 900), strict=True):
        assert count == node.visits
    assert repr(view).endswith("... and 460 more nodes")


def test_the_truth_is_the_oracles_or_the_given_one():
    result = searched(tree_search(20))
    data = data_of(show_tree(result, task))
    states = {n.node.prefix: n.node.state for n in result.tree.walk()}
    for node in data["nodes"]:
        assert node["t"] == float(task.solvable(states[node["s"]]))
        assert node["l"].endswith(("✓", "✓ ★")) == task.is_solved(states[node["s"]])
    truth = {text: i / 100 for i, text in enumerate(states) if i % 2}
    known = data_of(show_tree(result, task, truth))
    assert [node["t"] for node in known["nodes"]] == [truth.get(n["s"]) for n in known["nodes"]]
    assert (data["alive"], known["alive"]) == (True, False)


def test_what_is_returned_is_starred():
    for strategy in (tree_search(200), beam(oracle(), 2)):
        result = searched(strategy)
        view = show_tree(result, task)
        [starred] = [node for node in data_of(view)["nodes"] if "★" in node["l"]]
        assert result.response.startswith(starred["s"])
        assert starred["s"].endswith("</think>")
        assert repr(view).count("★") == 1


def test_the_text_and_the_picture_tell_the_tree():
    result = searched(tree_search(40))
    view = show_tree(result, task)
    lines = repr(view).splitlines()
    assert lines[0].startswith("make 26 from 3 5 7: 40 simulations, ")
    assert lines[1].startswith("start  (N 40, Q ")
    visited = [n for n in result.tree.walk() if n.visits]
    assert len(lines) == 1 + len(visited)
    best = max(result.tree.children, key=lambda n: n.visits)
    assert f"N {best.visits}, Q {best.mean:.2f}" in lines[2]
    [alt] = [value for name, value in Page(view.data).attributes if name == "alt"]
    assert alt.startswith("A search tree. make 26 from 3 5 7: 40 simulations")
    assert "Most visited: " in alt


def test_values_beyond_one_stretch_the_colors():
    result = searched(tree_search(30))
    data = data_of(show_tree(result, task))
    values = [n["v"] for n in data["nodes"]]
    assert data["low"] <= min(values) < 0  # the oracle's noise
    assert data["high"] >= max(values)
    assert len(data["colors"]) == 41


def test_trees_of_little():
    with pytest.raises(ValueError, match="keeps no tree; mcts and beam do"):
        show_tree(searched(depth_first()), task)
    view = show_tree(searched(tree_search(0)), task)
    assert repr(view).startswith("make 26 from 3 5 7: no simulation, 1 node\n")
    assert len(data_of(view)["nodes"]) == 1
    dead = task.problem([1, 1, 1], 100)
    assert "dead" in repr(show_tree(searched(tree_search(5), dead), task))
    assert len(data_of(show_tree(searched(tree_search(9)), task, most=3))["nodes"]) == 3


def test_the_page_needs_nothing_else(tmp_path):
    """Also when it stands in the page of a notebook: no address is asked for."""
    view = show_tree(searched(tree_search(9)), task)
    output = nbformat.v4.new_output(
        "display_data", {"text/html": view.data, "text/plain": repr(view)}
    )
    cell = nbformat.v4.new_code_cell("show_tree(result, task)", outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "00.ipynb")
    exported = page(tmp_path / "00.ipynb")
    for text in (view.data, exported):
        assert not re.search(r"""(?:src|href)=["']?[a-z]+:(?!image/png;base64)""", text)
        assert "@import" not in text
        assert text.count("<script") == 2
    for tag, text in Page(view.data).texts:  # nothing is lost on the way
        assert tag not in ("script", "style") or text.strip() in exported


def test_what_is_no_python_is_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]
    others = [p for p in PACKAGE.rglob("*.*") if p.suffix not in (".py", ".pyc")]
    assert any(path.name == "tree_view.html" for path in others)
    for path in others:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns[package])
