"""Straight chains in three worlds: their documents, how they are scored, and how samples are
counted.
"""

import json
import random
import re

import pytest
from click.testing import CliRunner

from o1lib.cli import main
from o1lib.model import checkpoints
from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import encode
from o1lib.policy.drills import equations_part
from o1lib.policy.worlds import arithmetic_parts, countdown_parts, jugs_parts
from o1lib.recipes.scores import sampled_scores, scores, size_of
from o1lib.search.evaluate import evaluate
from o1lib.search.nodes import Found
from o1lib.search.parts import part
from o1lib.search.samples import rates, step_counts, voted
from o1lib.search.sampling import majority, sample
from o1lib.tasks import HELD_OUT_TARGETS, Arithmetic, Countdown, Jugs
from o1lib.tasks.base import input_class
from o1lib.tasks.expression import exact_value, parse_expression
from o1lib.tasks.puzzles import read_puzzles
from o1lib.tasks.space import Space

tokenizer = build_tokenizer()


def problem_of(task, prompt):
    """The problem of a document's prompt, read anew."""
    words = prompt.split()
    if isinstance(task, Arithmetic):
        return task.problem(" ".join(words[3:]))
    numbers = [int(word) for word in words[5:] if word.isdigit()]
    if isinstance(task, Jugs):
        return task.problem(numbers, int(words[3]))
    return task.problem(numbers, int(words[3]))


def inputs_of(problem):
    """The text by whose class a problem is held out."""
    for name in ("text", "numbers", "capacities"):
        if hasattr(problem, name):
            value = getattr(problem, name)
            return value if isinstance(value, str) else " ".join(map(str, value))
    raise AssertionError(problem)


@pytest.mark.parametrize(
    ("parts", "tasks"),
    [
        (arithmetic_parts(), [Arithmetic(n) for n in (4, 5, 6)]),
        (countdown_parts(), [Countdown(n) for n in (3, 4, 5, 6)]),
        (jugs_parts(), [Jugs(n) for n in (2, 3)]),
    ],
)
def test_documents_are_right_and_hold_nothing_out(parts, tasks):
    """The verifier and the oracle on what is trained on: every step legal, none wasted, of the
    training class, and right; in Countdown, where steps are blind, about half of the chains are.
    """
    right = []
    for task in tasks:
        name, (_, part) = size_of(task), parts[size_of(task)]
        for i in range(15):
            document = part(random.Random(f"{name} {i}"))
            problem = problem_of(task, document.prompt)
            assert document.prompt == task.prompt(problem, "solve")
            assert input_class(inputs_of(problem)) == "train"
            assert getattr(problem, "target", 1) not in HELD_OUT_TARGETS
            right.append(bool(task.verify(problem, document.text)))
            steps, wrong = step_counts(Space(task, problem), [document.text]).values()
            assert (steps, wrong) == (task.distance(problem), 0)
            ids, _ = encode(tokenizer, document)
            assert tokenizer.unk_token_id not in ids
    if isinstance(tasks[0], Countdown):
        assert 0.3 < sum(right) / len(right) < 0.9
    else:
        assert all(right)


def test_equations_are_true():
    for i in range(50):
        text = equations_part(random.Random(i)).text
        for a, op, b, r in re.findall(r"([0-9]+) ([-+*/]) ([0-9]+) = ([0-9]+) ;", text):
            assert exact_value(parse_expression(f"{a} {op} {b}")) == int(r) < 1000
        assert text.count(";") == text.count("=") == 8


class Written:
    """A policy whose samples are given, in order."""

    bf16 = False

    def __init__(self, texts):
        self.texts = texts

    def sample_each(self, requests, seeds):
        return [[Response(t, [1], [-0.1], True) for t in self.texts[: r.n]] for r in requests]


RIGHT = "<think> 3 + 4 = 7 left 7 * 2 ; 7 * 2 = 14 left 14 </think> <answer> 14 </answer>"
SLIP = "<think> 3 + 4 = 8 left 8 * 2 ; 8 * 2 = 16 left 16 </think> <answer> 16 </answer>"
LATE = "<think> 3 + 4 = 7 left 7 * 2 ; 7 * 2 = 16 left 16 </think> <answer> 16 </answer>"
NONE = "<think> 3 + 4 = 7 left 7 * 2"


def test_samples_are_counted():
    task = Arithmetic(3)
    problem = task.problem("( 3 + 4 ) * 2")
    policy = Written([RIGHT, SLIP, RIGHT, NONE, LATE, SLIP, NONE, RIGHT])
    report = evaluate(policy, [problem], sample(8), instruction="solve", task=task, progress=False)
    [result] = report["results"]
    assert (result["samples_correct"], report["accuracy"]) == (3, 3 / 8)
    assert report["pass"] == pytest.approx({"1": 3 / 8, "2": 1 - 10 / 28, "4": 1 - 5 / 70, "8": 1})
    # Pairs: 14 before 16, 14 alone, 16, 14 alone. Fours: 14; 16. All: three of each, 14 first.
    assert report["majority"] == {"1": 3 / 8, "2": 3 / 4, "4": 1 / 2, "8": 1}
    legal, wrong = 2 + 0 + 2 + 1 + 1 + 0 + 1 + 2, 3
    assert (result["steps_legal"], result["steps_wrong"]) == (legal, wrong)
    assert report["legal_steps"] == legal / (legal + wrong)
    asked = evaluate(policy, [problem], sample(8), task=task, progress=False)
    assert "legal_steps" not in asked  # `think` is no chain of the task's steps


def test_the_vote_is_that_of_majority():
    task, rng = Arithmetic(3), random.Random(0)
    problem = task.problem("( 3 + 4 ) * 2")
    for _ in range(30):
        texts = [rng.choice([RIGHT, SLIP, NONE, NONE]) for _ in range(8)]
        found = voted(texts, [text == RIGHT for text in texts])
        options = {"instruction": "solve", "task": task, "progress": False}
        for k in (1, 2, 4, 8):
            blocks = [texts[i : i + k] for i in range(0, 8, k)]
            right = [
                evaluate(Written(b), [problem], majority(k), **options)["correct"] for b in blocks
            ]
            assert found[str(k)] == sum(right) / len(right)


def test_rates_are_those_that_all_problems_have():
    one = {"samples": 4, "samples_correct": 2, "voted": {"1": 0.5, "2": 1.0, "4": 1.0}}
    cut = {"samples": 2, "samples_correct": 0, "voted": {"1": 0.0, "2": 0.0}}
    assert rates([one, cut]) == {
        "pass": {"1": 0.25, "2": pytest.approx(5 / 12)},
        "majority": {"1": 0.25, "2": 0.5},
    }
    assert rates([one, {"samples": 0, "samples_correct": 0}]) == rates([]) == {}


@part
def random_steps(space, n):
    """A stand-in: `n` chains of random legal steps, no policy."""
    rng, texts = random.Random(0), []
    for _ in range(n):
        node = space.root
        while steps := space.steps(node):
            node = space.child(node, rng.choice(steps))
        texts.append(space.response(node))
    return Found(texts[0], tuple(texts))
    yield


class Nobody:
    """No policy at all: it is never asked."""

    bf16 = False


def test_every_chain_of_random_steps_counts():
    """As often right as enumeration says, though nothing is sampled from a policy; legal always."""
    task = Countdown(3)
    problem = next(p for p in task.problems("val_inputs", 50) if task.count_solutions(p) > 2)

    def chance(state):
        steps = task.legal_steps(state)
        if not steps:
            return float(task.is_solved(state))
        return sum(chance(task.apply(state, step)) for step in steps) / len(steps)

    report = evaluate(
        Nobody(), [problem], random_steps(4000), instruction="solve", task=task, progress=False
    )
    truth = chance(problem)
    assert abs(report["accuracy"] - truth) < 4 * (truth * (1 - truth) / 4000) ** 0.5
    assert report["pass"]["1"] == pytest.approx(report["accuracy"])
    assert report["legal_steps"] == 1


def test_scores_name_the_size_and_the_split():
    policy = Policy(build_model("nano"), tokenizer, bf16=False)
    assert set(scores(policy, Countdown(2), 2)) == {
        "val_inputs, 2 numbers", "val_targets, 2 numbers"
    }  # fmt: skip
    assert set(scores(policy, Jugs(2), 2, "solve")) == {"val_inputs, 2 jugs"}
    found = sampled_scores(policy, Arithmetic(2), 4, 2)
    names = ("pass@1", "pass@4", "majority of 4", "legal steps")
    assert found == {f"{name}, 2 numbers": 0.0 for name in names}


def test_splits_of_other_worlds():
    assert read_puzzles("val_inputs:6:3", "arithmetic") == Arithmetic(6).problems("val_inputs", 3)
    assert read_puzzles("test_inputs:3:4", "jugs") == Jugs(3).problems("test_inputs", 4)
    assert read_puzzles("val_inputs", "jugs") == Jugs().problems("val_inputs")
    for wrong in ("val_targets:4:3", "val_inputs:4", "val_inputs:9:3"):
        with pytest.raises(ValueError, match=r"val_targets|how many|from 2 to 8"):
            read_puzzles(wrong, "arithmetic")


def test_command_in_another_world(tmp_path):
    checkpoints.save(build_model("nano"), tmp_path / "tiny", {})
    (tmp_path / "p.jsonl").write_text('{"numbers": [2, 3, 4], "target": 24}\n')
    base = ["evaluate", "--checkpoint", str(tmp_path / "tiny"), "--task", "arithmetic"]
    more = ["--search", "sample", "-o", "n=4", "--max-new-tokens", "5", "--out"]
    out = tmp_path / "report.json"
    done = CliRunner().invoke(main, [*base, "--puzzles", "val_inputs:4:3", *more, str(out)])
    assert done.exit_code == 0, done.output
    assert "at least one of k right: 1: 0.0%, 2: 0.0%, 4: 0.0%" in done.output
    assert "legal steps" in done.output
    report = json.loads(out.read_text())
    assert report["settings"]["instruction"] == "solve"
    assert report["settings"]["task"] == "arithmetic"
    assert report["results"][0]["problem"].startswith("compute ")
    refused = CliRunner().invoke(main, [*base, "--puzzles", str(tmp_path / "p.jsonl")])
    assert refused.exit_code != 0
    assert "splits only" in refused.output
