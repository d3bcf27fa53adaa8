"""Checks of the exercises of notebook 00: from the checker of an answer to a policy gradient.

Used in notebooks/exercises/00_start_here.ipynb.
"""

from __future__ import annotations

from o1lib.exercises.answers import is_right, pass_at_k
from o1lib.exercises.gradients import group_advantages, reinforce_gradient, returns

EXERCISES = (is_right, returns, pass_at_k, group_advantages, reinforce_gradient)
