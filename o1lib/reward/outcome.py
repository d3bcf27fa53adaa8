"""Outcome rewards: one number for each whole response.

A reward is any function `(problems, responses) -> list of numbers`, one call for many, as TRL's
are; these are the ones that need no training.

Used in notebook 02.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from o1lib.tasks.base import Task
from o1lib.tasks.expression import exact_value, extract_answer, numbers_of, parse_expression
from o1lib.tasks.space import Space

Reward = Callable[[Sequence, Sequence[str]], list[float]]


def checker_reward(task: Task) -> Reward:
    """One for a right answer, else zero: the rule-based outcome reward."""

    def checked(problems: Sequence, responses: Sequence[str]) -> list[float]:
        pairs = zip(problems, responses, strict=True)
        return [float(task.verify(problem, response).correct) for problem, response in pairs]

    return checked


def lenient_reward(task: Task) -> Reward:
    """A checker with a hole, to be hacked: one for an expression of the given numbers that makes
    the goal, however often each is used, or not at all.

    The published checker of Stream of Search (Gandhi et al. 2024, arXiv 2404.03683;
    `parse_trajectory` in src/countdown_utils.py) has this hole: it means to strike out used
    numbers, but compares integers with texts and so strikes out none, and it never asks for all of
    them. The answer is read as the strict checker reads it.
    """

    def checked(problems: Sequence, responses: Sequence[str]) -> list[float]:
        return [
            float(_makes_goal(problem, response))
            for problem, response in zip(problems, responses, strict=True)
        ]

    return checked


def value_only_reward(task: Task) -> Reward:
    """A checker that forgot to look at the numbers, to be hacked: one for any expression that makes
    the goal, printing the goal itself included.
    """

    def checked(problems: Sequence, responses: Sequence[str]) -> list[float]:
        pairs = zip(problems, responses, strict=True)
        return [float(_value_of(response) == problem.target) for problem, response in pairs]

    return checked


def _value_of(response: str):
    try:
        return exact_value(parse_expression(extract_answer(response)))
    except ValueError:
        return None


def _makes_goal(problem, response: str) -> bool:
    try:
        parsed = parse_expression(extract_answer(response))
        strange = Counter(numbers_of(parsed)).keys() - set(problem.numbers)
        return not strange and exact_value(parsed) == problem.target
    except ValueError:
        return False


def length_penalized(reward: Reward, penalty: float = 0.1, words: int = 512) -> Reward:
    """A reward less up to the share `penalty` of it, the more of `words` words a response took;
    zero stays zero.

    Raises `ValueError` for a penalty that is not in [0, 1).
    """
    if not 0 <= penalty < 1:
        raise ValueError(f"penalty must be in [0, 1), got {penalty}")

    def penalized(problems: Sequence, responses: Sequence[str]) -> list[float]:
        return [
            value * (1.0 - penalty * min(1.0, len(response.split()) / words))
            for value, response in zip(reward(problems, responses), responses, strict=True)
        ]

    return penalized


def overlong(reward: Reward, longest: int = 512, margin: int = 128) -> Reward:
    """R + min(0, (longest - margin - length) / margin), never less than R - 1: the last `margin`
    words before the limit cost ever more, so that a chain learns to end before it is cut.

    Lengths are in words, of which our tokenizer makes a token each. Raises `ValueError` for a
    margin that is not between 1 and `longest`.

    Source: Yu et al. (2025), DAPO, arXiv 2503.14476, equation 13.
    """
    if not 1 <= margin <= longest:
        raise ValueError(f"need a margin from 1 to {longest}, got {margin}")

    def softened(problems: Sequence, responses: Sequence[str]) -> list[float]:
        return [
            value + max(-1.0, min(0.0, (longest - margin - len(response.split())) / margin))
            for value, response in zip(reward(problems, responses), responses, strict=True)
        ]

    return softened


def shaped(
    reward: Reward, potential: Callable[[object, str], Sequence[float]], gamma: float = 1.0
) -> Reward:
    """R + sum over t of gamma^t (gamma P(s_(t+1)) - P(s_t)): a reward for progress that changes no
    best behavior.

    The sum telescopes to gamma^T P(s_T) - P(s_0), and P counts as zero in the last state: it is
    over. So what is shaped differs from R by a number of the problem alone, and going in a circle
    pays nothing.

    Args:
        potential: `potential(problem, response)` is P of each state that the response goes through,
            the first included (`o1lib.reward.outcome.along` makes one from a function of states).

    Source: Ng, Harada and Russell (1999), "Policy invariance under reward transformations", theorem
    1.
    """

    def with_progress(problems: Sequence, responses: Sequence[str]) -> list[float]:
        found = []
        values = reward(problems, responses)
        for value, problem, response in zip(values, problems, responses, strict=True):
            path = [*potential(problem, response)][:-1] + [0.0]
            steps = range(len(path) - 1)
            found.append(value + sum(gamma**t * (gamma * path[t + 1] - path[t]) for t in steps))
        return found

    return with_progress


def along(task, of_state: Callable[[object], float], instruction: str = "solve"):
    """A potential from a function of states: its values along the steps of a response, as far as
    they are legal.
    """

    def potential(problem, response: str) -> list[float]:
        return [of_state(node.state) for node in Space(task, problem, instruction).read(response)]

    return potential


def outcome(scorer, task: Task, instruction: str = "think") -> Reward:
    """What a scorer says at the last token: an outcome reward model's verdict. An empty response
    gets zero.
    """

    def scored(problems: Sequence, responses: Sequence[str]) -> list[float]:
        prompts = [task.prompt(problem, instruction) for problem in problems]
        return [float(row[-1]) if len(row) else 0.0 for row in scorer.score(prompts, responses)]

    return scored


@dataclass(frozen=True)
class Ensemble:
    """Several scorers as one; see `ensemble`."""

    scorers: tuple
    how: str

    def score(self, prompts: Sequence[str], responses: Sequence) -> list[list[float]]:
        """One number a token of each response, as every scorer's."""
        combine = HOW[self.how]
        found = [scorer.score(prompts, responses) for scorer in self.scorers]
        return [
            [combine(tokens) for tokens in zip(*rows, strict=True)]
            for rows in zip(*found, strict=True)
        ]


HOW = {
    "mean": fmean,
    "min": min,
    "lower": lambda values: fmean(values) - pstdev(values),
}


def ensemble(*scorers, how: str = "mean") -> Ensemble:
    """Several scorers as one that is harder to fool: their `mean`, `min`, or `lower` (mean less the
    deviation between them).

    Source: Coste et al. (2023), arXiv 2310.02743.
    """
    if how not in HOW or not scorers:
        raise ValueError(f"need scorers, and how as one of {', '.join(HOW)}; got {how!r}")
    return Ensemble(scorers, how)


def finite(values: Sequence[float], problems: Sequence) -> list[float]:
    """Rewards as floats. Raises `ValueError` that names the problem of one that is not a finite
    number, or where some lack.
    """
    if len(values) != len(problems):
        raise ValueError(f"{len(values)} rewards for {len(problems)} responses")
    found = [float(value) for value in values]
    for value, problem in zip(found, problems, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"the reward for '{problem}' is {value}, not a finite number")
    return found
