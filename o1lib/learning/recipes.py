"""How `nano-rl` and `think-rl` are made: GRPO on training problems, with the checker as the only reward.

Goals are drawn more widely than the supervised chains had them. The learning rate is small on purpose: at a
higher one the training reward rises as fast, and success on held-out goals falls (notebook 04, section 6).

Used in notebook 04, sections 3 and 5.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from o1lib.lab import machine
from o1lib.lab.paths import file_hash, outputs_dir
from o1lib.lab.runlog import RunLog
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.loop import Schedule, learn, policy_gradient
from o1lib.policy import checkpoints
from o1lib.policy.corpus import Mixture, equality_part, links_part, lists_part, think_part
from o1lib.policy.policy import Policy
from o1lib.policy.tokenizer import build_tokenizer
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Improvement:
    """How a checkpoint is improved by GRPO.

    Args:
        parent, numbers, max_target: the policy, and the problems that it learns from.
        steps, prompts, samples: updates, problems of each, completions of each problem.
        max_new_tokens: of a completion while training.
    """

    parent: str
    numbers: int
    max_target: int
    steps: int
    prompts: int
    samples: int
    lr: float
    max_new_tokens: int
    seed: int = 0

    @property
    def task(self) -> Countdown:
        return Countdown(self.numbers, max_target=self.max_target)


IMPROVEMENTS = {
    "nano-rl": Improvement("nano-think", 3, 999, 100, 96, 8, 4e-5, 200),
    "think-rl": Improvement("think", 4, 200, 80, 32, 8, 4e-5, 512),
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


def grpo(policy: Policy, recipe: Improvement, run_dir: str | Path, **options) -> RunLog:
    """Run a recipe in place; `options` are those of `learn`."""
    collect = rollouts(
        recipe.task,
        checker_reward(recipe.task),
        training_problems(recipe.task, recipe.prompts, recipe.seed + 2),
        recipe.samples,
        max_new_tokens=recipe.max_new_tokens,
        seed=recipe.seed,
    )
    schedule = Schedule(recipe.steps, recipe.lr, warmup_steps=5)
    update = policy_gradient(average="token", max_length=recipe.max_new_tokens)
    return learn(policy, collect, update, schedule, run_dir, label="GRPO", **options)


def improve(name: str, run_dir: str | Path | None = None, out: str | Path | None = None) -> Path:
    """Make a named checkpoint (resuming an interrupted run) and save it with its card and log; returns its folder.

    Success on a part of the validation splits is logged on the way.
    """
    recipe = IMPROVEMENTS[name]
    parent = checkpoints.find(recipe.parent)
    policy = Policy.load(recipe.parent, machine.default_device())
    run_dir = Path(run_dir or outputs_dir() / "runs" / name)

    def success(policy: Policy, step: int) -> dict:
        return checkpoints.scores(policy.model, recipe.numbers, 200)

    log = grpo(policy, recipe, run_dir, callback=success, callback_every=20)
    card = {
        "name": name,
        "command": f"o1lib train {name}",
        "seed": recipe.seed,
        "parent": recipe.parent,
        "parent_hash": file_hash(parent / "model.safetensors"),
        "weights": policy.model.num_parameters(),
        "config": asdict(recipe),
        "minutes": round(sum(log.column("seconds")) / 60, 1),
        "machine": machine.describe(),
        "scores": checkpoints.scores(policy.model, recipe.numbers),
    }
    folder = checkpoints.save(policy.model, out or outputs_dir() / "checkpoints" / name, card)
    shutil.copy(run_dir / "log.csv", folder / "log.csv")
    return folder
