"""The small worlds."""

from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.base import HELD_OUT_TARGETS, SPLITS, Verdict
from o1lib.tasks.countdown import Countdown, Problem, Step
from o1lib.tasks.jugs import Jugs

__all__ = [
    "HELD_OUT_TARGETS",
    "SPLITS",
    "Arithmetic",
    "Countdown",
    "Jugs",
    "Problem",
    "Step",
    "Verdict",
]
