"""`o1lib ask`: what is written live is the model's chain, readable and harmless in any terminal."""

import io
import random
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from o1lib.cli import main
from o1lib.cli.ask import puzzle
from o1lib.model.plain import continuations
from o1lib.model.policy import Policy
from o1lib.policy.traces import GRAMMARS, Style, think
from o1lib.tasks import Countdown
from o1lib.viz import terminal
from o1lib.viz.trace import lines


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-think", bf16=False)


def live(text: str, **options) -> str:
    """What appears on the screen when a text arrives word by word."""
    out = io.StringIO()
    pieces = re.findall(r"\s*\S+|\s+\Z", text)
    assert terminal.write_live(pieces, out.write, **options) == text
    return out.getvalue()


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_live_lines_are_those_of_the_whole_chain(grammar):
    """A thought is never cut elsewhere because it was written before its end was known."""
    for index in range(3):
        problem = Countdown(4).train_problem(index)
        style = Style(grammar, slip=0.05)
        text = " ".join(t for t, _ in think(problem, random.Random(index), style))
        written = [re.sub(" [✓✗↻]$", "", line).strip() for line in live(text).splitlines()]
        assert written == lines(text)
        colored = re.sub("\x1b\\[[0-9;]*m", "", live(text, depth=256))
        assert colored == live(text)
        assert len(live(text, english=True).splitlines()) == len(lines(text))


@given(st.text(max_size=80))
def test_any_text_is_written_whole_and_harmless(text):
    out = io.StringIO()
    terminal.write_live(list(text), out.write)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x9b]", out.getvalue())
    wanted = "".join(terminal.harmless(text).split())
    assert "".join(re.sub("[✓✗↻]", "", out.getvalue()).split()) == re.sub("[✓✗↻]", "", wanted)


def test_words_come_while_the_model_writes():
    """After each word the screen holds all that came before it, but for numbers."""
    out = io.StringIO()

    def pieces():
        for word in "<think> use 4 6 8 8 for 24 try 4 6 want 6 :".split():
            yield f" {word}"
            if word == "want":
                assert "use 4 6 8 8 for 24\n" in out.getvalue()
                assert out.getvalue().rstrip().endswith("try")

    terminal.write_live(pieces(), out.write)


def test_a_terminal_obeys_nothing_that_the_model_writes():
    assert "\x1b" not in live("try \x1b[2J 1 2 get 3 \x07 no")


def test_colors_only_where_they_are_wanted():
    class Screen(io.StringIO):
        def isatty(self):
            return True

    assert terminal.color_depth(io.StringIO(), {}) == terminal.PLAIN
    assert terminal.color_depth(Screen(), {"NO_COLOR": "1"}) == terminal.PLAIN
    assert terminal.color_depth(Screen(), {"TERM": "dumb"}) == terminal.PLAIN
    assert terminal.color_depth(Screen(), {"TERM": "xterm"}) == terminal.COLORS_256
    assert terminal.color_depth(Screen(), {"COLORTERM": "truecolor"}) == terminal.TRUE_COLOR
    assert terminal.paint("x", "#910ff5", terminal.TRUE_COLOR) == "\x1b[38;2;145;15;245mx\x1b[0m"
    assert terminal.paint("x", "#ff0000", terminal.COLORS_256) == "\x1b[38;5;196mx\x1b[0m"
    assert terminal.paint("x", "#ff0000", terminal.PLAIN) == "x"
    assert terminal.legend(terminal.PLAIN).count("■") == 6


def test_signs_fit_any_code_page():
    assert terminal.fitted("4 × 6 ✓", "utf-8") == "4 × 6 ✓"
    assert terminal.fitted("no ✗", "cp1252") == "no x"
    assert terminal.fitted("✓ \ufffd", "ascii") == "+ ?"


def test_the_chain_is_the_policys(policy):
    """Greedy, word by word, it is what the sampler gives; a seed repeats a drawn chain."""
    for numbers, target in (((3, 5, 7), 26), ((2, 4, 9), 24), ((1, 6, 12), 17)):
        prompt = Countdown(3).prompt(Countdown(3).problem(numbers, target))
        [[response]] = policy.sample([prompt], temperature=0)
        pieces = list(continuations(policy, prompt, 0, 512, 0))
        assert "".join(pieces) == response.text
        assert len(pieces) == len(response.token_ids)
    drawn = ["".join(continuations(policy, prompt, 3.0, 40, seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(list(continuations(policy, prompt, 3.0, 5, 1))) <= 5


def test_ask_writes_a_chain_and_its_verdict():
    result = CliRunner().invoke(
        main, ["ask", "3", "5", "7", "--target", "26", "--checkpoint", "nano-think"]
    )
    assert result.exit_code == 0
    assert "make 26 from 3 5 7, thinks nano-think" in result.output
    assert "<think> use 3 5 7 for 26" in result.output
    assert re.search(r"(right|wrong): .* \([0-9]+ tokens in [0-9.]+ s\)", result.output)
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["1", "1", "1", "1"], "nobody can make 24 from 1 1 1 1"),
        (["4", "5"], "puzzles of 3 or 4 numbers, this one has 2"),
        (["1", "2", "3", "4", "5"], "this one has 5"),
        (["0", "4", "5"], "0 is not in the range"),
        (["4", "x", "5"], "'x' is not a valid integer"),
        ([], "Missing argument"),
        (["3", "5", "7", "--target", "26", "--checkpoint", "none-such"], "none-such"),
        (["3", "5", "7", "--target", "26", "--temperature", "1e-9"], "temperature must be 0"),
    ],
)
def test_errors_are_one_line(arguments, reason):
    result = CliRunner().invoke(main, ["ask", *arguments])
    assert result.exit_code == 2
    [error] = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert reason in error


def test_fractions_are_asked_with_a_warning():
    task, problem = puzzle((3, 3, 8, 8), 24)
    assert not task.solvable(problem)


def test_a_computation_turns_into_a_verdict():
    """Numbers keep the color of the computation; only the word that judges has that of judging."""
    screen = live("4 5 get 9 20 no", depth=terminal.TRUE_COLOR)
    assert terminal.paint(" 20", "#50a07d", terminal.TRUE_COLOR) in screen
    assert terminal.paint(" no", "#9b910f", terminal.TRUE_COLOR) in screen
