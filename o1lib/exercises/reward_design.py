"""Checks of the exercises of notebook 02: from exact values to a reward that can be hacked.

Used in notebooks/exercises/02_reward_design.ipynb.
"""

from __future__ import annotations

from o1lib.exercises.chain_rewards import hack, mended_reward
from o1lib.exercises.judges import mended_auc
from o1lib.exercises.preferences import preference_loss
from o1lib.exercises.rollout_labels import rollouts_needed, step_labels
from o1lib.exercises.shaping import shaped_rewards
from o1lib.exercises.step_values import values

EXERCISES = (
    values,
    step_labels,
    rollouts_needed,
    preference_loss,
    shaped_rewards,
    hack,
    mended_reward,
    mended_auc,
)
