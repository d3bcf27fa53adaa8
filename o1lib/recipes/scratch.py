"""Reinforcement learning from scratch: what a reward makes of random weights, of a model that has
only read, and of one that has been shown how to answer (paper, section 3.4: large action spaces).

Left out on purpose: partial credit by a potential (`o1lib.reward.outcome.shaped`). It changes no
difference between two responses to the same problem, so a group would learn nothing more from it.
What helps a beginner must change the goal: `partial_credit` pays for form.

Used in notebook 01.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from o1lib.learning.updates import Learner
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.moments import at_the_right_moment
from o1lib.recipes.measures import SPLITS, outcome_rl, rows_of
from o1lib.reward.outcome import Reward, checker_reward
from o1lib.tasks.countdown import Countdown, Problem
from o1lib.tasks.expression import extract_answer, numbers_of, parse_expression

# What a response must do, one after the other, to be right.
RUNGS = ("opens an answer", "ends with it", "an expression", "of its numbers", "right")


def rung(task, problem: Problem, response: str) -> int:
    """How many of the `RUNGS` a response has climbed: 0 to 5."""
    if "<answer>" not in response:
        return 0
    try:
        answer = extract_answer(response)
    except ValueError:
        return 1
    try:
        numbers = numbers_of(parse_expression(answer))
    except ValueError:
        return 2
    if sorted(numbers) != sorted(problem.numbers):
        return 3
    return 5 if task.verify_answer(problem, answer) else 4


def partial_credit(task) -> Reward:
    """A fifth for every rung: 1 for a right answer, and something for one that looks like it."""

    def credited(problems: Sequence[Problem], responses: Sequence[str]) -> list[float]:
        pairs = zip(problems, responses, strict=True)
        return [rung(task, problem, response) / len(RUNGS) for problem, response in pairs]

    return credited


STARTS = ("random weights", "nano-base", "nano-gives-up")
REWARDS = {"outcome": checker_reward, "partial credit": partial_credit}


def beginner(start: str, seed: int = 0) -> Policy:
    """A checkpoint's policy, or `random weights` of the smallest size."""
    if start == "random weights":
        return Policy(build_model("nano", seed).eval(), build_tokenizer())
    return Policy.load(start)


def climbed(learner: Learner, task, problems: int = 50, n: int = 4) -> dict[str, float]:
    """The share of samples that have climbed each rung, and what they do with alternatives that are
    dead or alive (where there are twenty or more), on each validation split.
    """
    found = {}
    for label, split in SPLITS.items():
        some = task.problems(split, problems)
        prompts = [task.prompt(p) for p in some]
        groups = learner.policy.sample(prompts, n, max_new_tokens=100, seed=1)
        asked = [p for p, group in zip(some, groups, strict=True) for _ in group]
        texts = [response.text for group in groups for response in group]
        rungs = [rung(task, p, text) for p, text in zip(asked, texts, strict=True)]
        for place, name in enumerate(RUNGS, 1):
            found[f"{name}, {label}"] = sum(r >= place for r in rungs) / len(rungs)
        for name, (right, count) in at_the_right_moment(asked, texts).items():
            if count >= 20:
                found[f"{name}, {label}"] = right / count
    return found


def rl_from_scratch(
    seed: int, folder: Path, start: str, reward: str, steps: int = 20, prompts: int = 32
) -> Iterator[dict]:
    """`steps` updates of 32 x 8 samples by one of the `REWARDS`, from one of three starts."""
    task = Countdown(3)
    log = outcome_rl(
        beginner(start, seed),
        task,
        REWARDS[reward](task),
        folder,
        steps=steps,
        prompts=prompts,
        lr=3e-4,
        max_new_tokens=100,
        seed=seed,
        callback=lambda learner: climbed(learner, task),
        callback_every=max(1, steps // 4),
    )
    yield from rows_of(log, "sampled_tokens")
