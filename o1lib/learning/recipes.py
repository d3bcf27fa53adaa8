"""How `nano-rl` and `think-rl` are made: expert iteration with corrections, then GRPO. Both stages are the one loop of
`o1lib.learning.loop`, each with its own log, and both resume.

Used in notebook 04, sections 4 and 5.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from o1lib.lab import machine
from o1lib.lab.paths import file_hash, outputs_dir
from o1lib.lab.runlog import RunLog
from o1lib.learning.collect import expert_iteration, rollouts, training_problems
from o1lib.learning.corrections import mended_part
from o1lib.learning.loop import Schedule, behavior_cloning, learn, policy_gradient
from o1lib.policy import checkpoints
from o1lib.policy.corpus import (
    Mixture,
    equality_part,
    links_part,
    lists_part,
    think_part,
)
from o1lib.policy.policy import Policy
from o1lib.policy.tokenizer import build_tokenizer
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Improvement:
    """How a checkpoint is improved.

    Args:
        parent, numbers, max_target: the policy, and the problems it learns from.
        ei_rounds, ei_problems, ei_samples, ei_lr, keep: expert iteration.
        old_share: older data (chains, drills, planted mistakes) among its tokens, against forgetting.
        rl_steps, rl_prompts, rl_samples, rl_lr, max_new_tokens: GRPO.
    """

    parent: str
    numbers: int
    max_target: int
    ei_rounds: int
    ei_problems: int
    ei_samples: int
    ei_lr: float
    old_share: float
    rl_steps: int
    rl_prompts: int
    rl_samples: int
    rl_lr: float
    max_new_tokens: int
    keep: str = "random"
    seed: int = 0

    @property
    def task(self) -> Countdown:
        return Countdown(self.numbers, max_target=self.max_target)


IMPROVEMENTS = {
    "nano-rl": Improvement(
        "nano-think", 3, 999, 10, 256, 1, 5e-4, 0.5, 20, 48, 8, 1e-4, 200
    ),
    "think-rl": Improvement("think", 4, 100, 3, 800, 1, 3e-4, 0.4, 8, 16, 8, 3e-5, 512),
}


def old_data(numbers: int) -> Mixture:
    """What is mixed into expert iteration: practice on trained goals alone wears off skills that held-out goals need."""
    parts = {
        "mended": (40, mended_part(numbers)),
        "think": (30, think_part(numbers)),
        "lists": (10, lists_part),
        "tests": (10, equality_part),
        "links": (10, links_part),
    }
    return Mixture(parts, build_tokenizer(), seed=7)


def run_expert_iteration(
    policy: Policy, recipe: Improvement, run_dir: Path, **options
) -> RunLog:
    """The first stage, in place."""
    collect = expert_iteration(
        recipe.task,
        training_problems(recipe.task, recipe.ei_problems, recipe.seed + 1),
        recipe.ei_samples,
        max_new_tokens=recipe.max_new_tokens,
        keep=recipe.keep,
        old=lambda: old_data(recipe.numbers),
        old_share=recipe.old_share,
        seed=recipe.seed,
    )
    schedule = Schedule(recipe.ei_rounds, recipe.ei_lr, warmup_steps=1)
    return learn(
        policy, collect, behavior_cloning(), schedule, run_dir, label="expert iteration", **options
    )


def run_grpo(policy: Policy, recipe: Improvement, run_dir: Path, **options) -> RunLog:
    """The second stage, in place."""
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
    return learn(policy, collect, update, schedule, run_dir, label="GRPO", **options)


def improve(
    name: str,
    run_dir: str | Path | None = None,
    out: str | Path | None = None,
    callback: Callable | None = None,
    **_,
) -> Path:
    """Make a named checkpoint (resuming an interrupted run) and save it with its card and both logs; returns its folder.

    Success on the validation splits is logged before, between and after the stages.
    """
    recipe = IMPROVEMENTS[name]
    parent = checkpoints.find(recipe.parent)
    policy = Policy.load(recipe.parent, machine.default_device())
    run_dir = Path(run_dir or outputs_dir() / "runs" / name)

    def success(policy: Policy, step: int) -> dict:
        found = checkpoints.scores(policy.model, recipe.numbers, 200)
        return {split.split(",")[0]: value for split, value in found.items()}

    stages = {"expert_iteration": run_expert_iteration, "grpo": run_grpo}
    logs = {
        stage: run(policy, recipe, run_dir / stage, callback=callback or success, callback_every=10)
        for stage, run in stages.items()
    }
    card = {
        "name": name,
        "command": f"o1lib train {name}",
        "seed": recipe.seed,
        "parent": recipe.parent,
        "parent_hash": file_hash(parent / "model.safetensors"),
        "weights": policy.model.num_parameters(),
        "config": asdict(recipe),
        "minutes": round(sum(sum(log.column("seconds")) for log in logs.values()) / 60, 1),
        "machine": machine.describe(),
        "scores": checkpoints.scores(policy.model, recipe.numbers),
    }
    folder = checkpoints.save(policy.model, out or outputs_dir() / "checkpoints" / name, card)
    for stage in stages:
        shutil.copy(run_dir / stage / "log.csv", folder / f"{stage}.csv")
    return folder
