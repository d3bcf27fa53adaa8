"""The widgets, without a browser: verdicts, hints, another puzzle, a model that thinks."""

import re
import threading
from types import SimpleNamespace

import pytest

from o1lib.model.policy import Policy
from o1lib.tasks import Countdown
from o1lib.tasks.base import VAL_TARGETS
from o1lib.viz import widgets
from o1lib.viz.widgets import puzzle_widget, watch

VIEW = "application/vnd.jupyter.widget-view+json"
PROBLEM = Countdown().problem([4, 6, 8, 8], 24)


def test_it_keeps_the_puzzle_and_gives_the_verdict():
    widget = puzzle_widget(PROBLEM)
    for typed, wanted in (("( 4 + 8 ) * ( 8 - 6 )", "✓ right"), ("4 * 6", "✗ not yet")):
        widget.box.value = typed
        assert wanted in widget.verdict.value
        assert "make 24 from 4 6 8 8" in widget._asked.value
    widget.box.value = ""
    assert widget.verdict.value == ""


def test_the_times_sign_is_a_times_sign():
    widget = puzzle_widget(PROBLEM)
    widget.box.value = "( 4 + 8 ) × ( 8 − 6 )"
    assert "✓ right" in widget.verdict.value
    assert "<code>( 4 + 8 ) × ( 8 − 6 )</code>" in widget.verdict.value
    assert "\\x" not in widget.verdict.value


def test_what_is_typed_stays_text():
    widget = puzzle_widget(PROBLEM, think=lambda problem: "<script>alert(1)</script>")
    widget.box.value = "<b>bold</b><img src=x>"
    widget.model.click()
    for part in (widget.verdict, widget.chain):
        assert not re.search("<(script|img|b>bold)", part.value)


def test_hints_are_living_steps():
    """Step after step, as the oracle plays, until the goal is reached."""
    task = Countdown()
    widget = puzzle_widget(PROBLEM)
    for _ in range(5):  # more often than there are steps
        widget.hint.click()
    hints = re.findall("<div>(.*?)</div>", widget.hints.value)
    assert len(hints) == 3
    state = PROBLEM
    for hint in hints:
        equation = hint.split(",")[0].replace("×", "*").replace("−", "-")
        state = task.apply(state, task.parse_step(state, equation))
        assert task.solvable(state)
    assert task.is_solved(state)


def test_hints_say_when_there_is_none():
    fractions = puzzle_widget(Countdown().problem([3, 3, 8, 8], 24))
    fractions.hint.click()
    assert "a fraction is needed" in fractions.hints.value
    impossible = puzzle_widget(Countdown().problem([1, 1, 1, 1], 24))
    impossible.hint.click()
    assert "no solution" in impossible.hints.value


def test_a_new_puzzle_forgets_the_old_one():
    widget = puzzle_widget(PROBLEM)
    widget.box.value = "4 * 6"
    widget.hint.click()
    widget.new.click()
    assert widget.problem != PROBLEM
    assert widget.problem.target == 24
    assert Countdown().solvable(widget.problem)
    assert widget.box.value == widget.verdict.value == widget.hints.value == ""
    assert str(widget.problem) in widget._asked.value


def test_the_model_is_asked_only_when_wanted():
    asked = []

    def think(problem):
        asked.append(problem)
        return "<think> use 4 6 8 8 for 24 dead </think> <answer> ( 4 + 8 ) * ( 8 - 6 ) </answer>"

    widget = puzzle_widget(PROBLEM, think)
    assert not asked
    widget.model.click()
    assert asked == [PROBLEM]
    assert "✓ right" in widget.chain.value
    assert not widget.model.disabled

    def broken(problem):
        raise ValueError("no checkpoint <think>")

    widget = puzzle_widget(PROBLEM, broken)
    widget.model.click()
    assert "no checkpoint &lt;think&gt;" in widget.chain.value
    without = puzzle_widget(PROBLEM)
    assert without.model not in without.children[3].children


def test_a_page_without_widgets_shows_a_sentence():
    bundle = puzzle_widget(PROBLEM)._repr_mimebundle_()
    assert bundle["text/plain"].startswith("A box for your answer to 'make 24 from 4 6 8 8'")
    assert "VBox" not in bundle["text/plain"]
    assert "A box for your answer" in bundle["text/html"]
    assert VIEW in bundle


# --- a policy to watch

THREE = Countdown(3)


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-think", bf16=False)


def patient(monkeypatch, pieces) -> widgets.WatchWidget:
    """A widget whose policy writes these pieces, a thousand a second."""
    monkeypatch.setattr(widgets, "continuations", lambda *_arguments: iter(pieces))
    widget = watch(SimpleNamespace(), THREE, THREE.problem([3, 5, 7], 26))
    widget.pace.max = widget.pace.value = 1000
    return widget


def test_the_chain_appears_token_by_token(policy):
    """What is written in the end is the policy's own greedy chain, with its verdict."""
    widget = watch(policy, THREE)
    widget.pace.max = widget.pace.value = 100_000
    lengths = []
    widget.chain.observe(lambda change: lengths.append(len(change["new"])), "value")
    widget.button.click()
    widget.wait()
    assert widget.button.description == "Think"
    prompt = THREE.prompt(widget.problem)
    [[found]] = policy.sample([prompt], temperature=0)
    verdict = THREE.verify(widget.problem, found.text)
    assert ("✓ right" if verdict else "✗ wrong") in widget.verdict.value
    assert f"({len(found.token_ids)} tokens)" in widget.verdict.value
    assert widget.chain.value == widgets.show_chain(prompt, found.text, most=1000).data
    assert len(lengths) > 10
    assert lengths == sorted(lengths)


def test_a_second_press_stops(monkeypatch):
    reached, pressed = threading.Event(), threading.Event()

    def pieces():
        yield "<think> try"
        reached.set()
        pressed.wait(30)
        while True:
            yield " 3"

    widget = patient(monkeypatch, pieces())
    widget.button.click()
    assert reached.wait(30)
    assert widget.thinking
    assert widget.button.description == "Stop"
    widget.button.click()
    pressed.set()
    widget.wait()
    assert widget.verdict.value == "stopped after 1 tokens"
    assert widget.button.description == "Think"
    assert "try" in widget.chain.value


def test_any_puzzle_can_be_typed_and_others_are_drawn(monkeypatch):
    widget = patient(monkeypatch, ["<answer> 7 * 3 + 5 </answer>", ""])
    for _ in range(5):
        widget.another.click()
        assert widget.problem.target in VAL_TARGETS
        assert widget.numbers.value.split() == [str(x) for x in widget.problem.numbers]
    widget.numbers.value, widget.goal.value = "7, 5 3", 26
    widget.button.click()
    widget.wait()
    assert widget.problem == THREE.problem([3, 5, 7], 26)
    assert "make 26 from 3 5 7" in widget.chain.value
    assert "✓ right" in widget.verdict.value
    for typed in ("", "4 six", "<b>", "4 -6 8", "1 2 3 4 5 6 7"):
        widget.numbers.value = typed
        widget.button.click()
        assert not widget.thinking
        assert re.search("whole numbers|2 to 6 numbers", widget.verdict.value)
        assert widget.chain.value == ""


def test_hostile_thoughts_stay_text(monkeypatch):
    widget = patient(monkeypatch, ["<script>alert(1)</script>", " <img src=x> dead"])
    widget.button.click()
    widget.wait()
    for part in (widget.chain, widget.verdict):
        assert not re.search("<(script|img)", part.value)

    def broken():
        yield "<think>"
        raise RuntimeError("no <memory>")

    widget = patient(monkeypatch, broken())
    widget.button.click()
    widget.wait()
    assert widget.verdict.value == "The policy cannot think: no &lt;memory&gt;"
    assert widget.button.description == "Think"


def test_a_page_without_widgets_shows_a_chain(policy):
    bundle = watch(policy, THREE, THREE.problem([3, 5, 7], 26))._repr_mimebundle_()
    assert VIEW in bundle
    for kind in ("text/plain", "text/html"):
        assert "open this notebook in JupyterLab to watch it think" in bundle[kind]
        assert "make 26 from 3 5 7" in bundle[kind]
        assert re.search("✓ right|✗ wrong", bundle[kind])
        assert "<script" not in bundle[kind]
