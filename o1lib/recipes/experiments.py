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
from o1lib.learning.updates import Learner
from o1lib.model.policy import Policy
from o1lib.recipes.breaks import WHAT_BREAKS_IT
from o1lib.recipes.credits import FOUR_CREDITS
from o1lib.recipes.headroom import past_the_teacher, what_rl_amplifies
from o1lib.recipes.judges import JUDGES
from o1lib.recipes.learned_reward import LEARNED_REWARD
from o1lib.recipes.learners import LEARNERS
from o1lib.recipes.low_rank import LOW_RANK
from o1lib.recipes.measures import SPLITS, outcome_rl, rows_of
from o1lib.recipes.scaling import RL_SCALING
from o1lib.recipes.scratch import REWARDS, STARTS, rl_from_scratch
from o1lib.recipes.search_data import SEARCH_DATA
from o1lib.recipes.transfer import TRANSFER
from o1lib.recipes.with_trl import grpo, sft
from o1lib.reward.outcome import (
    Reward,
    checker_reward,
    lenient_reward,
    value_only_reward,
)
from o1lib.tasks.countdown import Countdown

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
    yield from rows_of(log, "sampled_tokens")


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
            "what_rl_amplifies",
            {
                f"gives up {share:.0%}": partial(what_rl_amplifies, give_up=share)
                for share in (0.0, 0.6, 0.9, 1.0)
            },
            seeds=3,
            doc="Which starts does a reward make more of: must the behavior be there before?",
        ),
        Experiment(
            "reward_hack",
            {name: partial(reward_hack, checker=name) for name in CHECKERS},
            seeds=3,
            doc="What does a policy learn from a checker that overlooks something?",
        ),
        FOUR_CREDITS,
        WHAT_BREAKS_IT,
        LEARNERS,
        SEARCH_DATA,
        JUDGES,
        RL_SCALING,
        LEARNED_REWARD,
        LOW_RANK,
        TRANSFER,
        Experiment(
            "rl_from_scratch",
            {
                f"{start}, {reward}": partial(rl_from_scratch, start=start, reward=reward)
                for start in STARTS
                for reward in REWARDS
            },
            doc="What do rewards make of random weights, of a base model, and of a cloned policy?",
        ),
        Experiment(
            "with_trl",
            {by: partial(grpo, by=by) for by in ("ours", "TRL", "TRL with our sampler")}
            | {f"SFT {by}": partial(sft, by=by) for by in ("ours", "TRL")},
            seeds=3,
            doc="Is it the same training in TRL, and what does it take of time and memory?",
        ),
        Experiment(
            "bandit",
            {"greedy": partial(bandit, explore=0.0), "explore": partial(bandit, explore=0.1)},
            seeds=20,
            doc="Does it pay to try levers that look worse? The smallest experiment there is.",
        ),
    )
}
