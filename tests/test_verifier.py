"""The strict verifier, met with what it must refuse and what it must accept."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.tasks import Arithmetic, Countdown, Verdict
from o1lib.tasks.expression import exact_value, numbers_of, parse_expression
from o1lib.tasks.notation import plain_expression

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
def test_wrong_answers_get_a_plain_reason(name):
    response, reason = WRONG[name]
    verdict = task.verify(puzzle, response)
    assert not verdict.correct
    assert reason in verdict.reason, verdict.reason
    assert len(verdict.reason) < 120
    assert "\n" not in verdict.reason


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


# --- lenient notation


LENIENT = {
    "tab": "( 4\t+ 8 ) * ( 8 - 6 )",
    "lines": "\n( 4 + 8 )\r\n* ( 8 - 6 )\n",
    "no-break spaces": "( 4\u00a0+\u20098 ) * ( 8 - 6 )",
    "goal": "( 4 + 8 ) * ( 8 - 6 ) = 24",
    "goal, no blanks": "(4+8)*(8-6)=24",
    "times sign": "(4 + 8) × (8 − 6)",
    "dots": "(4 + 8) · (8 – 6)",
    "bullet": "(4 + 8) ∙ (8 — 6)",
    "x": "(4 + 8) x (8 - 6)",
    "X between brackets": "(4 + 8)X(8 - 6)",
    "divide": "8 * 6 ÷ (8 / 4)",
    "square brackets": "[4 + 8] * [8 - 6]",
    "dollars": "$(4 + 8) \\times (8 - 6)$",
    "double dollars": "$$ (4 + 8) \\cdot (8 - 6) = 24 $$",
    "left and right": "\\left(4 + 8\\right) \\cdot \\left( 8 - 6 \\right)",
    "left brackets": "\\left[4 + 8\\right] \\ast \\left(8-6\\right)",
    "math mode": "\\( (4 + 8) \\times (8 - 6) \\)",
    "display": "\\[ (4 + 8)\\,\\times\\;(8 - 6) \\]",
    "braces": "{(4 + 8)} * {8 - 6}",
    "box": "\\boxed{(4 + 8) \\times (8 - 6)}",
    "box with goal": "$\\boxed{(4 + 8) * (8 - 6) = 24}$",
    "box, then goal": "\\boxed{(4 + 8) * (8 - 6)} = 24",
    "box as bracket": "\\boxed{4 + 8} * (8 - 6)",
    "frac": "\\frac{8 * 6}{\\frac{8}{4}}",
    "dfrac, blanks": "\\dfrac {8 \\cdot 6} {8 \\div 4}",
}


@pytest.mark.parametrize("name", LENIENT)
def test_lenient_notation(name):
    answer = LENIENT[name]
    verdict = task.verify(puzzle, f"<think> so </think> {tag(answer)}\t\r\n", "lenient")
    assert verdict, verdict
    assert not task.verify(puzzle, f"{tag(answer)}\t")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RIGHT + " = 25", "the answer claims to be 25, the goal is 24"),
        ("24 = " + RIGHT, "an equals sign"),
        (RIGHT + " = 12 * 2 = 24", "an equals sign"),
        ("(4 + 8 = 24) * 2", "an equals sign"),
        ("2(4 + 8)", "an operator is missing"),
        ("4$8 + 6 + 8", "an operator is missing"),
        ("4\\left8 + 6 + 8", "an operator is missing"),
        ("4\u00a08 + 6 + 8", "an operator is missing"),
        ("４ + 8", "not allowed"),
        ("\\frac{8}4", "needs braces"),
        ("\\frac84", "needs braces"),
        ("\\frac{8}", "needs braces"),
        ("\\boxed", "needs braces"),
        ("\\frac{8", "a brace is not closed"),
        ("8 }", "a brace closes"),
        ("\\text{none}", "contains"),
        ("\\sqrt{4}", "contains"),
        ("\x01 4 + 8 \x02", "not allowed"),
        ("4x8", "not allowed"),
        ("4 + 8 + 0x6", "not allowed"),
        ("-4 + 8", "a number is missing before -"),
        ("4.0 + 8", "a point"),
        ("{" * 4000, "a brace is not closed"),
        ("\\frac{" * 500, "a brace is not closed"),
        ("\\boxed{" * 300 + "4" + "}" * 300, "is used"),
        ("1+" * 3000, "longer than 4096"),
        ("=1" + " " * 4000, "claims to be 1"),
        ("=1" * 2000, "claims to be 1"),
        ("__import__('os')", "not allowed"),
        ("", "empty"),
        (None, "must be text"),
    ],
)
def test_lenient_is_not_lenient_about_numbers(answer, reason):
    verdict = task.verify_answer(puzzle, answer, "lenient")
    assert not verdict
    assert reason in verdict.reason
    assert len(verdict.reason) < 120
    assert verdict.reason.isprintable()


answers = st.one_of(
    trees,
    trees.map(lambda t: t.replace(" ", "")),
    st.text(alphabet="0123456789+-*/() ", max_size=40),
    st.permutations(["4", "6", "8", "8"]).flatmap(
        lambda n: st.tuples(*[st.sampled_from("+-*/")] * 3).map(
            lambda o: f"({n[0]}{o[0]}{n[1]}) {o[1]} ({n[2]} {o[2]} {n[3]})"
        )
    ),
)


@given(answers)
@settings(max_examples=400, deadline=None)
def test_what_is_read_strictly_is_read_alike_leniently(answer):
    for task_, problem in ((task, puzzle), (Arithmetic(), Arithmetic().problem("3 + 4"))):
        strict = task_.verify(problem, tag(answer))
        assert task_.verify(problem, tag(answer), "lenient") == strict
        try:
            parsed = parse_expression(answer)
        except ValueError:
            continue
        assert parse_expression(plain_expression(answer)) == parsed


@given(
    st.text(alphabet="0123456789+-*/()[]{}$\\fracboxedtimeleh =×·÷−\t\n\x01\x02xX", max_size=120)
)
@settings(max_examples=400, deadline=None)
def test_lenient_reading_keeps_every_digit(text):
    """Any text gets a verdict, and what is rewritten has the same numbers in the same order."""
    import re

    assert isinstance(task.verify(puzzle, tag(text), "lenient"), Verdict)
    try:
        plain = plain_expression(text)
    except ValueError:
        return
    assert re.findall("[0-9]+", plain) == re.findall("[0-9]+", text)


def test_lenient_arithmetic():
    task = Arithmetic()
    problem = task.problem("( 2 + 3 ) * 4")
    for answer in ("$20$", "\\boxed{20}", "\n20\n", "20 = 20"):
        assert task.verify(problem, tag(answer), "lenient"), answer
        assert not task.verify(problem, tag(answer))
    for answer in ("5 * 4 = 20", "\\boxed{20", "2 0", "20.0", "(20)"):
        assert not task.verify(problem, tag(answer), "lenient"), answer


@pytest.mark.parametrize("task", [Countdown(), Arithmetic()])
def test_an_unknown_notation_is_a_mistake_of_the_caller(task):
    with pytest.raises(ValueError, match="unknown notation 'loose'; choose from strict, lenient"):
        task.verify(task.train_problem(0), tag("4"), "loose")


def test_thinking_that_was_never_opened_is_wrong():
    response = f"hm </think> {tag(RIGHT)}"
    assert "without having been opened" in task.verify(puzzle, response).reason
