"""Pictures and widgets: what they show is what is true, and hostile text stays text."""

import random

import matplotlib
import matplotlib.pyplot as plt
import pytest

from o1lib.policy.traces import GRAMMARS, Style, think
from o1lib.tasks import Countdown, Verdict
from o1lib.viz.plots import rate_bars
from o1lib.viz.trace import draw_chain, in_english, lines, show_chain
from o1lib.viz.tree import draw_tree, layers
from o1lib.viz.widgets import puzzle_widget

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
    import re

    for line in lines(chain()):
        assert re.findall("[0-9]+", in_english(line)) == re.findall("[0-9]+", line)
    assert in_english("keep 7 want 31 17 168 :").startswith("Keep 7 for last")


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
    _, (left, right) = plt.subplots(1, 2)
    draw_chain(left, "think : x", chain())
    rate_bars(right, ["a", "b"], [3, 0], [4, 5])
    assert len(left.texts) > 10
    plt.close("all")


def test_widget_gives_the_verdict():
    box, verdict = puzzle_widget(Countdown().problem([4, 6, 8, 8], 24)).children
    assert "make 24" in verdict.value
    box.value = "( 4 + 8 ) * ( 8 - 6 )"
    assert "right" in verdict.value
    box.value = "<b>"
    assert "not yet" in verdict.value
    assert "<b>&" not in verdict.value
