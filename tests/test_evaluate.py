"""Evaluation and the command line: right reports, clear errors, exit code 2, nothing lost."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from o1lib.cli import main
from o1lib.model import checkpoints
from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.choose import by_checker
from o1lib.search.evaluate import evaluate
from o1lib.search.guidance import oracle
from o1lib.search.mcts import mcts
from o1lib.search.sampling import best_of_n, greedy, sample
from o1lib.search.trees import beam, depth_first
from o1lib.tasks import Countdown

task = Countdown(3)


class Scripted:
    """A policy whose responses are known: sample j of a puzzle is right when j == puzzle number
    modulo n.
    """

    bf16 = False

    def __init__(self, problems):
        self.problems = problems

    def sample_each(self, requests, seeds):
        groups = []
        for request in requests:
            index = next(i for i, p in enumerate(self.problems) if task.prompt(p) == request.prompt)
            problem = self.problems[index]
            right = task.answer(problem, next(task.solutions(problem)))
            group = []
            for j in range(request.n):
                text = f"<answer> {right if j == index % request.n else '1 + 1'} </answer>"
                group.append(Response(text, [1] * (10 + j), [-0.1 * (j + 1)] * (10 + j), True))
            groups.append(group)
        return groups


PROBLEMS = task.problems("val_inputs", 8)


def test_reports_count_what_happened():
    policy = Scripted(PROBLEMS)
    one = evaluate(policy, PROBLEMS, progress=False)
    assert one["correct"] == one["n"] == 8
    assert one["tokens"] == 80
    many = evaluate(policy, PROBLEMS, sample(4), progress=False)
    assert many["accuracy"] == pytest.approx(0.25)
    assert many["tokens"] == 8 * (10 + 11 + 12 + 13)
    checked = evaluate(policy, PROBLEMS, best_of_n(4, by_checker()), progress=False)
    assert checked["accuracy"] == 1.0
    assert checked["checks"] == 2 * 1 + 6 * 2  # two different answers, the surest first
    model = evaluate(policy, PROBLEMS, best_of_n(4), progress=False)
    assert model["correct"] == 2  # the most probable sample is number 0: right for puzzles 0 and 4
    for result in checked["results"]:
        assert task.verify_answer(
            task.problem(result["numbers"], result["target"]), result["answer"]
        )
        assert result["answer"] in result["response"]


def test_results_come_in_the_order_of_the_problems():
    """A hard puzzle first: it is finished last, and reported first."""
    four = Countdown()
    puzzles = [four.problem([7, 11, 13, 17], 999), four.problem([4, 6]), four.problem([2, 3, 4])]
    finished = []
    report = evaluate(
        Scripted(PROBLEMS),
        puzzles,
        depth_first(),
        concurrent=2,
        progress=False,
        on_result=lambda place, result: finished.append((place, result["numbers"])),
        task=four,
    )
    assert [r["numbers"] for r in report["results"]] == [list(p.numbers) for p in puzzles]
    assert all(puzzles[place].numbers == tuple(numbers) for place, numbers in finished)


def test_budget_is_kept():
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    for budget in (1, 7, 30):
        strategy = best_of_n(16, max_new_tokens=9)
        report = evaluate(policy, PROBLEMS[:4], strategy, budget=budget, progress=False)
        assert all(0 < r["tokens"] <= budget for r in report["results"])
        assert report["settings"]["budget"]["generated"] == budget
        assert report["settings"]["search"] == repr(strategy)


@pytest.mark.parametrize(
    ("strategy", "wrong"),
    [
        (sample(0), {}),
        (greedy(), {"budget": 0}),
        (greedy(), {"concurrent": -1}),
        (greedy(), {"notation": "sloppy"}),
        (mcts(oracle(), simulations=-1), {}),
        (mcts(oracle(noise=-1.0)), {}),
        (beam(), {"instruction": "think"}),
    ],
)
def test_bad_options_are_refused(strategy, wrong):
    with pytest.raises(ValueError, match=r".+"):
        evaluate(Scripted(PROBLEMS), PROBLEMS, strategy, progress=False, **wrong)


def test_real_policy_end_to_end():
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    report = evaluate(policy, PROBLEMS[:3], best_of_n(2, max_new_tokens=8), progress=False)
    assert [len(r["response"]) > 0 for r in report["results"]] == [True] * 3
    assert report["tokens"] <= 3 * 2 * 8


GOOD = '{"numbers": [4, 6, 8, 8], "target": 24}\n\n{"numbers": [2, 3, 4], "target": 24}\n'


def o1lib(*arguments):
    """The command line, in this process."""
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A checkpoint with random weights, and puzzles."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoints.save(build_model("nano"), folder / "tiny", {})
    (folder / "puzzles.jsonl").write_text(GOOD)
    return folder


def test_command_writes_a_report_that_can_be_rechecked(tiny):
    out = tiny / "report.json"
    done = o1lib(
        "evaluate",
        "--puzzles",
        tiny / "puzzles.jsonl",
        "--checkpoint",
        tiny / "tiny",
        "--max-new-tokens",
        20,
        "--out",
        out,
    )
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert {"n", "correct", "accuracy", "tokens", "seconds", "settings", "results"} <= set(report)
    assert report["n"] == 2
    for result in report["results"]:
        assert {"numbers", "target", "response", "answer", "correct", "tokens"} <= set(result)
        problem = Countdown().problem(result["numbers"], result["target"])
        assert bool(Countdown().verify(problem, result["response"])) == result["correct"]
    assert sorted(p.name for p in tiny.iterdir()) == ["puzzles.jsonl", "report.json", "tiny"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "Missing option '--puzzles'"),
        (["evaluate", "--puzzles", "no-such-file"], "no-such-file"),
        (
            ["evaluate", "--puzzles", "PUZZLES", "--checkpoint", "no-such-checkpoint"],
            "there is no checkpoint",
        ),
        (["evaluate", "--puzzles", "PUZZLES", "--search", "magic"], "magic"),
        (["evaluate", "--puzzles", "PUZZLES", "--unknown"], "--unknown"),
        (["evaluate", "--puzzles", "PUZZLES", "--n", "0"], "--n"),
        (["evaluate", "--puzzles", "PUZZLES", "--temperature", "-1"], "--temperature"),
        (["evaluate", "--puzzles", "PUZZLES", "--temperature", "nan"], "not a finite number"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "PUZZLES"], "holds the puzzles"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "/dev/null"], "no ordinary file"),
        (["bench", "traces", "--seconds", "nan"], "not a finite number"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "/"], "cannot be written"),
        (["train", "nothing"], "unknown checkpoint"),
        (["run", "99"], "no notebook starts with"),
        (["nonsense"], "nonsense"),
    ],
)
def test_errors_are_clear_and_exit_with_2(tiny, arguments, message):
    done = o1lib(*[tiny / "puzzles.jsonl" if a == "PUZZLES" else a for a in arguments])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "o1lib", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "o1lib" in done.stdout


def test_a_killed_evaluation_keeps_its_results(tiny, monkeypatch):
    """The results so far stay beside the report's place when the run dies."""
    calls = []
    original = Policy.sample

    def dies(self, prompts, *arguments, **options):
        calls.append(len(prompts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, prompts, *arguments, **options)

    monkeypatch.setattr(Policy, "sample", dies)
    lines = "\n".join('{"numbers": [4, 6, 8], "target": 24}' for _ in range(600))
    (tiny / "many.jsonl").write_text(lines)
    out = tiny / "killed.json"
    done = o1lib(
        "evaluate",
        "--puzzles",
        tiny / "many.jsonl",
        "--checkpoint",
        tiny / "tiny",
        "--max-new-tokens",
        2,
        "--out",
        out,
    )
    assert done.exit_code != 0
    assert "256 of 600 puzzles are kept" in done.output
    assert not out.exists()
    kept = (tiny / "killed.json.partial.jsonl").read_text().splitlines()
    assert len(kept) == calls[0] == 256
    assert json.loads(kept[0])["numbers"] == [4, 6, 8]
    again = o1lib("evaluate", "--puzzles", tiny / "many.jsonl", "--out", out)
    assert again.exit_code == 2
    assert "a run that was stopped" in again.output
    assert (tiny / "killed.json.partial.jsonl").read_text().splitlines() == kept


def test_a_hard_puzzle_does_not_hold_back_the_others(tiny):
    """Blind search of six numbers takes long; the finished puzzles beside it are reported."""
    task, policy, done = Countdown(), Policy.load(tiny / "tiny"), []
    hard = task.problem([7, 11, 13, 17, 19, 23], 10**17)

    class Enough(Exception):
        pass

    def stop(place, result):
        done.append(result["numbers"])
        if len(done) == 2:
            raise Enough

    puzzles = [hard, task.problem([4, 6]), task.problem([2, 3, 4])]
    with pytest.raises(Enough):
        evaluate(policy, puzzles, depth_first(), on_result=stop, progress=False)
    assert done == [[4, 6], [2, 3, 4]]
