"""Where reinforcement learning has something to win: policies cloned from demonstrators that give
up, and what an outcome reward alone makes of them.

Source: the paper's section 6 (RL can pass the expert); Gandhi et al. (2025), arXiv 2503.01307
(which behaviors a start must have); POLICY, Headroom.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.paths import outputs_dir
from o1lib.learning.collect import documents
from o1lib.learning.loop import learn
from o1lib.learning.losses import clone
from o1lib.learning.schedules import Schedule
from o1lib.learning.supervised import TrainConfig, train
from o1lib.learning.updates import Learner, fit
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, think_part, think_parts
from o1lib.policy.traces import Style
from o1lib.recipes.measures import measured, outcome_rl, rows_of
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown

GIVE_UP = 0.6  # of `nano-gives-up`: greedy chains always give up, samples go on now and then
PRACTICE = TrainConfig(1_500_000, 1024, 1024, lr=2e-3)


def past_the_teacher(seed: int, folder: Path, cloning: bool, steps: int = 48) -> Iterator[dict]:
    """From `nano-gives-up`: reinforcement learning by the outcome alone, or as many tokens more of
    the same demonstrator at the same rate (and thirty times as many updates).
    """
    policy, start = Policy.load("nano-gives-up"), Policy.load("nano-gives-up")
    if not cloning:
        yield from amplified(policy, start, seed, folder, steps)
        return
    part = think_part(3, Style(give_up=GIVE_UP))
    log = learn(
        Learner.of(policy),
        documents(Mixture({"think": (1, part)}, build_tokenizer(), 100 + seed), 24_000),
        fit(clone, average="token", minibatch_tokens=1024),
        Schedule(steps, 1e-4, warmup_steps=3, decay=False),
        folder,
        callback=partial(measured, task=Countdown(3), start=start),
        callback_every=steps // 4,
        label="cloning",
    )
    yield from rows_of(log, "tokens")


def amplified(
    policy: Policy, start: Policy, seed: int, folder: Path, steps: int, problems: int = 150
) -> Iterator[dict]:
    """Three numbers, the outcome reward alone: `steps` updates of 64 x 8 samples, measured on
    `problems` of each validation split.
    """
    task = Countdown(3)
    log = outcome_rl(
        policy,
        task,
        checker_reward(task),
        folder,
        steps=steps,
        seed=seed,
        callback=partial(measured, task=task, problems=problems, start=start),
        callback_every=max(1, steps // 4),
    )
    yield from rows_of(log, "sampled_tokens")


def cloned(give_up: float, config: TrainConfig = PRACTICE) -> Policy:
    """A policy cloned from a demonstrator that gives up with this probability, with less practice
    than `nano-gives-up`; made once and kept under the outputs.
    """
    model, _ = load("nano-base")
    mixture = Mixture(think_parts(3, Style(give_up=give_up)), build_tokenizer())
    run = outputs_dir() / "experiments" / "starts" / f"gives-up-{give_up}-{config.tokens}"
    train(model, mixture, config, run, label=f"gives up {give_up}")
    return Policy(model, build_tokenizer())


def what_rl_amplifies(
    seed: int, folder: Path, give_up: float, steps: int = 32, config: TrainConfig = PRACTICE
) -> Iterator[dict]:
    """The same reinforcement learning from starts that give up never, seldom, often or always."""
    policy, start = cloned(give_up, config), cloned(give_up, config)
    yield from amplified(policy, start, seed, folder, steps, 75)
