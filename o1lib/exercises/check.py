"""What a check of an exercise is: inputs, the truth, and the mistakes that people make.

A check does more than say that something is wrong. Every exercise lists wrong functions that are
often written; when the reader's function gives what one of them gives, on every input, the
check can say in words what went wrong.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # float32 answers are right as well


class CheckFailed(AssertionError):
    """A solution that is not right yet; `mistake` is the name of the usual mistake, or None."""

    def __init__(self, message: str, mistake: str | None = None):
        super().__init__(message)
        self.mistake = mistake

    def _render_traceback_(self, *_args) -> list[str]:
        """In a notebook the reader sees the sentence, not the way through this library."""
        return [f"{_sign('✗', 'NOT YET')} {self}"]


@dataclass(frozen=True)
class Mistake:
    """A usual mistake: its name, what to tell the reader, and wrong functions that make it."""

    name: str
    sentence: str
    functions: tuple[Callable, ...]


def call(function: Callable, *case):
    """The usual way to ask a function: what does it give back?"""
    return function(*case)


@dataclass(frozen=True)
class Exercise:
    """A check that can be called with the reader's function.

    Args:
        name: of the function to write.
        cases: argument tuples.
        truth: gives the right value for every case, by another way than the reader's.
        mistakes: tried in order when the reader's function is wrong.
        verified: ends the sentence "your function ..." when everything is right.
        ask: what is compared with the truth, from the reader's function and a case: by default
            what the function gives back, for a loss its gradient.
        what: names this in the sentence "... should give ..." where it is not the value itself.
    """

    name: str
    cases: Sequence[tuple]
    truth: Callable
    mistakes: tuple[Mistake, ...]
    verified: str
    ask: Callable = call
    what: str = ""

    def __call__(self, function: Callable) -> None:
        """Print one line if the function is right.

        Raises `CheckFailed`, in words and with a counterexample, if it is not.
        """
        wanted = [self.truth(*case) for case in self.cases]
        found = [self._answer(function, case) for case in self.cases]
        wrong = [i for i, pair in enumerate(zip(found, wanted, strict=True)) if not same(*pair)]
        if not wrong:
            print(f"{_sign('✓', 'OK')} {self.name}: your function {self.verified}.")
            return
        if all(value is None for value in found):
            raise CheckFailed(f"{self.name} gives nothing back: is there a `return` at its end?")
        mistake = next((m for m in self.mistakes if self._made(m, found)), None)
        i = wrong[0]
        example = (
            f"{self._call(i)} should give {self.what}{_shown(wanted[i])}, yours {_gives(found[i])}."
        )
        if mistake:
            raise CheckFailed(f"{self.name}: {mistake.sentence} {example}", mistake.name)
        raise CheckFailed(f"{self.name} is not right yet: {example}")

    def _answer(self, function: Callable, case: tuple):
        """What a function gives, or the exception that it raises."""
        given = copy.deepcopy(case)
        try:
            value = self.ask(function, *given)
        except NotImplementedError as error:
            raise CheckFailed(f"{self.name} is not written yet.") from error
        except Exception as error:  # an exception is an answer too, and may be a known mistake
            return error
        if not same(given, case):
            raise CheckFailed(
                f"{self.name} changes the lists or tensors that it is given. Work on a copy, such "
                "as `list(numbers)` or `tensor.clone()`: whoever calls you still needs them."
            )
        return _plain(value)

    def _made(self, mistake: Mistake, found: list) -> bool:
        return any(
            all(
                same(value, self._answer(function, case))
                for value, case in zip(found, self.cases, strict=True)
            )
            for function in mistake.functions
        )

    def _call(self, i: int) -> str:
        return f"{self.name}({', '.join(map(_shown, self.cases[i]))})"


def _plain(value):
    """Tensors, arrays and tuples as lists, numbers of numpy as numbers of Python."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def same(one, other) -> bool:
    """Whether two answers agree up to rounding; two exceptions agree if they are of one type."""
    one, other = _plain(one), _plain(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Exception) or isinstance(other, Exception):
        return type(one) is type(other)
    try:
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except (TypeError, ValueError, OverflowError):  # not numbers
        return type(one) is type(other) and one == other


def _shown(value) -> str:
    """A value as a reader would write it, short."""
    value = _plain(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _gives(value) -> str:
    if isinstance(value, Exception):
        reason = f" ({value})" if str(value) else ""
        return f"raises {type(value).__name__}{reason}"
    return f"gives {_shown(value)}"


def _sign(sign: str, word: str) -> str:
    """The sign where it can be written, else the word (a Windows console may know no sign)."""
    try:
        sign.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return word
    return sign
