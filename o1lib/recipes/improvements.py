"""How `nano-rl` and `think-rl` are made: expert iteration with corrections, then GRPO, then a step back.

Both stages are the one loop of `o1lib.learning.loop`, each with its own log, and both resume. Goals are drawn more widely
than the supervised chains had them. The *step back* averages the weights with those of the start: what was learned on the
training goals largely stays, and so does what the start knew about all others (Wortsman et al. 2022, arXiv 2109.01903).

Used in notebook 04, sections 3, 4 and 6.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from o1lib.lab import machine
from o1lib.lab.paths import outputs_dir
from o1lib.lab.runlog import RunLog
from o1lib.learning.collect import expert_iteration, rollouts, training_problems
from o1lib.learning.loop import Schedule, behavior_cloning, learn, policy_gradient
from o1lib.model import checkpoints
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, equality_part, links_part, lists_part, think_part
from o1lib.recipes.checkpoints import scores
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Improvement:
    """How a checkpoint is improved.

    Args:
        parent, numbers, max_target: the policy, and the problems that it learns from.
        ei_rounds, ei_problems, ei_lr: expert iteration, one sample of each problem a round.
        rl_steps, rl_prompts, rl_samples, rl_lr: GRPO.
        share: weight of what was learned in the average with the start.
        max_new_tokens: of a completion while training.
    """

    parent: str
    numbers: int
    max_target: int
    max_new_tokens: int
    ei_rounds: int
    ei_problems: int
    ei_lr: float
    rl_steps: int
    rl_prompts: int
    rl_samples: int
    rl_lr: float
    share: float
    seed: int = 0

    @property
    def task(self) -> Countdown:
        return Countdown(self.numbers, max_target=self.max_target)


IMPROVEMENTS = {
    "nano-rl": Improvement("nano-think", 3, 999, 200, 10, 2048, 6e-4, 40, 96, 8, 4e-5, 0.75),
    "think-rl": Improvement("think", 4, 200, 512, 6, 2048, 4e-4, 20, 32, 8, 4e-5, 0.75),
}


def old_data(numbers: int) -> Mixture:
    """What is mixed into expert iteration: practice on trained goals alone wears off skills that held-out goals need."""
    parts = {
        "think": (40, think_part(numbers)),
        "lists": (20, lists_part),
        "tests": (30, equality_part),
        "links": (10, links_part),
    }
    return Mixture(parts, build_tokenizer(), seed=7)


def iterate_expert(policy: Policy, recipe: Improvement, run_dir: str | Path, **options) -> RunLog:
    """The first stage, in place; `options` are those of `learn`."""
    collect = expert_iteration(
        recipe.task,
        training_problems(recipe.task, recipe.ei_problems, recipe.seed + 1),
        1,
        max_new_tokens=recipe.max_new_tokens,
        old=lambda: old_data(recipe.numbers),
        old_share=0.5,
        seed=recipe.seed,
    )
    schedule = Schedule(recipe.ei_rounds, recipe.ei_lr, warmup_steps=1)
    options = {"label": "expert iteration", "settings": asdict(recipe)} | options
    return learn(policy, collect, behavior_cloning(), schedule, run_dir, **options)


def grpo(policy: Policy, recipe: Improvement, run_dir: str | Path, **options) -> RunLog:
    """The second stage, in place; `options` are those of `learn`."""
    collect = rollouts(
        recipe.task,
        checker_reward(recipe.task),
        training_problems(recipe.task, recipe.rl_prompts, recipe.seed + 2),
        recipe.rl_samples,
        max_new_tokens=recipe.max_new_tokens,
        seed=recipe.seed,
    )
    schedule = Schedule(recipe.rl_steps, recipe.rl_lr, warmup_steps=5)
    update = policy_gradient(average="token", max_length=recipe.max_new_tokens)
    options = {"label": "GRPO", "settings": asdict(recipe)} | options
    return learn(policy, collect, update, schedule, run_dir, **options)


@torch.no_grad()
def step_back(policy: Policy, start: Policy, share: float) -> None:
    """Move the weights, in place, to `share` of theirs and the rest of the start's.

    Raises `ValueError` when the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    for mine, theirs in zip(policy.model.parameters(), start.model.parameters(), strict=True):
        mine.lerp_(theirs.to(mine), 1 - share)
    policy.refresh()


STAGES = {"expert_iteration": iterate_expert, "grpo": grpo}


def improve(name: str, run_dir: str | Path | None = None, out: str | Path | None = None) -> Path:
    """Make a named checkpoint (resuming an interrupted run) and save it with its card and logs; returns its folder.

    Success on a part of the validation splits is logged on the way.
    """
    recipe = IMPROVEMENTS[name]
    device = machine.default_device()
    policy = Policy.load(recipe.parent, device)
    run_dir = Path(run_dir or outputs_dir() / "runs" / name)

    def success(policy: Policy, step: int) -> dict:
        return scores(policy.model, recipe.numbers, 200)

    every = {"expert_iteration": 1, "grpo": 10}
    logs = {
        stage: run(policy, recipe, run_dir / stage, callback=success, callback_every=every[stage])
        for stage, run in STAGES.items()
    }
    step_back(policy, Policy.load(recipe.parent, device), recipe.share)
    card = checkpoints.new_card(
        name,
        policy.model,
        recipe.parent,
        asdict(recipe),
        sum(sum(log.column("seconds")) for log in logs.values()) / 60,
        seed=recipe.seed,
        scores=scores(policy.model, recipe.numbers),
    )
    folder = checkpoints.save(policy.model, out or outputs_dir() / "checkpoints" / name, card)
    for stage in STAGES:
        shutil.copy(run_dir / stage / "log.csv", folder / f"{stage}.csv")
    return folder
