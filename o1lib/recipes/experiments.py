"""The experiments of the course, by name: `o1lib experiment NAME`.

Each arm is a function of a seed and a folder that yields measurements (`o1lib.lab.experiments`).
All measure on the validation splits, of which no arm learns.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.lab.runlog import RunLog
from o1lib.lab.statistics import pass_at_k
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import documents, rollouts, training_problems
from o1lib.learning.loop import learn
from o1lib.learning.losses import clone, ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, think_part
from o1lib.policy.traces import Style
from o1lib.recipes.breaks import WHAT_BREAKS_IT
from o1lib.reward.outcome import (
    Reward,
    checker_reward,
    lenient_reward,
    value_only_reward,
)
from o1lib.search.evaluate import evaluate
from o1lib.search.sampling import greedy, sample
from o1lib.tasks.countdown import Countdown

SPLITS = {"new numbers": "val_inputs", "held-out goals": "val_targets"}


def outcome_rl(
    policy: Policy,
    task,
    reward: Reward,
    run_dir: str | Path,
    *,
    steps: int = 40,
    prompts: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    instruction: str = "think",
    max_new_tokens: int = 200,
    seed: int = 0,
    **options,
) -> RunLog:
    """GRPO by an outcome reward alone, in place: no old data, no averaging of weights.

    Args:
        prompts, n: fresh training problems of a step, and samples of each.
        options: those of `learn`.
    """
    collect = rollouts(
        task,
        reward,
        training_problems(task, prompts, seed),
        n,
        instruction=instruction,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    update = fit(ppo(), advantage=group_mean, average="token")
    schedule = Schedule(steps, lr, warmup_steps=3, decay=False)
    options = {"label": "GRPO"} | options
    return learn(Learner.of(policy), collect, update, schedule, run_dir, **options)


def tries(policy: Policy, task, problems, n: int = 16, **options) -> dict[str, float]:
    """pass@1, pass@n and mean length of `n` samples of each problem; `options` are those of
    `evaluate` and `max_new_tokens`.
    """
    strategy = sample(n, max_new_tokens=options.pop("max_new_tokens", 200))
    run = evaluate(policy, problems, strategy, task=task, progress=False, **options)
    right = [r["samples_correct"] for r in run["results"]]
    return {f"pass@{k}": sum(pass_at_k(n, c, k) for c in right) / len(right) for k in (1, n)} | {
        "tokens": run["tokens"] / run["n"] / n
    }


def measured(learner: Learner, task, problems: int = 150) -> dict[str, float]:
    """Greedy success, pass@1, pass@16 and length on the validation splits."""
    found = {}
    for label, split in SPLITS.items():
        some = task.problems(split, problems)
        run = evaluate(learner.policy, some, greedy(200), task=task, progress=False)
        numbers = {"greedy": run["accuracy"]} | tries(learner.policy, task, some[::2])
        found |= {f"{name}, {label}": value for name, value in numbers.items()}
    return found


def past_the_teacher(seed: int, folder: Path, cloning: bool, steps: int = 40) -> Iterator[dict]:
    """From `nano-gives-up`: reinforcement learning by the outcome alone, or as many tokens more of
    the same demonstrator at the same rate (and thirty times as many updates).
    """
    task, policy = Countdown(3), Policy.load("nano-gives-up")
    callback = partial(measured, task=task)
    if not cloning:
        reward = checker_reward(task)
        log = outcome_rl(
            policy, task, reward, folder, steps=steps, seed=seed, callback=callback,
            callback_every=steps // 4,
        )  # fmt: skip
        yield from _rows(log, "sampled_tokens")
        return
    style = Style(give_up=0.5)
    mixture = Mixture({"think 3": (1, think_part(3, style))}, build_tokenizer(), 100 + seed)
    log = learn(
        Learner.of(policy),
        documents(mixture, 30_000),  # about what a step of the other arm samples
        fit(clone, average="token", minibatch_tokens=1024),
        Schedule(steps, 1e-4, warmup_steps=3, decay=False),
        folder,
        callback=callback,
        callback_every=steps // 4,
        label="cloning",
    )
    yield from _rows(log, "tokens")


CHECKERS: dict[str, Callable[..., Reward]] = {
    "checker": checker_reward,
    "lenient checker": lenient_reward,
    "value only": value_only_reward,
}


def reward_hack(seed: int, folder: Path, checker: str, steps: int = 60) -> Iterator[dict]:
    """Straight solutions of four numbers, which `nano-gives-up` never gets right: what three
    checkers pay for, and what it is worth.
    """
    task, policy = Countdown(4), Policy.load("nano-gives-up")
    paid = CHECKERS[checker](task)

    def judged(learner: Learner) -> dict[str, float]:
        found = {}
        for label, split in SPLITS.items():
            some = task.problems(split, 100)
            prompts = [task.prompt(p, "solve") for p in some]
            groups = learner.policy.sample(prompts, 8, max_new_tokens=48, seed=1)
            asked = [p for p, group in zip(some, groups, strict=True) for _ in group]
            texts = [response.text for group in groups for response in group]
            for name, reward in (("paid", paid), ("right", checker_reward(task))):
                found[f"{name}, {label}"] = sum(reward(asked, texts)) / len(texts)
        return found

    log = outcome_rl(
        policy, task, paid, folder, steps=steps, lr=3e-4, instruction="solve", max_new_tokens=48,
        seed=seed, callback=judged, callback_every=steps // 6,
    )  # fmt: skip
    yield from _rows(log, "sampled_tokens")


def _rows(log: RunLog, tokens: str) -> Iterator[dict]:
    """The measurements of a run's callback, and the training reward of every step, as tidy rows."""
    spent = 0
    for row in log.rows:
        spent = row.get("tokens", 0) if tokens == "tokens" else spent + (row.get(tokens) or 0)
        for name, value in row.items():
            if (", " in name or name in ("reward", "entropy")) and isinstance(value, (int, float)):
                yield {"step": row["step"], "metric": name, "value": value, "tokens": int(spent)}


def bandit(seed: int, folder: Path, explore: float, pulls: int = 1000) -> Iterator[dict]:
    """A bandit with three levers that pay 1 with probability 0.3, 0.5 and 0.7: pull the lever with
    the best mean so far, or with probability `explore` any. Measures the mean payment.
    """
    rng, pays = random.Random(f"bandit {seed}"), (0.3, 0.5, 0.7)
    count, total = [0, 0, 0], [0.0, 0.0, 0.0]
    for pull in range(1, pulls + 1):
        means = [t / c if c else 0.0 for t, c in zip(total, count, strict=True)]
        best = means.index(max(means))
        lever = rng.randrange(3) if rng.random() < explore else best
        count[lever] += 1
        total[lever] += rng.random() < pays[lever]
        if pull % 100 == 0:
            yield {"step": pull, "metric": "mean payment", "value": sum(total) / pull}


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "past_the_teacher",
            {
                "GRPO": partial(past_the_teacher, cloning=False),
                "more cloning": partial(past_the_teacher, cloning=True),
            },
            doc="Does a reward take a policy past the demonstrator that it was cloned from?",
        ),
        Experiment(
            "reward_hack",
            {name: partial(reward_hack, checker=name) for name in CHECKERS},
            seeds=3,
            doc="What does a policy learn from a checker that overlooks something?",
        ),
        Experiment(
            "bandit",
            {"greedy": partial(bandit, explore=0.0), "explore": partial(bandit, explore=0.1)},
            seeds=20,
            doc="Does it pay to try levers that look worse? The smallest experiment there is.",
        ),
        WHAT_BREAKS_IT,
    )
}
