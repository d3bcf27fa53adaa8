"""The command line: clear errors, exit code 2 for a mistake and 1 for a bug, nothing lost."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from o1lib import cli, doctor
from o1lib.cli import main
from o1lib.cli.evaluate import read_options, resumable
from o1lib.lab.errors import is_for_users
from o1lib.lab.files import exclusive
from o1lib.model import checkpoints
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.tasks import Countdown

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
    many = [f'{{"numbers": [4, 6, {i}], "target": {24 + i}}}\n' for i in range(1, 301)]
    (folder / "many.jsonl").write_text("".join(many))
    return folder


def evaluate(tiny, puzzles="puzzles.jsonl", *more):
    return o1lib(
        "evaluate", "--puzzles", tiny / puzzles, "--checkpoint", tiny / "tiny",
        "--max-new-tokens", 2, *more,
    )  # fmt: skip


def test_command_writes_a_report_that_can_be_rechecked(tiny):
    done = evaluate(tiny, "puzzles.jsonl", "--max-new-tokens", 20, "--out", tiny / "report.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tiny / "report.json").read_text())
    assert {"n", "correct", "accuracy", "tokens", "seconds", "settings", "results"} <= set(report)
    assert report["n"] == 2
    assert report["settings"]["checkpoint"] == str(tiny / "tiny")
    for result in report["results"]:
        assert {"numbers", "target", "response", "answer", "correct", "tokens"} <= set(result)
        problem = Countdown().problem(result["numbers"], result["target"])
        assert bool(Countdown().verify(problem, result["response"])) == result["correct"]
    left = sorted(p.name for p in tiny.iterdir())
    assert left == ["many.jsonl", "puzzles.jsonl", "report.json", "tiny"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "Missing option '--puzzles'"),
        (["evaluate", "--puzzles", "no-such-file"], "no-such-file"),
        (
            ["evaluate", "--puzzles", "PUZZLES", "--checkpoint", "no-such-checkpoint"],
            "there is no checkpoint",
        ),
        (["evaluate", "--puzzles", "PUZZLES", "--search", "magic"], "unknown search 'magic'"),
        (["evaluate", "--puzzles", "PUZZLES", "--unknown"], "--unknown"),
        (["evaluate", "--puzzles", "PUZZLES", "-o", "n"], "an option reads KEY=VALUE"),
        (["evaluate", "--puzzles", "PUZZLES", "-o", "n=3"], "greedy has no option 'n'"),
        (["evaluate", "--puzzles", "PUZZLES", "--resume"], "name it"),
        (["evaluate", "--puzzles", "PUZZLES", "--temperature", "warm"], "--temperature"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "PUZZLES"], "is read by this evaluation"),
        (["evaluate", "--puzzles", "PUZZLES", "--prompt", "PUZZLES"], "needs {problem}"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "/dev/null"], "no ordinary file"),
        (["evaluate", "--puzzles", "PUZZLES", "--out", "/"], "cannot be written"),
        (["bench", "traces", "--seconds", "nan"], "not a finite number"),
        (["train", "nothing"], "unknown checkpoint"),
        (["experiment", "nothing"], "unknown experiment 'nothing'; choose from"),
        (["experiment", "bandit", "--arms", "x"], "no arm 'x'"),
        (["run", "99"], "no notebook starts with"),
        (["nonsense"], "nonsense"),
    ],
)
def test_errors_are_clear_and_exit_with_2(tiny, arguments, message):
    if arguments[-1] == "/dev/null" and sys.platform == "win32":
        pytest.skip("no such file here")
    done = o1lib(*[tiny / "puzzles.jsonl" if a == "PUZZLES" else a for a in arguments])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_bug_is_not_reported_as_a_mistake_of_the_user(tiny, monkeypatch):
    def buggy(name, **options):
        return int("x")

    monkeypatch.setattr(Policy, "load", buggy)
    done = evaluate(tiny)
    assert done.exit_code == 1
    assert isinstance(done.exception, ValueError)
    assert "invalid literal" not in done.output


def test_which_errors_are_for_users(tmp_path):
    def caught(call):
        with pytest.raises((ValueError, OSError)) as info:
            call()
        return is_for_users(info.value)

    assert caught(lambda: Countdown().problem([1, -2], 24))
    assert caught(lambda: (tmp_path / "none").read_text())
    assert not caught(lambda: int("x"))
    assert not caught(lambda: list(zip([1], [], strict=True)))


def test_bugs_within_the_library_are_bugs():
    """A call of Python's fails inside a function of o1lib: that is no sentence for a user."""
    scope = {"__name__": "o1lib.made_up"}
    exec("def bug(): return int('x')\ndef mistake(): raise ValueError('so')", scope)
    for name, expected in (("bug", False), ("mistake", True)):
        with pytest.raises(ValueError, match=r"invalid literal|so") as info:
            scope[name]()
        assert is_for_users(info.value) == expected


def test_the_module_runs_as_a_program_and_a_bug_shows_its_traceback():
    script = (
        "from o1lib import doctor\nfrom o1lib.cli import main\n"
        "doctor.diagnose = lambda: int('x')\nmain(['doctor'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "o1lib", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "o1lib" in done.stdout


def test_help_needs_no_library():
    """`o1lib --help` imports neither torch nor transformers, and says every sentence whole."""
    script = (
        "import sys\nfrom o1lib.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "..." not in done.stdout.replace("[ARGS]...", "")
    for name in cli.NAMES:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["Names:", "nano-think", "comparisons", "o1lib train think"]),
        ("evaluate", ["best_of_n", "n=16", "rollouts", "--resume", "o1lib evaluate --puzzles"]),
        ("experiment", ["o1lib experiment bandit"]),
        ("run", ["o1lib run 00", "--resume"]),
        ("bench", ["o1lib bench search", "rollouts"]),
    ],
)
def test_help_has_examples_and_names(command, words):
    done = o1lib(command, "--help")
    assert done.exit_code == 0
    for word in words:
        assert word in done.output


def test_options_are_read():
    assert read_options(("n=16", "choose=by_vote")) == {"n": "16", "choose": "by_vote"}
    for wrong in (("n",), ("=3",), ("n=",), ("n=1", "n=2")):
        with pytest.raises(ValueError, match=r"KEY=VALUE|given twice"):
            read_options(wrong)


@pytest.fixture
def dies(monkeypatch):
    """The policy's sampler stops the process at its second call."""
    calls, name = [], "sample_each" if hasattr(Policy, "sample_each") else "sample"
    original = getattr(Policy, name)

    def die(self, prompts, *arguments, **options):
        calls.append(len(prompts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, prompts, *arguments, **options)

    monkeypatch.setattr(Policy, name, die)
    return calls


def results(path):
    return json.loads(path.read_text())["results"]


def test_a_stopped_evaluation_goes_on_and_ends_as_if_it_had_not_been_stopped(tiny, dies):
    out, sampled = tiny / "stopped.json", ("--search", "sample", "-o", "n=1")
    done = evaluate(tiny, "many.jsonl", *sampled, "--out", out)
    assert done.exit_code == 1
    assert "256 of 300 puzzles are kept" in done.output
    assert not out.exists()
    again = evaluate(tiny, "many.jsonl", *sampled, "--out", out)
    assert again.exit_code == 2
    assert "--resume" in again.output
    other = evaluate(tiny, "many.jsonl", *sampled, "--seed", 1, "--out", out, "--resume")
    assert other.exit_code == 2
    assert "it differs in seed" in other.output
    resumed = evaluate(tiny, "many.jsonl", *sampled, "--out", out, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert dies[2:] == [44]
    whole = evaluate(tiny, "many.jsonl", *sampled, "--out", tiny / "whole.json")
    assert whole.exit_code == 0
    asked_for = [r["target"] for r in results(out)]
    assert asked_for == list(range(25, 325))  # the order of the file
    same = [a == b for a, b in zip(results(out), results(tiny / "whole.json"), strict=True)]
    assert sum(same) >= 298  # sampled text is equal up to rounding
    assert json.loads(out.read_text())["settings"]["resumed"] == 256


def test_equal_puzzles_are_resumed_together():
    problems = ["a", "b", "a", "c"]
    assert resumable({0: {}, 1: {}, 3: {}}, problems) == {1: {}, 3: {}}
    assert resumable({0: {}, 2: {}}, problems) == {0: {}, 2: {}}


def test_a_second_evaluation_of_one_report_is_refused(tiny):
    with exclusive(tiny / "busy.json"):
        done = evaluate(tiny, "puzzles.jsonl", "--out", tiny / "busy.json")
    assert done.exit_code == 2
    assert "another run is writing" in done.output


def test_prompts_follow_the_template(tiny):
    """A template of one's own wraps what the task asks; the report names it."""
    (tiny / "prompt.txt").write_text("Löse {problem}! {x}", encoding="utf-8")
    policy = Policy.load(tiny / "tiny", template="Löse {problem}! {x}")
    asked = policy.tokenizer.decode(policy.encode("think : make 24 from 4 6 10 11"))
    assert "make 24 from 4 6 10 11" in asked
    out = tiny / "wrapped.json"
    done = evaluate(tiny, "puzzles.jsonl", "--prompt", tiny / "prompt.txt", "--out", out)
    assert done.exit_code == 0, done.output
    settings = json.loads(out.read_text(encoding="utf-8"))["settings"]
    assert settings["prompt"] == "Löse {problem}! {x}"


def test_experiments_are_listed_and_run(tmp_path, monkeypatch):
    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path))
    assert "bandit:" in o1lib("experiment").output
    table = tmp_path / "t.csv"
    done = o1lib("experiment", "bandit", "--seeds", 2, "--arms", "greedy", "--out", table)
    assert done.exit_code == 0, done.output
    assert len(table.read_text().splitlines()) == 1 + 2 * 10


def test_the_doctor_sees_a_kernel_whose_interpreter_is_gone(tmp_path, monkeypatch):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [str(tmp_path / "gone" / "python"), "-m", "ipykernel_launcher", "-f", "{file}"]
    spec = {"argv": argv, "display_name": "P", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(ValueError, match="which is gone"):
        doctor._kernel()
    spec["argv"][0] = sys.executable
    (kernel / "kernel.json").write_text(json.dumps(spec))
    assert doctor._kernel() == sys.executable
