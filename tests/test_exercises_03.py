"""Exercises of 03: their truths agree with the library's searches and with brute force."""

import json
import math
import random

import pytest

from o1lib.exercises import beams, budgets, shortest
from o1lib.exercises import search as check
from o1lib.exercises.check import CheckFailed
from o1lib.exercises.generate import SOLUTIONS
from o1lib.lab.statistics import pass_at_k
from o1lib.model.policy import Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.best_first import a_star
from o1lib.search.budget import Budget, OutOfBudget
from o1lib.search.choose import by_vote
from o1lib.search.driver import search_all
from o1lib.search.expand import any_step
from o1lib.search.guidance import value
from o1lib.search.mcts import mcts
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.space import Node, Space

CELLS = json.loads((SOLUTIONS / "03_search.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def names() -> dict:
    """What the solution notebook defines, without its comparisons over many puzzles."""
    found: dict = {}
    for cell in CELLS:
        if cell["cell_type"] == "code" and cell["id"] not in ("symptom-search", "after-search"):
            exec("".join(cell["source"]), found)
    return found


def test_every_exercise_says_why_and_has_three_hints():
    texts = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown"]
    numbered = [text for text in texts if text.startswith("## ") and text[3].isdigit()]
    assert len(numbered) == 6
    assert all("**Why it matters:**" in text for text in numbered)
    hinted = [text for text in texts if "Hint 1" in text]
    assert [text.count("<summary>Hint") for text in hinted] == [3] * len(check.EXERCISES)


@pytest.mark.parametrize("exercise", check.EXERCISES, ids=lambda e: e.name)
def test_every_mistake_has_words_of_its_own(exercise):
    assert len({mistake.name for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len({mistake.sentence for mistake in exercise.mistakes}) == len(exercise.mistakes)


# --- who chooses


@part
def given(space, nodes, weights):
    """A guidance that says what it was told."""
    return list(weights)
    yield


def test_the_vote_is_that_of_the_library(names):
    rng, space = random.Random(0), Space(Countdown(), Countdown().problem([3, 5, 7], 26))
    for _ in range(300):
        n = rng.randint(1, 6)
        answers = [rng.choice(["1", "2", "3", None]) for _ in range(n)]
        weights = [rng.randint(0, 8) / 8 for _ in range(n)]
        texts = ["x" if a is None else f"<answer> {a} </answer>" for a in answers]
        nodes = [TreeNode(Node(text, None, 1, True)) for text in texts]
        chosen = by_vote(weight=given(weights))(space, nodes)
        with pytest.raises(StopIteration) as end:
            next(chosen)
        truth = None if set(answers) == {None} else answers[nodes.index(end.value.value)]
        assert names["weighted_vote"](answers, weights) == truth
        assert check.weighted_vote.truth(answers, weights) == truth


def test_the_best_of_k_meets_its_neighbors(names):
    """With one sample it is pass@1, with all it is the judge's favorite, with an all-knowing judge
    it is pass@k.
    """
    rng = random.Random(0)
    for _ in range(50):
        right = [rng.random() < 0.4 for _ in range(9)]
        scores = [rng.random() for _ in right]
        best = names["best_of_k"]
        assert best(scores, right, 1) == pytest.approx(sum(right) / 9)
        assert best(scores, right, 9) == right[scores.index(max(scores))]
        knows = [score + good for score, good in zip(scores, right, strict=True)]
        for k in range(1, 10):
            assert best(knows, right, k) == pytest.approx(pass_at_k(9, sum(right), k))
            assert best(scores, right, k) == pytest.approx(check.best_of_k.truth(scores, right, k))


def test_the_judge_with_a_soft_spot_is_over_optimized(names):
    best = {k: names["best_of_k"](names["scores"], names["right"], k) for k in (1, 8, 128)}
    assert best[8] > best[1] + 0.2
    assert best[128] < best[1] - 0.2


# --- the searches


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_beam_is_that_of_the_library(names, width):
    problems = [*Countdown(3).problems("val_inputs", 8), *Jugs().problems("val_inputs", 6)]
    for seed, problem in enumerate(problems):
        case = problem, beams.Judge(seed), width, 7
        assert beams.answer_and_turns(names["beam"], *case) == check.beam.truth(*case)


class Doubtful:
    """A scorer without a model: a number from each text, between 0 and 1."""

    tokenizer = build_tokenizer()

    def score(self, prompts, responses):
        return [[self.of(text)] for text in responses]

    @staticmethod
    def of(text: str) -> float:
        return random.Random(text).random()


class NoPolicy:
    tokenizer = build_tokenizer()


def as_dicts(space) -> tuple[dict, dict]:
    """The whole tree of a puzzle: children with even priors, and what `Doubtful` says."""
    tree, values, waiting = {}, {}, [("root", space.root)]
    for name, node in waiting:
        children = [space.child(node, step) for step in space.steps(node)]
        tree[name] = [(child.prefix, 1 / len(children)) for child in children]
        values[name] = Doubtful.of(node.prefix)
        waiting += [(child.prefix, child) for child in children]
    return tree, values


@pytest.mark.parametrize(("simulations", "c"), [(1, 1.0), (30, 0.5), (120, 2.0)])
def test_the_visits_are_those_of_the_librarys_mcts(names, simulations, c):
    for problem in Countdown(3).problems("val_inputs", 4):
        space = Space(Countdown(), problem)
        strategy = mcts(value(Doubtful()), simulations, c, any_step())
        [result] = search_all(strategy, NoPolicy(), Countdown(), [problem])
        truth = {here.node.prefix or "root": here.visits for here in result.tree.walk()}
        tree, values = as_dicts(space)
        # The root is an empty text, which scorers give nothing: the library takes zero.
        values["root"] = result.tree.value
        found = names["visit_counts"](tree, values, simulations, c)
        assert {name: n for name, n in found.items() if n} == {k: n for k, n in truth.items() if n}


def test_wrong_searches_visit_other_nodes_of_a_real_tree_too(names):
    """The check's small trees are no accident: on a puzzle every mistake shows as well."""
    space = Space(Countdown(), Countdown().problem([3, 5, 7], 26))
    tree, values = as_dicts(space)
    truth = names["visit_counts"](tree, values, 120, 0.7)
    for mistake in check.visit_counts.mistakes:
        if mistake.name not in ("c ignored", "prior ignored"):
            for wrong in mistake.functions:
                assert wrong(tree, values, 120, 0.7) != truth, mistake.name


def test_a_star_finds_the_least_cost_of_random_maps(names):
    rng = random.Random(0)
    for _ in range(200):
        places = list("ABCDEFG")
        ways = {
            p: {q: rng.randint(0, 9) for q in places if p != q and rng.random() < 0.3}
            for p in places
        }
        # What is left, exactly, less a random part of it: never too much, seldom consistent.
        left = {p: shortest._costs(ways, p)["G"] for p in places}
        h = {p: (30 if d == math.inf else d) * rng.random() for p, d in left.items()}
        case = ways, h, "A", ["G"]
        assert names["a_star"](*case) == left["A"]
        assert shortest.cost_and_detours(names["a_star"], *case) == [left["A"], []]


def test_with_one_a_step_it_is_the_librarys_a_star(names):
    problems = Jugs().problems("val_inputs", 12)
    for problem, result in zip(
        problems, search_all(a_star(), NoPolicy(), Jugs(), problems), strict=True
    ):
        ways = {
            place: dict.fromkeys(after, 1)
            for place, after in shortest.jug_map(problem.capacities).items()
        }
        goals = [place for place in ways if problem.goal in place]
        cost = names["a_star"](ways, dict.fromkeys(ways, 0), (0, 0), goals)
        assert cost == Jugs().distance(problem)
        assert result.response.count("left") == cost


# --- the one who pays


class Scribe:
    """A policy that writes what `budgets.Writer` writes."""

    tokenizer = build_tokenizer()

    def __init__(self, writer):
        self.writer = writer

    def sample_each(self, requests, seeds):
        found = []
        for request in requests:
            length = len(self.writer(request.max_new_tokens))
            found.append([Response("so", [1] * length, [-1.0] * length, True)])
        return found


def as_search(strategy) -> Part:
    """A strategy that yields numbers, as one that yields samples of which nothing may be cut."""

    def search(space):
        run = strategy()
        try:
            most = next(run)
            while True:
                try:
                    [response] = yield Sample(space.prompt, max_new_tokens=most, cut=False)
                    most = run.send(["so"] * len(response.token_ids))
                except OutOfBudget as error:
                    most = run.throw(error)
        except StopIteration as end:
            return Found(repr(end.value))

    return Part(search)


@pytest.mark.parametrize("budget", [0, 5, 10, 27, 30, 64])
@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("strategy", budgets.STRATEGIES, ids=str)
def test_the_driver_pays_what_the_librarys_pays(names, strategy, share, budget):
    writer, task = budgets.Writer(share), Countdown()
    [result] = search_all(
        as_search(strategy),
        Scribe(writer),
        task,
        [task.problem([3, 5, 7], 26)],
        budget=Budget(generated=budget),
    )
    found, spent = names["drive"](strategy, writer, budget)
    assert spent == result.cost.generated <= budget
    assert found is None if result.response is None else repr(found) == result.response
    case = strategy, writer, budget
    assert budgets.spending(names["drive"], *case) == check.drive.truth(*case)


def test_a_driver_that_never_charges_is_stopped():
    def endless():
        while True:
            yield 1

    never = next(m for m in check.drive.mistakes if m.name == "never charged").functions[0]
    with pytest.raises(budgets.TooManyTexts):
        budgets.spending(never, endless, budgets.Writer(), 10)


# --- the bug


def test_the_suspect_of_the_notebook_is_the_known_bug(names):
    with pytest.raises(CheckFailed) as caught:
        check.mended_search(names["suspect_search"])
    assert caught.value.mistake == "unchanged"


def test_the_memory_costs_solutions_and_the_mended_one_none(names):
    """Against the oracle: with just enough steps, and with one too few."""
    task = Jugs()
    problems = task.problems("val_inputs")
    missed = 0
    for p in problems:
        for less in (0, 1):
            asked = p.capacities, p.goal, task.distance(p) - less, names["after"]
            assert names["mended_search"](*asked) == (not less)
            assert check.mended_search.truth(*asked) == (not less)
            missed += names["suspect_search"](*asked) != (not less)
    assert missed > len(problems) / 5
