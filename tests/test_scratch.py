"""Reinforcement learning from scratch: the rungs of partial credit, and that shaping by a potential
is none.
"""

import pytest
import torch

from o1lib.learning.advantages import group_advantages
from o1lib.recipes.scratch import RUNGS, STARTS, beginner, partial_credit, rl_from_scratch, rung
from o1lib.reward.outcome import checker_reward, shaped
from o1lib.tasks import Countdown

task = Countdown(3)
problem = task.problem([3, 5, 7], 26)
CLIMB = (
    "use 3 5 7 for 26",
    "<answer> use <answer>",
    "<think> no </think> <answer> 3 5 </answer>",
    "<answer> 7 * 5 </answer>",
    "<think> so </think> <answer> 7 * ( 5 - 3 ) </answer>",
    "<answer> ( 7 * 3 ) + 5 </answer>",
)


@pytest.mark.parametrize(("climbed", "text"), list(enumerate(CLIMB)))
def test_each_rung(climbed, text):
    assert rung(task, problem, text) == climbed
    assert rung(task, problem, f"{text} no") == min(climbed, 1)


def test_the_top_is_what_the_checker_pays_for():
    credit = partial_credit(task)([problem] * len(CLIMB), CLIMB)
    assert credit == [i / len(RUNGS) for i in range(6)]
    paid = checker_reward(task)([problem] * len(CLIMB), CLIMB)
    assert [c == 1 for c in credit] == [bool(p) for p in paid]


def test_a_potential_teaches_a_group_nothing_that_the_outcome_does_not():
    """Ng et al. (1999): it telescopes to a number of the problem, which the group's mean takes
    away. Partial credit is something else.
    """

    def potential(problem, response):
        return [len(response.split()[:i]) ** 0.5 for i in range(1, 5)]

    def advantages(reward):
        return group_advantages(torch.tensor(reward([problem] * len(CLIMB), CLIMB)))

    plain = advantages(checker_reward(task))
    assert torch.allclose(advantages(shaped(checker_reward(task), potential)), plain, atol=1e-6)
    assert not torch.allclose(advantages(partial_credit(task)), plain, atol=0.05)


def test_beginners_differ_by_seed():
    first, again, other = (beginner(STARTS[0], seed).model for seed in (0, 0, 1))
    weights = [next(iter(m.parameters())) for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_small_run(tmp_path, monkeypatch):
    monkeypatch.setattr("o1lib.recipes.scratch.climbed", lambda learner, task: {"right, x": 0.5})
    rows = list(rl_from_scratch(0, tmp_path, "random weights", "outcome", steps=2, prompts=4))
    found = {(row["step"], row["metric"]) for row in rows}
    assert {(0, "right, x"), (1, "reward"), (2, "right, x"), (2, "training seconds")} <= found
    assert all(row["value"] == 0 for row in rows if row["metric"] == "reward")
