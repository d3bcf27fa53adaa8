"""Checks of the exercises of notebook 04: from the log-derivative trick to two silent bugs.

Used in notebooks/exercises/04_learning.ipynb.
"""

from __future__ import annotations

from o1lib.exercises.credit import gae
from o1lib.exercises.estimates import reinforce_loss, two_advantages
from o1lib.exercises.silent_bugs import mended_mask, mended_update
from o1lib.exercises.surrogates import ppo_loss

EXERCISES = (reinforce_loss, two_advantages, ppo_loss, gae, mended_update, mended_mask)
