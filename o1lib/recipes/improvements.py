"""How `nano-rl` and `think-rl` are made: expert iteration with corrections, then GRPO, then a step
back.

Both stages are the one loop of `o1lib.learning.loop`, each with its own log, and both resume. Goals
are drawn more widely than the supervised chains had them. The step back *interpolates* between the
weights at the start and at the end: what was learned on the training goals largely stays, and so
does what the start knew about all others (Wortsman et al. 2022, arXiv 2109.01903).

Used in notebook 04.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from o1lib.lab.runlog import RunLog
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import expert_iteration, rollouts, training_problems
from o1lib.learning.loop import learn
from o1lib.learning.losses import clone, ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, equality_part, links_part, lists_part, think_part
from o1lib.recipes.scores import scores
from o1lib.recipes.stages import Made
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Improvement:
    """How a checkpoint is improved.

    Args:
        parent, numbers, max_target: the policy, and the problems that it learns from.
        max_new_tokens: of a completion while training.
        ei_rounds, ei_problems, ei_lr: expert iteration, one sample of each problem a round.
        rl_steps, rl_prompts, rl_samples, rl_lr: GRPO.
        alpha: weight of what was learned in the average with the start.
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
    alpha: float
    seed: int = 0

    @property
    def task(self) -> Countdown:
        return Countdown(self.numbers, max_target=self.max_target)

    @property
    def settings(self) -> dict:
        return asdict(self)

    def build(self, run_dir: Path, device: str, **options) -> Made | None:
        """Both stages and the step back; success on a part of the validation splits is logged on
        the way.
        """
        policy, start = Policy.load(self.parent, device), Policy.load(self.parent, device)

        def success(learner: Learner) -> dict:
            return scores(learner.policy, self.numbers, 200)

        logs = {}
        for stage, run, rounds, every in (
            ("expert_iteration", iterate_expert, self.ei_rounds, 1),
            ("grpo", grpo, self.rl_steps, 10),
        ):
            logs[stage] = run(
                policy,
                self,
                run_dir / stage,
                callback=success,
                callback_every=every,
                **(options | {"label": f"{options.get('label', '')} {stage}".strip()}),
            )
            if logs[stage].rows[-1]["step"] < rounds:
                return None
        interpolate(policy, start, self.alpha)
        return Made(policy.model, logs, {"scores": scores(policy, self.numbers)})


def replayed(numbers: int) -> Mixture:
    """What is mixed into expert iteration: practice on trained goals alone wears off skills that
    held-out goals need.
    """
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
        replay=lambda: replayed(recipe.numbers),
        replay_share=0.5,
        seed=recipe.seed,
    )
    update = fit(clone, average="token", minibatch_tokens=1024)
    schedule = Schedule(recipe.ei_rounds, recipe.ei_lr, warmup_steps=1)
    options = {"label": "expert iteration"} | options
    return learn(Learner.of(policy), collect, update, schedule, run_dir, **options)


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
    update = fit(ppo(), advantage=group_mean, average="token", max_length=recipe.max_new_tokens)
    schedule = Schedule(recipe.rl_steps, recipe.rl_lr, warmup_steps=5)
    options = {"label": "GRPO"} | options
    return learn(Learner.of(policy), collect, update, schedule, run_dir, **options)


@torch.no_grad()
def interpolate(policy: Policy, start: Policy, alpha: float) -> None:
    """Move the weights, in place, to alpha times theirs and 1 - alpha times the start's.

    Raises `ValueError` when alpha is not in [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    for mine, theirs in zip(policy.model.parameters(), start.model.parameters(), strict=True):
        mine.lerp_(theirs.to(mine), 1 - alpha)
    policy.refresh()
