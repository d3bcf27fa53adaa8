"""Outcome rewards: one number for a whole response.

A reward is any function `(problem, response) -> float`; these are the ones that the checker gives.

Used in notebook 02, section 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from o1lib.tasks.base import Task

Reward = Callable[[object, str], float]


def checker_reward(task: Task) -> Reward:
    """One for a right answer, else zero: the rule-based outcome reward."""
    return lambda problem, response: float(task.verify(problem, response).correct)


def brief_reward(task: Task, share: float = 0.1, words: int = 512) -> Reward:
    """One for a right answer, less up to `share` the more of `words` words it took; a wrong answer gets zero however short."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be in [0, 1), got {share}")

    def reward(problem, response: str) -> float:
        if not task.verify(problem, response):
            return 0.0
        return 1.0 - share * min(1.0, len(response.split()) / words)

    return reward


def finite(value: float, problem) -> float:
    """A reward as a float. Raises `ValueError` that names the problem when it is not a finite number."""
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"the reward for '{problem}' is {value}, not a finite number")
    return value
