"""Outcome or process? The experiment `four_credits`: one loop, four ways to credit the steps of the
same chains (`o1lib.learning.credits`), and how far the gradient of each is from the exact one.

The reward pays for canonical chains alone, so that the exact credit is exact; success is measured
by the ordinary checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import fmean

from o1lib.lab.experiments import Experiment
from o1lib.learning.advantages import gae
from o1lib.learning.collect import Problems, rollouts, training_problems
from o1lib.learning.completions import Batch
from o1lib.learning.credits import CREDITS, Credit, gradient_quality
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import ppo, value_loss
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, Update, both, fit
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.recipes.measures import SPLITS, shown
from o1lib.reward.winning import canonical_reward, exact_values
from o1lib.tasks.countdown import Countdown
from o1lib.tasks.space import Space

LONGEST = 48  # tokens of a chain; a canonical one of three numbers has about 30


def chains(task, problems: Problems, n: int, seed: int = 0) -> Collector:
    """`n` straight chains for every problem, paid by `canonical_reward`. Groups of equal rewards
    are kept: their steps still differ in value.
    """
    return rollouts(
        task, canonical_reward(task), problems, n, instruction="solve", max_new_tokens=LONGEST,
        keep_equal=True, seed=seed,
    )  # fmt: skip


def fit_critic(minibatches: int = 8) -> Update:
    """A step of regression of a critic, before every token, on the outcome."""
    return fit(
        value_loss, advantage=gae(lam=1.0), model="critic", average="token",
        minibatches=minibatches, lr_scale=5.0,
    )  # fmt: skip


def credited(credit: Credit, task, problems: Problems) -> Update:
    """A step of the policy gradient by a credit. Logs the tokens that the credit sampled."""

    def update(learner: Learner, batch: Batch) -> dict:
        spaces = [Space(task, problem) for problem in problems(learner.step)]
        advantages, tokens = credit(learner, batch, spaces)
        follow = fit(ppo(), advantage=lambda batch: advantages, average="token")
        return follow(learner, batch) | {"credit_tokens": tokens}

    return update


def measured(learner: Learner, task, problems: int = 100, n: int = 8) -> dict[str, float]:
    """J, and success and pass@n of `n` samples by the checker, on the validation splits."""
    policy, found = learner.policy, {}
    for label, split in SPLITS.items():
        spaces = [Space(task, problem) for problem in task.problems(split, problems)]
        exact = fmean(table.get((), 0.0) for table in exact_values(policy, spaces))
        groups = policy.sample([s.prompt for s in spaces], n, max_new_tokens=LONGEST, seed=1)
        right = [
            sum(bool(task.verify(space.problem, response.text)) for response in group)
            for space, group in zip(spaces, groups, strict=True)
        ]
        found |= {
            f"J, {label}": exact,
            f"success, {label}": fmean(right) / n,
            f"pass@{n}, {label}": fmean(count > 0 for count in right),
        }
    return found


def four_credits(
    seed: int,
    folder: Path,
    credit: str,
    *,
    steps: int = 40,
    prompts: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    warmup: int = 10,
    problems: int = 100,
    repeats: int = 8,
) -> Iterator[dict]:
    """`nano-think` learns straight chains of three numbers by one of the `CREDITS`.

    At the first and the last step the gradients of all credits are held against the exact one. The
    critic is first trained on `warmup` batches of other problems, as large as those of the loop.
    `tokens` counts all that was sampled to learn: chains, rollouts, and those batches.
    """
    task, policy = Countdown(3), Policy.load("nano-think")
    asked = training_problems(task, prompts, seed)
    learner, update, spent = Learner.of(policy), credited(CREDITS[credit], task, asked), 0
    if credit == "value head":
        learner = Learner.of(policy, critic=ValueHead.from_policy(policy, seed))
        others = chains(task, training_problems(task, prompts, 1000 + seed), n, seed)
        log = learn(
            learner, others, fit_critic(), Schedule(warmup, lr, decay=False), folder / "critic",
            label="critic",
        )  # fmt: skip
        update, spent = both(update, fit_critic()), sum(log.column("sampled_tokens"))
    probes = [Space(task, problem) for problem in task.problems("val_inputs", 24)]
    repeated = chains(task, lambda step: [space.problem for space in probes], n)

    # The same for all arms of a seed, others for each seed.
    rounds = range(1000 * seed, 1000 * seed + repeats)

    def callback(learner: Learner) -> dict[str, float]:
        found = measured(learner, task, problems)
        if learner.step in (0, steps):
            able = {k: c for k, c in CREDITS.items() if k != "value head" or k == credit}
            found |= gradient_quality(learner, able, repeated, probes, rounds)
        return found

    log = learn(
        learner, chains(task, asked, n, seed), update,
        Schedule(steps, lr, warmup_steps=3, decay=False), folder,
        callback=callback, callback_every=max(1, steps // 4), label=credit,
    )  # fmt: skip
    for row in log.rows:
        spent += (row.get("sampled_tokens") or 0) + (row.get("credit_tokens") or 0)
        at = {"step": row["step"], "tokens": int(spent)}
        yield from (at | found for found in shown(row, ("reward", "entropy")))


FOUR_CREDITS = Experiment(
    "four_credits",
    {name: partial(four_credits, credit=name) for name in CREDITS},
    doc="What is a step worth? Outcome, rollouts, a learned head and the exact value, in one loop.",
)
