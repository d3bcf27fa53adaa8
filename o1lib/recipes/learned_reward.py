"""The experiment `learned_reward`: a policy paid by a small outcome reward model instead of the
checker, and a cure. The model was right about the samples it was trained on; as the policy moves,
it is asked about others (paper, section 4.5: distribution shift and over-optimization).

Source: Gao et al. (2023), arXiv 2210.10760 (a frozen proxy is over-optimized); Christiano et al.
(2017), arXiv 1706.03741 (the reward model is trained again on what the policy does now).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from o1lib.lab.experiments import Experiment
from o1lib.lab.statistics import auc
from o1lib.learning.advantages import group_mean
from o1lib.learning.choices import endings
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.completions import Batch
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import bce, ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, Update, both, fit, on
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.recipes.measures import SPLITS, shown
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown

LONGEST = 48  # tokens of a straight solution of three numbers
STRAIGHT = {"instruction": "solve", "max_new_tokens": LONGEST}
# A reward model is trained on the last token of every sample, in eight minibatches.
FIT_MODEL = on(endings, fit(bce, model="reward", average="token", minibatches=8, lr_scale=5.0))


def checked(task, problems: int, n: int, seed: int) -> Collector:
    """`n` samples of every problem, paid by the checker: what a reward model is trained on."""
    asked = training_problems(task, problems, seed)
    return rollouts(task, checker_reward(task), asked, n, keep_equal=True, seed=seed, **STRAIGHT)


def paid_by_model(task, problems: int, n: int, seed: int) -> Collector:
    """The same samples, paid by the learner's own reward model as it is now: what it says of their
    last token, the end token included, as it was trained.
    """
    asked, sample = training_problems(task, problems, seed), checked(task, problems, n, seed)

    def collect(learner: Learner) -> Batch:
        batch = sample(learner)
        prompts = [task.prompt(p, "solve") for p in asked(learner.step) for _ in range(n)]
        said = verdicts(learner, prompts, [c.completion_ids for c in batch.rows])
        rows = [replace(c, rewards=(v,)) for c, v in zip(batch.rows, said, strict=True)]
        return replace(batch, rows=rows, stats=batch.stats | {"reward": fmean(said)})

    return collect


def verdicts(learner: Learner, prompts: Sequence[str], tokens: Sequence) -> list[float]:
    """What the learner's reward model says of the last token of each response."""
    return [row[-1] for row in learner.models["reward"].score(prompts, tokens)]


def refreshed(collect: Collector, every: int) -> Update:
    """Train the reward model again, every so many steps, on samples of the policy as it is now."""

    def update(learner: Learner, batch: Batch) -> dict:
        if (learner.step + 1) % every:
            return {}
        fresh = collect(learner)
        return FIT_MODEL(learner, fresh) | {"checked": fresh.sampled}

    return update


def proxy_and_truth(learner: Learner, task, problems: int = 100, n: int = 8) -> dict[str, float]:
    """What the learner's reward model says of samples, how many of them are right, and how well it
    ranks them (AUC), on each validation split.
    """
    found = {}
    for label, split in SPLITS.items():
        some = task.problems(split, problems)
        prompts = [task.prompt(p, "solve") for p in some]
        groups = learner.policy.sample(prompts, n, max_new_tokens=LONGEST, seed=1)
        asked = [p for p, group in zip(some, groups, strict=True) for _ in group]
        written = [response for group in groups for response in group]
        right = checker_reward(task)(asked, [response.text for response in written])
        found[f"right, {label}"] = fmean(right)
        if "reward" in learner.models:
            repeated = [task.prompt(problem, "solve") for problem in asked]
            said = verdicts(learner, repeated, [response.token_ids for response in written])
            found[f"paid, {label}"] = fmean(said)
            if 0 < sum(right) < len(right):
                found[f"AUC, {label}"] = auc(said, right)
    return found


def learned_reward(
    seed: int,
    folder: Path,
    judge: str,
    *,
    steps: int = 64,
    problems: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    warmup: int = 16,
    every: int = 4,
    measured_on: int = 100,
) -> Iterator[dict]:
    """From `nano-solve`, straight solutions of three numbers: paid by the checker, by a reward
    model that stays as it is (`frozen`), or by one that is trained again every `every` steps on as
    many samples as a step has (`refreshed`).

    The reward model is first trained on `warmup` batches of the policy's samples, as large as those
    of the loop. `tokens` counts all samples of the loop.
    """
    task, policy = Countdown(3), Policy.load("nano-solve")
    learner, collect = Learner.of(policy), checked(task, problems, n, seed)
    update = fit(ppo(), advantage=group_mean, average="token")
    if judge != "checker":
        learner = Learner.of(policy, reward=ValueHead.from_policy(policy, seed))
        first = checked(task, problems, n, 1000 + seed)
        schedule = Schedule(warmup, lr, decay=False)
        learn(learner, first, FIT_MODEL, schedule, folder / "reward", label="reward model")
        collect = paid_by_model(task, problems, n, seed)
    if judge == "refreshed":
        update = both(update, refreshed(checked(task, problems, n, 2000 + seed), every))
    log = learn(
        learner,
        collect,
        update,
        Schedule(steps, lr, warmup_steps=3, decay=False),
        folder,
        callback=lambda learner: proxy_and_truth(learner, task, measured_on),
        callback_every=max(1, steps // 8),
        label=judge,
    )
    tokens = 0
    for row in log.rows:
        tokens += int(row.get("sampled_tokens") or 0)
        at = {"step": row["step"], "tokens": tokens}
        yield from (at | found for found in shown(row, ("reward", "entropy")))


LEARNED_REWARD = Experiment(
    "learned_reward",
    {name: partial(learned_reward, judge=name) for name in ("checker", "frozen", "refreshed")},
    seeds=3,
    doc="What does a policy learn from a reward model, and does training it again cure that?",
)
