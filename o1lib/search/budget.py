"""What a search may spend on one problem, and what it has spent."""

from __future__ import annotations

from dataclasses import dataclass


class OutOfBudget(Exception):
    """Raised inside a strategy whose request the budget does not cover; it may catch it and return
    the best it has.
    """


@dataclass(frozen=True)
class Budget:
    """Caps for one problem; None is no cap.

    Args:
        generated: tokens that the policy writes.
        scored: tokens that the policy or a scorer reads to judge. Prompts are not counted; what
            the texts of one request begin with in common is counted once.
        checks: checker calls.
    """

    generated: int | None = None
    scored: int | None = None
    checks: int | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or value < 0
            ):
                raise ValueError(
                    f"the budget of {name} must be a nonnegative integer, got {value!r}"
                )


@dataclass
class Cost:
    """What a search has spent on one problem, in the units of its `Budget`."""

    generated: int = 0
    scored: int = 0
    checks: int = 0

    def left(self, budget: Budget, kind: str) -> float:
        """How much of a kind may still be spent."""
        cap = getattr(budget, kind)
        return float("inf") if cap is None else cap - getattr(self, kind)
