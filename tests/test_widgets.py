"""The puzzle widget, without a browser: verdicts, hints, another puzzle, the model's chain."""

import re

from o1lib.tasks import Countdown
from o1lib.viz.widgets import puzzle_widget

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
