"""The strict verifier, met with what it must refuse and what it must accept."""

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.tasks import Arithmetic, Countdown, Verdict
from o1lib.tasks.expression import exact_value, numbers_of, parse_expression

task = Countdown(4)
puzzle = task.problem([4, 6, 8, 8], 24)
RIGHT = "( 4 + 8 ) * ( 8 - 6 )"


def tag(answer: str) -> str:
    return f"<answer> {answer} </answer>"


@pytest.mark.parametrize(
    "response",
    [
        tag(RIGHT),
        f"<think> hm , 4 + 8 </think> {tag(RIGHT)}",
        "<answer>(4+8)*(8-6)</answer>",
        f"so it is {tag(RIGHT)}\n",
        tag("((((4+8))))*(8-6)"),
    ],
)
def test_right_answers(response):
    assert task.verify(puzzle, response) == Verdict(
        True, "the answer uses every number once and is 24"
    )


def test_fractions_are_exact():
    assert task.verify(task.problem([3, 3, 8, 8], 24), tag("8 / ( 3 - 8 / 3 )"))
    assert task.verify(task.problem([1, 5, 5, 5], 24), tag("5 * ( 5 - 1 / 5 )"))


WRONG = {
    "used twice": (tag("( 4 + 8 ) * ( 8 - 6 ) + 4 - 4"), "is used 3 times"),
    "left out": (tag("8 * 6 / ( 8 / 4 ) - 8 + 8"), "is used"),
    "missing": (tag("( 8 - 4 ) * 6"), "8 is used once, it is given 2 times"),
    "leading zero": (tag("( 04 + 8 ) * ( 8 - 6 )"), "leading zero"),
    "joined": (tag("48 + 6 + 8"), "is used 0 times"),
    "adjacent": (tag("4 8 + 6 8"), "an operator is missing"),
    "unicode digits": (tag("( ٤ + 8 ) * ( 8 - 6 )"), "not allowed"),
    "fullwidth": (tag("( ４ + 8 ) * ( 8 - 6 )"), "not allowed"),
    "superscript": (tag("4² + 8"), "not allowed"),
    "power": (tag("( 4 + 8 ) * ( 8 - 6 ) ** 1"), "a number is missing"),
    "floor": (tag("( 4 + 8 ) * ( 8 - 6 ) // 1"), "a number is missing"),
    "equals": (tag(RIGHT + " = 24"), "equals sign"),
    "name": (tag("x + 4"), "not allowed"),
    "call": (tag("__import__('os').system('true')"), "not allowed"),
    "point": (tag("4.0 + 8"), "a point"),
    "value": (tag("4 + 6 + 8 + 8"), "the answer is 26, not 24"),
    "zero division": (tag("( 4 + 6 ) / ( 8 - 8 )"), "divides by zero"),
    "unary minus": (tag("- 4 + 8 * 6 - 8"), "a number is missing before -"),
    "unary in brackets": (tag("( - 4 ) + 8 * 6 - 8"), "a number is missing before -"),
    "nul": (tag("4 + 8\x00"), "NUL"),
    "tab": (tag("4\t+ 8"), "not allowed"),
    "several": (tag(RIGHT) + tag(RIGHT), "more than one answer"),
    "nested answers": (tag(tag(RIGHT)), "more than one answer"),
    "inside the thinking": (f"<think> {tag(RIGHT)} </think>", "before the thinking has closed"),
    "thinking open": (f"<think> so {tag(RIGHT)}", "not closed"),
    "thinking twice": (f"<think> a </think> <think> b </think> {tag(RIGHT)}", "more than once"),
    "thinking unopened": (f"a </think> {tag(RIGHT)}", "without having been opened"),
    "text after": (tag(RIGHT) + " done", "text after the answer"),
    "thinking after": (tag(RIGHT) + " <think> hm </think>", "before the thinking"),
    "none": ("<think> hm </think>", "no answer"),
    "empty": ("", "no answer"),
    "empty answer": (tag(""), "empty"),
    "only brackets": (tag("( )"), "a number is missing"),
    "open bracket": (tag("( 4 + 8"), "a bracket is not closed"),
    "closed bracket": (tag("4 + 8 )"), "closes that was not opened"),
    "call by juxtaposition": (tag("4 ( 8 )"), "an operator is missing"),
    "unclosed answer": ("<answer> 4 + 8", "not closed"),
    "huge integer": (tag("9" * 4000), "is used"),
    "a million characters": (tag("1+" * 500_000 + "1"), "longer than 4096"),
    "deep nesting": (tag("(" * 100_000 + "4" + ")" * 100_000), "longer than 4096"),
    "deep nesting, read": (tag("(" * 2000 + "4" + ")" * 2000), "is used"),
    "long chain": (tag("+".join(["7"] * 2000)), "is used"),
    "big products": (tag("*".join(["999999999999"] * 300)), "is used"),
    "not text": (None, "must be text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_get_a_plain_reason_quickly(name):
    response, reason = WRONG[name]
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        verdict = task.verify(puzzle, response)
        times.append(time.perf_counter() - begun)
    assert not verdict.correct
    assert reason in verdict.reason, verdict.reason
    assert len(verdict.reason) < 120
    assert "\n" not in verdict.reason
    # The issue asks for 10 ms; the loose factor keeps a busy machine from failing a defined
    # behavior.
    assert min(times) < 0.1


@given(st.text(alphabet="0123456789+-*/() <answer>think\x00٣=.", max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_a_verdict(text):
    assert isinstance(task.verify(puzzle, text), Verdict)
    assert isinstance(task.verify(puzzle, tag(text)), Verdict)


trees = st.recursive(
    st.integers(1, 13).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda t: f"( {t[0]} {t[1]} {t[2]} )"
    ),
    max_leaves=6,
)


@given(trees)
@settings(max_examples=200, deadline=None)
def test_value_equals_python_fractions(text):
    """Python itself, on text that we generated (never a model's), is the independent truth."""
    import re

    code = re.sub(r"([0-9]+)", r"Fraction(\1)", text)
    try:
        truth = eval(code, {"Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by zero"):
            exact_value(parse_expression(text))
        return
    parsed = parse_expression(text)
    assert exact_value(parsed) == truth
    assert numbers_of(parsed) == [int(n) for n in re.findall("[0-9]+", text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("8 - 3 - 2", 3),
        ("8 / 2 * 4", 16),
        ("8 / 4 / 2", 1),
        ("2 * ( 3 + 4 ) - 1", 13),
    ],
)
def test_precedence_and_grouping(text, value):
    assert exact_value(parse_expression(text)) == value


def test_a_million_spaces_behind_the_answer():
    response = "<answer> 7 * 3 + 5 </answer>" + " " * 10**6
    problem = Countdown(3).problem([3, 5, 7], 26)
    assert Countdown(3).verify(problem, response)
    assert not Countdown(3).verify(problem, response + "x")


@pytest.mark.parametrize("answer", [None, b"3", 5, []])
def test_an_answer_that_is_no_text(answer):
    verdict = Countdown(3).verify_answer(Countdown(3).problem([3, 5, 7], 26), answer)
    assert verdict.reason.startswith("an answer must be text")


def test_arithmetic_wants_a_plain_number():
    task = Arithmetic()
    problem = task.problem("( 2 + 3 ) * 4")
    assert task.verify(problem, "<answer> 20 </answer>")
    assert not task.verify(problem, "<answer> ( 20 ) </answer>")
