"""Exercises: solutions pass, stubs fail, every usual mistake is called by its name."""

import copy
import importlib
import json
import random
import sys
from contextlib import suppress
from itertools import pairwise

import matplotlib
import nbformat
import pytest
import torch

from o1lib.exercises import start_here
from o1lib.exercises.check import CheckFailed, same
from o1lib.exercises.generate import EXERCISES, SOLUTIONS, STUB, exercise_of, stub_of, text_of

matplotlib.use("Agg")
NOTEBOOKS = sorted(SOLUTIONS.glob("*.ipynb"))
# The checks of 00_start_here.ipynb are in the module start_here, and so on.
CHECKS = {
    path.stem: importlib.import_module(f"o1lib.exercises.{path.stem[3:]}").EXERCISES
    for path in NOTEBOOKS
}
ALL = [exercise for exercises in CHECKS.values() for exercise in exercises]
MISTAKES = [(e, m) for e in ALL for m in e.mistakes]


def read(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook: dict) -> list[str]:
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_copy_agrees_with_the_solutions(path):
    """`make exercises` was run after the last change."""
    assert (EXERCISES / path.name).read_text(encoding="utf-8") == text_of(exercise_of(read(path)))


def test_every_copy_has_a_source():
    assert {p.name for p in EXERCISES.glob("*.ipynb")} == {p.name for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_nbgraders(path):
    """Valid notebooks in schema 3: each exercise a solution cell and a locked, graded check."""
    for notebook in (path, EXERCISES / path.name):
        nbformat.validate(nbformat.read(notebook, 4))
    marks = [c["metadata"]["nbgrader"] for c in read(path)["cells"] if "nbgrader" in c["metadata"]]
    assert all(mark["schema_version"] == 3 for mark in marks)
    assert len({mark["grade_id"] for mark in marks}) == len(marks)
    for solution, check in pairwise(marks[:]):
        if solution["solution"]:
            assert check["grade"]
            assert check["locked"]
            assert check["points"] > 0
            assert check["grade_id"] == f"{solution['grade_id']}-check"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_short_and_hints_are_folded(path):
    for cell in read(path)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert len(source.splitlines()) <= 25
            assert max(map(len, source.splitlines())) <= 79
            assert not cell["outputs"]
        else:
            assert source.count("<details>") == source.count("</details>")
            if source.startswith("## ") and source[3].isdigit():
                for part in ("*Difficulty", "importance", "minutes", "**You learn**", "Hint 1"):
                    assert part in source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_solutions_pass(path, capsys):
    """Every cell of the solutions runs, and every check says what it verified."""
    names: dict = {}
    for source in code(read(path)):
        exec(compile(source, path.stem, "exec"), names)
    printed = capsys.readouterr().out
    for exercise in CHECKS[path.stem]:
        assert f"{exercise.name}: your function" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stubs_fail(path):
    """Stubs keep the signature and the docstring, hold no solution, and no check takes them."""
    names, failed = {}, 0
    solved = [s for s in code(read(path)) if "BEGIN SOLUTION" in s]
    for source in code(read(EXERCISES / path.name)):
        assert "SOLUTION" not in source
        if source.startswith("from o1lib.viz"):
            continue
        if source.startswith("check."):
            with pytest.raises(CheckFailed, match="not written yet"):
                exec(compile(source, path.stem, "exec"), names)
            failed += 1
        else:
            with suppress(NotImplementedError):  # a cell that uses what is not written yet
                exec(compile(source, path.stem, "exec"), names)
    assert failed == len(CHECKS[path.stem]) == len(solved)
    assert all(names[exercise.name].__doc__ for exercise in CHECKS[path.stem])


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda x: x.name)
def test_mistakes_are_named(exercise, mistake):
    for function in mistake.functions:
        with pytest.raises(CheckFailed) as caught:
            exercise(function)
        assert caught.value.mistake == mistake.name
        assert mistake.sentence in str(caught.value)
        assert "should give" in str(caught.value)


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)
def test_other_failures_are_plain(exercise):
    with pytest.raises(CheckFailed, match="`return`"):
        exercise(lambda *args: None)
    with pytest.raises(CheckFailed, match=r"not right yet.*raises ZeroDivisionError"):
        exercise(lambda *args: 1 / 0)
    with pytest.raises(CheckFailed, match=r"not right yet.*yours gives nonsense"):
        exercise(lambda *args: "nonsense")
    with pytest.raises(CheckFailed, match="raises TypeError"):
        exercise(lambda: 0)


def test_changing_the_arguments_is_noticed():
    def greedy(used, value, numbers, target):
        for number in used:
            if number in numbers:
                numbers.remove(number)
        return not numbers and value == target

    with pytest.raises(CheckFailed, match="changes the lists"):
        start_here.is_right(greedy)


def test_tensors_are_answers_too(capsys):
    start_here.group_advantages(
        lambda rewards: torch.tensor(rewards) - torch.tensor(rewards).float().mean(1, keepdim=True)
    )
    assert "group_advantages" in capsys.readouterr().out


def test_truths_agree_with_the_library():
    from o1lib.lab.statistics import pass_at_k

    for case in start_here.pass_at_k.cases:
        assert start_here.pass_at_k.truth(*case) == pytest.approx(pass_at_k(*case))


def test_the_gradient_is_that_of_the_expected_reward():
    """The first case has the exact proportions: the estimate is pi_j (r_j - J), by calculus."""
    [logits, actions, rewards] = start_here.reinforce_gradient.cases[0]
    pi = torch.tensor(logits).softmax(0).tolist()
    each = dict(zip(actions, rewards, strict=True))
    expected = sum(p * each[j] for j, p in enumerate(pi))
    exact = [p * (each[j] - expected) for j, p in enumerate(pi)]
    assert same(start_here.reinforce_gradient.truth(logits, actions, rewards), exact)


def test_generator_refuses_what_would_give_the_solution_away():
    with pytest.raises(ValueError, match="closed solution marks"):
        stub_of("def f():\n    return 1\n")
    with pytest.raises(ValueError, match="closed solution marks"):
        stub_of("def f():\n    ### BEGIN SOLUTION\n    return 1\n")
    assert stub_of("### BEGIN SOLUTION\nx = 1\n### END SOLUTION") == STUB
    notebook = copy.deepcopy(read(NOTEBOOKS[0]))
    [check] = [c for c in notebook["cells"] if c["id"] == "returns-check"]
    check["source"] = [*check["source"], "\n### BEGIN HIDDEN TESTS\n", "assert secret\n"]
    with pytest.raises(ValueError, match="a mark is left over"):
        exercise_of(notebook)
    check["source"].append("### END HIDDEN TESTS")
    [stripped] = [c for c in exercise_of(notebook)["cells"] if c["id"] == "returns-check"]
    assert "".join(stripped["source"]) == "check.returns(returns)"


def test_plain_words_where_a_console_knows_no_sign(monkeypatch):
    class Console:
        encoding = "cp1252"
        text = ""

        def write(self, text):
            text.encode(self.encoding)
            self.text += text

        def flush(self): ...

    console = Console()
    monkeypatch.setattr(sys, "stdout", console)
    start_here.returns(start_here.returns.truth)
    assert console.text.startswith("OK returns")


def test_a_reader_sees_one_line():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    try:
        shell.push({"check": start_here})
        with capture_output() as captured:
            shell.run_cell("check.pass_at_k(lambda n, correct, k: correct / n)")
        assert "you never use k" in captured.stdout
        assert "Traceback" not in captured.stdout
    finally:
        InteractiveShell.clear_instance()


def test_random_wrong_functions_are_never_right():
    rng = random.Random(0)
    for exercise in ALL:
        with pytest.raises(CheckFailed):
            exercise(lambda *args: rng.random())
