"""The strip of learned and exact values: a cell a step, true numbers, and hostile text
stays text.
"""

import math
import random
import re
from itertools import pairwise

import pytest
from test_tree_view import HOSTILE, Page

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.traces import Style, think
from o1lib.reward.exact import enumerate_values
from o1lib.tasks import Arithmetic, Countdown, Jugs
from o1lib.tasks.base import straight_chain
from o1lib.tasks.space import Space
from o1lib.viz.palette import diverging
from o1lib.viz.value_strip import WRONG, step_ends, value_strip, values_along

task = Countdown(3)
SPACE = Space(task, task.problem([3, 5, 7], 26))


def solved(space: Space) -> str:
    """A right response to `solve`."""
    steps = next(space.task.solutions(space.root.state))
    return straight_chain(space.task, space.problem, steps)


class Lengths:
    """A scorer that gives every token its place, divided by a hundred."""

    tokenizer = build_tokenizer()

    def score(self, prompts, responses):
        return [[(i + 1) / 100 for i in range(len(text.split()))] for text in responses]


def cells(strip) -> list[str]:
    return re.findall(r"(?s)<li .*?</li>", strip.data)


@pytest.mark.parametrize("world", [Countdown(3), Countdown(5), Jugs(), Arithmetic(5)], ids=repr)
def test_the_ends_of_steps_are_the_nodes_of_the_space(world):
    for index in range(10):
        space = Space(world, world.train_problem(index))
        text = solved(space)
        nodes = space.read(text)[1:]
        ends = step_ends(space, text)
        assert [end.prefix for end in ends] == [node.prefix for node in nodes]
        assert [end.state for end in ends] == [node.state for node in nodes]
        assert len(cells(value_strip(space, text, Lengths(), lambda _: 1.0))) == len(nodes)


def test_thoughts_are_cells_too():
    space = Space(task, task.train_problem(1), "think")
    text = " ".join(t for t, _ in think(space.problem, random.Random(0), Style("fan", slip=0.0)))
    ends = step_ends(space, text)
    assert ends[-1].prefix == text
    assert all(b.prefix.startswith(f"{a.prefix} ") for a, b in pairwise(ends))
    assert len(cells(value_strip(space, text, Lengths(), lambda _: None))) == len(ends) > 4


def test_exact_values_are_those_of_the_enumerated_tree():
    """A policy's values by its winning chains, and the ones looked up in its tree."""
    policy = Policy.load("nano-think", bf16=False)
    [tree] = enumerate_values(policy, task, [SPACE.problem])
    by_text = {v.node.prefix: v.value for v in tree}
    for step in SPACE.steps(SPACE.root)[:4]:
        child = SPACE.child(SPACE.root, step)
        last = SPACE.child(child, SPACE.steps(child)[0])
        text = SPACE.response(last)
        found = values_along(SPACE, text, policy)
        assert found == pytest.approx([by_text[child.prefix], by_text[last.prefix]], abs=1e-5)
        assert values_along(SPACE, text, by_text) == [by_text[child.prefix], by_text[last.prefix]]


def test_a_slip_is_worth_nothing_and_is_scored():
    """After a wrong step of Arithmetic no canonical chain goes on; the judge still speaks."""
    space = Space(Arithmetic(4), Arithmetic(4).train_problem(3))
    slip = space.task.slips(space.root.state)[0]
    text = f"<think> {slip.text} ; {slip.text} </think> <answer> 1 </answer>"
    values = {node.prefix: 1.0 for node in space.read(solved(space))}
    assert values_along(space, text, values) == [0.0, 0.0]
    assert values_along(space, text, lambda n: None if n.state is None else 1.0) == [None, None]
    ends = [len(node.prefix.split()) / 100 for node in step_ends(space, text)]
    assert values_along(space, text, Lengths()) == ends


def test_cells_show_both_values_and_frame_what_is_wrong():
    text = solved(SPACE)
    strip = value_strip(SPACE, text, [0.875, 0.5], [0.125, 0.5 + WRONG / 2], ("head", "true"))
    first, second = cells(strip)
    assert re.findall("<b>(.*?)</b>", first) == ["0.88", "0.12", "off by +0.75 ≠"]
    assert re.findall("<small>(.*?)</small>", first)[:2] == ["head", "true"]
    assert re.findall("background-color:(#[0-9a-f]{8})", first) == [
        diverging(0.75),
        diverging(-0.75),
    ]
    assert "border:2px solid;" in first
    assert "2px" not in second.replace("padding:2px", "")
    assert "off by −0.12" in second
    assert "head 0.875, true 0.125" in first.split("style=")[0]  # on hover
    lines = repr(strip).splitlines()
    assert lines[0].startswith("make 26 from 3 5 7 -> ✓ right")
    assert lines[2].split()[-4:] == ["0.88", "0.12", "+0.75", "<-"]
    assert lines[3].split()[-3:] == ["0.50", "0.62", "−0.12"]
    assert lines[-1].startswith("Furthest apart at step 1 (")
    assert lines[-1].endswith("1 of 2 framed: off by 0.25 or more.")
    Page(strip.data)


def test_what_is_not_known_is_a_dash():
    strip = value_strip(SPACE, solved(SPACE), [math.nan, 0.2], [0.5, None])
    assert [re.findall("<b>(.*?)</b>", cell) for cell in cells(strip)] == [
        ["–", "0.50"],
        ["0.20", "–"],
    ]
    assert strip.data.count("not known") == 2
    assert "Furthest" not in strip.data


@pytest.mark.parametrize("text", ["", ";;;", "</think>", "x" * 5000, f"<think> 1 ; {HOSTILE} ;"])
def test_any_text_is_defined_and_stays_text(text):
    for instruction in ("solve", "think"):
        space = Space(task, SPACE.problem, instruction)
        strip = value_strip(space, text, Lengths(), lambda _: 0.5, ("<b>", "&"))
        found = Page(strip.data)
        assert not {"script", "img"} & set(found.tags)
        assert not any(name.startswith("on") for name, _ in found.attributes)
        for page in (strip.data, repr(strip)):
            assert not any(sign in page for sign in "\x1b\u202e\u2028")
        assert len(cells(strip)) == len(step_ends(space, text))
    assert "There are no steps." in repr(value_strip(SPACE, "", [], []))


def test_numbers_must_fit():
    with pytest.raises(ValueError, match="1 values for 2 steps"):
        value_strip(SPACE, solved(SPACE), [0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="both called 'a'"):
        value_strip(SPACE, solved(SPACE), [0.5, 0.5], [0.5, 0.5], ("a", "a"))
