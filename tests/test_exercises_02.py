"""Exercises of 02: their truths agree with the library, and the holes are where the text says."""

import json
import math
import random
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from o1lib.exercises import chain_rewards, step_values
from o1lib.exercises import reward_design as check
from o1lib.exercises.check import CheckFailed, same
from o1lib.exercises.generate import SOLUTIONS
from o1lib.lab.statistics import auc
from o1lib.policy.lists import equation
from o1lib.reward.markov import policy_values, state_graph
from o1lib.reward.outcome import along, shaped
from o1lib.tasks import Countdown, Jugs

CELLS = json.loads((SOLUTIONS / "02_reward_design.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def names() -> dict:
    """What the solution notebook defines."""
    found: dict = {}
    for cell in CELLS:
        if cell["cell_type"] == "code":
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


@pytest.mark.parametrize(("numbers", "target"), [((3, 5, 7), 26), ((2, 4, 4), 10), ((1, 6), 7)])
@pytest.mark.parametrize("slip", [0.0, 0.25])
def test_values_are_those_of_a_linear_solve(names, numbers, target, slip):
    """The tree of texts against the graph of states: V and Q of the policy that draws steps."""
    task = Countdown()
    graph = state_graph(task, task.problem(numbers, target))
    found = policy_values(graph, lambda state, steps: [(1 - slip) / len(steps)] * len(steps))
    tree = step_values.countdown_tree(list(numbers), target, slip)
    v, q, a = names["values"](tree)
    assert v == pytest.approx(found.values[0])
    assert q == pytest.approx(list(found.q[0]))
    assert a == pytest.approx(list(found.q[0] - found.values[0]))
    assert same(check.values.truth(tree), (v, q, a))


def test_rollouts_say_what_the_labels_should_say(names):
    """With so many rollouts as are needed, a hard label misses as rarely as was asked for."""
    rng = np.random.default_rng(0)
    for value, miss in ((0.5, 0.05), (0.1, 0.2)):
        n = names["rollouts_needed"](value, miss)
        missed = {}
        for k in (n - 1, n):
            rollouts = (rng.random((20_000, k)) < value).astype(int).tolist()
            labels = names["step_labels"](rollouts, 1)[:-1]
            missed[k] = np.mean([hard == 0 for _, hard in labels])
            soft = np.array([label for label, _ in labels])
            assert abs(soft.mean() - value) < 4 * soft.std() / math.sqrt(len(soft))
        assert missed[n] < miss + 0.005
        assert missed[n - 1] > miss


def test_the_loss_is_that_of_trls_trainer(names):
    trainer = pytest.importorskip("trl").RewardTrainer
    for chosen, rejected in check.preference_loss.cases:
        outputs = SimpleNamespace(logits=torch.cat([chosen, rejected])[:, None])
        alone = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
        dummy = SimpleNamespace(
            model=SimpleNamespace(training=False),
            args=SimpleNamespace(center_rewards_coefficient=None),
            accelerator=alone,
            _metrics={"eval": defaultdict(list)},
            _total_train_tokens=0,
        )
        loss = trainer.compute_loss(dummy, lambda outputs=outputs, **_: outputs, {})
        assert names["preference_loss"](chosen, rejected) == pytest.approx(float(loss), abs=1e-5)
        assert check.preference_loss.truth(chosen, rejected)[0] == pytest.approx(float(loss))


def test_only_differences_of_scores_count(names):
    chosen, rejected = check.preference_loss.cases[0]
    loss = names["preference_loss"]
    assert same(loss(chosen + 5, rejected + 5), loss(chosen, rejected))
    for mistake in check.preference_loss.mistakes:
        if mistake.name == "each score by itself":
            for wrong in mistake.functions:
                assert not same(wrong(chosen + 5, rejected + 5), wrong(chosen, rejected))


def jug_response(task, problem, actions) -> str:
    """The response that takes these actions, without an answer."""
    state, texts = problem, []
    for action in actions:
        step = task.parse_step(state, action)
        state = task.apply(state, step)
        texts.append(step.text)
    return f"<think> {' ; '.join(texts)}"


def test_shaping_is_that_of_the_library(names):
    """The sum of the shaped rewards is what `shaped` pays a whole response."""
    task, problem, gamma = names["jugs"], names["empty"], names["gamma"]
    library = shaped(
        lambda problems, responses: [0.0] * len(responses),
        along(task, lambda state: -float(task.distance(state))),
        gamma,
    )
    for actions in names["chains"].values():
        [paid] = library([problem], [jug_response(task, problem, actions)])
        assert names["paid"](names["shaped_rewards"], actions, 0.0) == pytest.approx(paid)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_shaping_keeps_the_order_of_chains_and_its_mistakes_do_not(names, gamma):
    """Random walks among jugs from one state: all gain the same by the shaping."""
    rng, task = random.Random(0), Jugs()
    problem = task.problem([3, 5], 4)

    def walk():
        state, potentials = problem, [rng.random()]
        known = {state: potentials[0]}
        for _ in range(rng.randint(2, 12)):
            steps = task.legal_steps(state)
            if not steps:
                break
            state = task.apply(state, rng.choice(steps))
            potentials.append(known.setdefault(state, rng.random()))
        potentials[0] = 0.5  # all begin in one state
        return [rng.random() for _ in potentials[1:]], potentials

    def gain(shape, rewards, potentials):
        plain = sum(gamma**t * r for t, r in enumerate(rewards))
        return sum(gamma**t * r for t, r in enumerate(shape(rewards, potentials, gamma))) - plain

    walks = [walk() for _ in range(50)]
    gains = [gain(names["shaped_rewards"], *w) for w in walks]
    assert gains == pytest.approx([-0.5] * 50)
    for mistake in check.shaped_rewards.mistakes:
        for wrong in mistake.functions:
            # Minus a potential is one too: a wrong sign only makes it a bad one.
            if gamma < 1 and mistake.name != "sign":
                assert np.std([gain(wrong, *w) for w in walks]) > 1e-3, mistake.name


def test_the_encouraging_reward_likes_the_circle_better(names):
    paid, chains = names["paid"], names["chains"]
    assert paid(names["encouraging"], chains["circle"], False) > paid(
        names["encouraging"], chains["solution"], True
    )
    alone = names["gamma"] ** (len(chains["solution"]) - 1)
    ours = [paid(names["shaped_rewards"], c, n == "solution") for n, c in chains.items()]
    assert ours[0] - ours[1] == pytest.approx(alone)


def test_the_suspect_of_the_notebook_is_the_known_one(names):
    for numbers, target, text in check.mended_reward.cases:
        assert names["suspect_reward"](numbers, target, text) == chain_rewards.suspect(
            numbers, target, text
        )
    for exercise, wrong in (
        (check.mended_reward, names["suspect_reward"]),
        (check.mended_auc, names["suspect_auc"]),
    ):
        with pytest.raises(CheckFailed) as caught:
            exercise(wrong)
        assert caught.value.mistake == "unchanged"


def test_the_hack_is_paid_even_where_nothing_is_right(names):
    for numbers, target in (([1, 1, 1], 100), ([9, 9], 2)):
        assert not Countdown().solvable(Countdown().problem(numbers, target))
        text = names["hack"](numbers, target)
        assert names["suspect_reward"](numbers, target, text) == 1
        assert names["mended_reward"](numbers, target, text) == 0


def test_the_mended_reward_agrees_with_the_task_on_random_chains(names):
    """Chains of random equations, over the numbers that are there and over others."""
    rng, task, right = random.Random(0), Countdown(), 0
    for _ in range(3000):
        numbers = [rng.randint(1, 6) for _ in range(3)]
        there, parts = list(numbers), []
        for _ in range(rng.randint(1, 3)):
            pool = there if rng.random() < 0.9 and len(there) > 1 else [1, 2, 3, *there]
            x, y = rng.sample(pool, 2)
            result = rng.choice([x + y, abs(x - y), x * y])
            if rng.random() < 0.9:
                x, op, y, result = equation(x, y, result)
            else:
                op = "+"
            parts.append(f"{x} {op} {y} = {result}")
            for number in (x, y):
                if number in there:
                    there.remove(number)
            there.append(result)
        text, target = " ; ".join(parts), max(1, result)
        truth = check.mended_reward.truth(numbers, target, text)
        assert names["mended_reward"](numbers, target, text) == truth
        state = task.problem(numbers, target)
        right += truth
        if truth:
            assert chain_rewards.suspect(numbers, target, text)
            assert task.solvable(state)
    assert right > 300


def test_hostile_texts_get_a_number(names):
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choices("0123456789+-*/=; \x00é\n", k=rng.randrange(40)))
        assert names["mended_reward"]([3, 5, 7], 26, text) == 0.0
    assert names["mended_reward"]([3, 5, 7], 26, "1" * 10**6) == 0.0


def test_within_one_puzzle_the_mended_auc_is_the_librarys(names):
    rng = random.Random(0)
    for _ in range(50):
        scores = [rng.randint(0, 5) for _ in range(12)]
        alive = [rng.random() < 0.4 for _ in range(12)]
        truth = auc(scores, alive)
        assert same(names["mended_auc"](scores, alive, [0] * 12), truth)
        assert same(names["suspect_auc"](scores, alive, [0] * 12), truth)


def test_the_symptom_is_as_told(names):
    """The pooled number likes the judge that is of no use, the mended one does not."""
    sees, guesses = names["judges"].values()
    alive, puzzles = names["alive"], names["puzzles"]
    pooled = [names["suspect_auc"](scores, alive, puzzles) for scores in (sees, guesses)]
    assert pooled[1] > pooled[0] + 0.03
    assert names["mended_auc"](guesses, alive, puzzles) < 0.55
    assert names["mended_auc"](sees, alive, puzzles) > 0.6
    luck = np.mean(names["chances"])
    assert names["share_alive"](sees) > luck + 0.08 > names["share_alive"](guesses)
