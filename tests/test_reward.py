"""Rewards and values: exact enumeration against simulation and brute force, the value head against
known labels.
"""

import math
import random

import pytest
import torch

from o1lib.learning.values import label_rows, train_value
from o1lib.model import checkpoints
from o1lib.model.heads import ValueHead
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.reward.exact import enumerate_values
from o1lib.reward.outcome import (
    along,
    checker_reward,
    ensemble,
    finite,
    length_penalized,
    lenient_reward,
    outcome,
    shaped,
)
from o1lib.reward.process import (
    Label,
    label_visited_nodes,
    node_values,
    rollout_values,
)
from o1lib.tasks import Countdown
from o1lib.tasks.space import Space

task = Countdown(3)
PROBLEMS = task.problems("val_inputs", 3)


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-think", bf16=False)


# --- outcome


PROBLEM = task.problem([3, 5, 7], 26)
RIGHT, WRONG = "<answer> 3 * 7 + 5 </answer>", "<answer> 3 + 5 + 7 </answer>"


def test_outcome_rewards():
    asked = [PROBLEM, PROBLEM]
    assert checker_reward(task)(asked, [RIGHT, WRONG]) == [1.0, 0.0]
    longer = "<think> " + "so " * 90 + "</think> " + RIGHT
    brief = length_penalized(checker_reward(task), 0.1, 100)
    short, long, wrong, empty = brief([PROBLEM] * 4, [RIGHT, longer, WRONG, ""])
    assert 1 > short > long >= 0.9
    assert wrong == empty == 0.0
    assert short == pytest.approx(1 - 0.1 * len(RIGHT.split()) / 100)
    with pytest.raises(ValueError, match="penalty"):
        length_penalized(checker_reward(task), 1.0)
    with pytest.raises(ValueError, match=r"make 26 from 3 5 7.*nan"):
        finite([0.0, float("nan")], asked)
    with pytest.raises(ValueError, match="1 rewards for 2"):
        finite([0.0], asked)


def test_the_lenient_checker_pays_for_what_the_strict_one_refuses():
    cheats = ["3 * 7 + 5", "5 * 5 + 3 / 3", "7 + 7 + 7 + 5", "26", "5 * 5 + 1", "3 + 5 + 7", "3 +"]
    texts = [f"<answer> {text} </answer>" for text in cheats]
    asked = [PROBLEM] * len(texts)
    assert lenient_reward(task)(asked, texts) == [1, 1, 1, 0, 0, 0, 0]
    assert checker_reward(task)(asked, texts) == [1, 0, 0, 0, 0, 0, 0]
    assert lenient_reward(task)([PROBLEM], ["26"]) == [0.0]  # the answer stands in its tags


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_shaping_changes_no_comparison_and_pays_no_circle(gamma):
    """Against the sum written out; responses to one problem differ by the same as without it."""
    alive = along(task, lambda state: 3.0 * task.solvable(state))
    texts = [
        "<think> 7 * 3 = 21 left 5 21 ; 21 + 5 = 26 left 26 </think> <answer> 7 * 3 + 5 </answer>",
        "<think> 7 + 3 = 10 left 5 10 ; 10 + 5 = 15 left 15 </think> <answer> 7 + 3 + 5 </answer>",
    ]
    assert alive(PROBLEM, texts[0]) == [3.0, 3.0, 3.0]
    assert alive(PROBLEM, texts[1]) == [3.0, 0.0, 0.0]
    plain, given = checker_reward(task), shaped(checker_reward(task), alive, gamma)
    good, bad = given([PROBLEM] * 2, texts)
    assert good == pytest.approx(1 + (gamma * 3 - 3) + gamma * (gamma * 0 - 3))
    assert good - bad == pytest.approx(1.0)  # both telescope to -P(s_0)
    circle = shaped(plain, lambda problem, response: [1.0, 5.0] * 20 + [1.0], gamma)
    short = shaped(plain, lambda problem, response: [1.0, 1.0], gamma)
    assert circle([PROBLEM], [""])[0] == pytest.approx(short([PROBLEM], [""])[0])


def test_scorers_and_ensembles():
    class Fixed:
        def __init__(self, *rows):
            self.rows = [list(row) for row in rows]

        def score(self, prompts, responses):
            assert prompts[0] == "think : make 26 from 3 5 7"
            return self.rows

    one, two = Fixed([0.2, 0.8], []), Fixed([0.6, 0.4], [])
    asked, texts = [PROBLEM, PROBLEM], ["a b", ""]
    assert outcome(one, task)(asked, texts) == [0.8, 0.0]
    for how, wanted in (("mean", 0.6), ("min", 0.4), ("lower", 0.4)):
        assert outcome(ensemble(one, two, how=how), task)(asked, texts) == [
            pytest.approx(wanted),
            0.0,
        ]
    with pytest.raises(ValueError, match="median"):
        ensemble(one, how="median")


# --- exact values


def test_enumeration_equals_the_models_own_probabilities(policy):
    """V of the root by brute force: the sum over all winning sequences of the probability of their
    whole text.
    """
    for problem in PROBLEMS:
        [nodes] = enumerate_values(policy, task, [problem])
        space, total = Space(task, problem), 0.0
        leaves = [n for n in nodes if not n.children]
        assert len(nodes) == 1 + sum(len(n.children) for n in nodes)
        for solution in task.solutions(problem):
            leaf = next(n.node for n in leaves if Space(task, problem).taken(n.node) == solution)
            ids = policy.tokenizer.encode(space.response(leaf), add_special_tokens=False)
            ids.append(policy.tokenizer.eos_token_id)
            [logprobs] = policy.logprobs([space.prompt], [ids])
            total += math.exp(float(logprobs.sum()))
        assert nodes[0].value == pytest.approx(total, rel=1e-3, abs=1e-7)
        assert sum(n.reach * n.value for n in leaves) == pytest.approx(nodes[0].value)


def test_enumeration_equals_simulation(policy):
    """The share of sampled responses that are right, from the root and from inside the tree."""
    n = 400
    for problem in PROBLEMS:
        [nodes] = enumerate_values(policy, task, [problem])
        some = [nodes[0], max(nodes[1:], key=lambda v: v.reach * (v.value + 0.01))]
        labels = rollout_values(policy, [(Space(task, problem), v.node) for v in some], n)
        for valued, label in zip(some, labels, strict=True):
            error = math.sqrt(max(valued.value * (1 - valued.value), 0.01) / n)
            # What is enumerated is canonical; a right answer in other words is not counted.
            assert -4 * error <= label.value - valued.value <= 4 * error + 0.03


def test_enumeration_is_consistent(policy):
    [nodes] = enumerate_values(policy, task, PROBLEMS[:1])
    for valued in nodes:
        assert -1e-5 <= valued.value <= 1 + 1e-5
        assert valued.alive == task.solvable(valued.node.state)
        if not valued.alive:
            assert valued.value == 0.0
        if valued.children:
            outside = 1 - sum(c.probability for c in valued.children)
            assert outside - 1e-4 <= valued.left_out <= 1.0
            mean = sum(c.probability * valued.advantage(i) for i, c in enumerate(valued.children))
            # E[A] is zero up to the probability that leaves the legal steps.
            assert mean == pytest.approx(valued.value * outside, abs=1e-5)


# --- process reward


def test_visited_states_are_what_was_sampled(policy):
    labels = label_visited_nodes(policy, task, PROBLEMS, n=6, seed=2)
    assert len(labels) == len({x.node for x in labels})
    samples = policy.sample([task.prompt(p, "solve") for p in PROBLEMS], 6, seed=2)
    roots = [x for x in labels if not x.node.prefix]
    for root, problem, group in zip(roots, PROBLEMS, samples, strict=True):
        assert root.n == 6
        assert root.value == sum(bool(task.verify(problem, s.text)) for s in group) / 6
    for label in labels:
        state = label.space.problem
        for step in label.space.taken(label.node):
            state = task.apply(state, step)
        assert state == label.node.state
        if not task.solvable(state):
            assert label.value == 0


def test_value_model_learns_and_is_read_at_the_last_token(policy, tmp_path):
    rng, labels = random.Random(0), []
    for problem in task.problems("train", 12):
        space = Space(task, problem)
        for step in space.steps(space.root):
            node = space.child(space.root, step)
            labels.append(Label(space, node, float(task.solvable(node.state)), 1))
    rng.shuffle(labels)
    value = ValueHead.from_policy(policy)
    assert node_values(value, [(labels[0].space, labels[0].node)]) == [0.5]
    log = train_value(value, labels, tmp_path / "run", epochs=30, lr=1e-3)
    losses = log.column("reward_loss")
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]
    found = node_values(value, [(x.space, x.node) for x in labels])
    assert sum(
        (v > 0.5) == (x.value > 0.5) for v, x in zip(found, labels, strict=True)
    ) > 0.9 * len(labels)
    # One by one and in a batch, every token; and by the model's own forward pass.
    for label, v in list(zip(labels, found, strict=True))[:5]:
        [alone] = value.score([label.space.prompt], [label.node.prefix])
        assert alone[-1] == pytest.approx(v, abs=1e-5)
        ids = policy.encode(label.space.prompt, label.node.prefix)
        with torch.inference_mode():
            logits = value.model(torch.tensor([ids])).logits[0, -len(alone) :, 0]
        assert alone == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)
    checkpoints.save(value.model, tmp_path / "value", {})
    again = ValueHead.load(tmp_path / "value")
    [v] = node_values(again, [(labels[0].space, labels[0].node)])
    assert v == pytest.approx(found[0], abs=0.02)
    with pytest.raises(ValueError, match=r"lacks score"):
        ValueHead.load("nano-think")
    # The policy that lent its backbone is unchanged.
    assert torch.equal(
        policy.model.model.embed_tokens.weight,
        Policy.load("nano-think").model.model.embed_tokens.weight,
    )


def test_value_training_resumes(policy, tmp_path):
    """A run stopped twice has the weights and the log of a whole one; its loss is the labels' mean
    cross-entropy.
    """
    asked = task.problems("train", 12)
    labels = label_visited_nodes(policy, task, asked, 2)
    whole = ValueHead.from_policy(policy)
    log = train_value(whole, labels, tmp_path / "whole", batch_tokens=100)
    for stop in (1, 3, None):
        halves = ValueHead.from_policy(policy)
        train_value(halves, labels, tmp_path / "halves", batch_tokens=100, stop_after=stop)
    for a, b in zip(whole.model.parameters(), halves.model.parameters(), strict=True):
        assert torch.equal(a, b)
    # A fresh head says one half everywhere: log 2 for each label.
    assert log.rows[0]["reward_loss"] == pytest.approx(math.log(2), rel=1e-5)
    rows = label_rows(policy.tokenizer, labels)
    assert sum(c.counted for c in rows) == sum(x.n for x in labels)
    assert log.rows[-1]["tokens"] == 2 * sum(map(len, rows))


def test_value_training_refuses(policy, tmp_path):
    value = ValueHead.from_policy(policy)
    space = Space(task, PROBLEMS[0])
    with pytest.raises(ValueError, match="no labels"):
        train_value(value, [], tmp_path)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        train_value(value, [Label(space, space.root, float("nan"), 1)], tmp_path)
    held_out = Space(task, task.problem([2, 3, 4], 24))
    with pytest.raises(ValueError, match="goal 24 is held out"):
        train_value(value, [Label(held_out, held_out.root, 1.0, 1)], tmp_path)
    with pytest.raises(ValueError, match="at least one rollout"):
        rollout_values(policy, [(space, space.root)], 0)


def test_enumeration_needs_no_training():
    """An untrained policy leaves nearly everything to illegal text, and its values are near
    zero.
    """
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    [nodes] = enumerate_values(policy, task, PROBLEMS[:1])
    assert nodes[0].value < 1e-6
    assert nodes[0].left_out > 0.99
