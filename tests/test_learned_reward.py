"""Policies paid by a reward model: who is trained, when, and on what."""

import pytest
import torch

from o1lib.learning.advantages import group_mean
from o1lib.learning.updates import Learner
from o1lib.model.heads import ValueHead
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.recipes import learned_reward as module
from o1lib.recipes.learned_reward import (
    FIT_MODEL,
    checked,
    learned_reward,
    paid_by_model,
    refreshed,
)
from o1lib.tasks.countdown import Countdown

TASK = Countdown(3)


@pytest.fixture
def learner():
    policy = Policy.load("nano-solve")
    learner = Learner.of(policy, reward=ValueHead.from_policy(policy))
    learner.rate = 1e-3
    return learner


def test_what_is_paid_is_what_the_model_says_of_the_last_token(learner):
    torch.nn.init.normal_(learner.network("reward").score.weight, std=0.05)
    batch = paid_by_model(TASK, 3, 2, seed=0)(learner)
    assert batch.rows
    for c in batch.rows:
        ids = torch.tensor([[*c.prompt_ids, *c.completion_ids]])
        logit = learner.network("reward")(input_ids=ids).logits[0, -1, 0]
        assert c.reward == pytest.approx(logit.sigmoid().item(), abs=1e-3)


def test_a_reward_model_learns_to_tell_right_from_wrong(learner):
    collect = checked(TASK, 8, 8, seed=0)
    batch = collect(learner)
    assert {c.reward for c in batch.rows} == {0.0, 1.0}
    losses = [FIT_MODEL(learner, batch)["reward_loss"] for _ in range(3)]
    assert losses[-1] < losses[0]


def test_it_is_trained_again_at_every_so_many_steps(learner):
    update, asked = refreshed(checked(TASK, 2, 4, seed=0), every=3), []
    for learner.step in range(6):
        row = update(learner, None)
        asked.append(row.get("checked", 0))
    assert asked == [0, 0, 8, 0, 0, 8]


def test_a_frozen_model_stays_as_it_was(tmp_path, monkeypatch):
    weights = []

    def looked(learner, task, problems):
        weights.append(learner.network("reward").score.weight.detach().clone())
        return {"right, new numbers": 0.0}

    monkeypatch.setattr(module, "proxy_and_truth", looked)
    small = {"steps": 2, "problems": 2, "n": 4, "warmup": 1, "every": 1, "measured_on": 1}
    list(learned_reward(0, tmp_path / "a", "frozen", **small))
    assert torch.equal(weights[0], weights[-1])
    list(learned_reward(0, tmp_path / "b", "refreshed", **small))
    assert not torch.equal(weights[-2], weights[-1])


def test_an_untrained_model_has_no_opinion():
    """One half for everything: no group differs, so nothing is learned from it."""
    policy = Policy(build_model("pico").eval(), build_tokenizer())
    learner = Learner.of(policy, reward=ValueHead.from_policy(policy))
    batch = paid_by_model(TASK, 2, 2, seed=0)(learner)
    assert {c.reward for c in batch.rows} == {batch.stats["reward"]} == {0.5}
    assert not any(advantage.any() for advantage in group_mean(batch))
