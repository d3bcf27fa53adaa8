"""Checks of the exercises of notebook 01: from what two numbers make to the moment after a failure.

Used in notebooks/exercises/01_policy_initialization.ipynb.
"""

from __future__ import annotations

from o1lib.exercises.answers import mean_pass_at_k
from o1lib.exercises.chains import equality_test, results_of
from o1lib.exercises.moments import mended_moments, moments
from o1lib.exercises.policies import loss_mask, mixture

EXERCISES = (
    results_of,
    equality_test,
    loss_mask,
    mixture,
    mean_pass_at_k,
    moments,
    mended_moments,
)
