"""What every small world offers: problems, a strict verifier, and, for step tasks, an exact oracle.

The two protocols are documentation that can be checked by a type checker; nothing inherits from
them. A task is an ordinary object whose methods are pure: the same arguments always give the same
answer, so that runs can be resumed and compared.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

# Held-out goals. No training data of any kind may ask for one of them (DESIGN: splits). They may
# occur as intermediate values.
GAME24 = 24
VAL_TARGETS = (18, 36, 48, 60, 83)
TEST_TARGETS = (14, 39, 41, 57, 62, 81, 87, 89, 96)
HELD_OUT_TARGETS = frozenset((GAME24, *VAL_TARGETS, *TEST_TARGETS))
SPLITS = ("train", "val_inputs", "val_targets", "test_inputs", "test_targets", "game24")


@dataclass(frozen=True)
class Verdict:
    """Whether a response is right, and the reason in one plain sentence."""

    correct: bool
    reason: str

    def __bool__(self) -> bool:
        return self.correct


@runtime_checkable
class Task(Protocol):
    """Problems with a checker; see `o1lib.tasks.Countdown` for the reference implementation."""

    def problems(self, split: str, n: int, seed: int = 0) -> list[Any]: ...

    def problem(self, **description: Any) -> Any: ...

    def prompt(self, problem: Any, instruction: str = "think") -> str: ...

    def verify(self, problem: Any, response: str) -> Verdict: ...


@runtime_checkable
class StepTask(Task, Protocol):
    """A deterministic decision process over text steps, with the truth about every state."""

    def initial(self, problem: Any) -> Any: ...

    def legal_steps(self, state: Any) -> list[Any]: ...

    def apply(self, state: Any, step: Any) -> Any: ...

    def parse_step(self, state: Any, text: str) -> Any: ...

    def is_solved(self, state: Any) -> bool: ...

    def solvable(self, state: Any) -> bool: ...


def input_class(key: str) -> str:
    """`"test"`, `"val"` or `"train"`: the split of an input by the CRC-32 of its canonical text."""
    return {0: "test", 1: "val"}.get(zlib.crc32(key.encode("ascii")) % 10, "train")


def refuse_held_out(target: int) -> None:
    """Raise `ValueError` if `target` is a held-out goal; every trainer's data loader calls this."""
    if target in HELD_OUT_TARGETS:
        raise ValueError(f"goal {target} is held out and may not be trained on")
