"""Arithmetic: an expression with brackets, reduced one operation at a time to its one right value.

Every step is exactly right or wrong, no step can be undone, and there is one right answer, so
answers can be voted on: what Countdown is not. All values on the way are nonnegative integers below
1000, whatever the order of the steps, because the expression is fully bracketed.

Every *legal* step is right, so every state is alive, and a search over legal steps cannot fail.
What fails is a chain with a *slip*: `parse_step` refuses it with the reason, `Space.read` stops
before it, and that is how a judge knows where a chain went wrong. `slips` lists some for training.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from o1lib.tasks import base
from o1lib.tasks.base import Verdict
from o1lib.tasks.expression import exact_value, parse_expression, verify_response
from o1lib.tasks.notation import check_notation, plain_expression

_INNER = re.compile(r"\( ([0-9]+) ([-+*/]) ([0-9]+) \)")
_OPERATOR = re.compile(r"[-+*/]")
_STEP = re.compile(r"([0-9]{1,18}) ([-+*/]) ([0-9]{1,18}) = ([0-9]{1,18}) left ([0-9()+\-*/ ]+)\Z")


@dataclass(frozen=True)
class Expression:
    """A fully bracketed expression, or a number once it is reduced. It is its own initial state."""

    text: str

    def __str__(self) -> str:
        return f"compute {self.text}"


@dataclass(frozen=True)
class Reduction:
    """One bracket replaced by its value."""

    equation: str
    rest: str

    @property
    def text(self) -> str:
        return f"{self.equation} left {self.rest}"


class Arithmetic:
    """The Arithmetic task.

    Args:
        n_numbers: how many numbers an expression has (2 to 8).
        high: the largest number in it (1 to 99).
    """

    def __init__(self, n_numbers: int = 4, high: int = 13):
        base.require_range("n_numbers", n_numbers, 2, 8)
        base.require_range("high", high, 1, 99)
        self.n_numbers, self.high = n_numbers, high

    def __repr__(self) -> str:
        return f"Arithmetic(n_numbers={self.n_numbers}, high={self.high})"

    def problem(self, expression: str) -> Expression:
        """An expression of one's own. Raises `ValueError` with the reason when it is malformed or
        leaves the integers.
        """
        value = exact_value(parse_expression(expression))
        if value.denominator != 1 or value < 0:
            raise ValueError(f"the expression must have a nonnegative integer value, got {value}")
        problem = Expression(" ".join(re.findall(r"[0-9]+|[-+*/()]", expression)))
        state = problem
        while not self.is_solved(state):
            steps = self.legal_steps(state)
            if not steps:
                raise ValueError(
                    "every operation needs its own brackets and a nonnegative integer value"
                )
            state = self.apply(state, steps[0])
        return problem

    def problems(self, split: str, n: int | None = None, seed: int = 0) -> list[Expression]:
        """`n` problems of the split `train`, `val_inputs` or `test_inputs`, all of them endless."""
        base.input_split(self, split)
        base.require_count(n)
        if n is None:
            raise ValueError(f"the split {split} is endless: say how many problems")
        return [self._sampled(split, index, seed) for index in range(n)]

    def train_problem(self, index: int, seed: int = 0) -> Expression:
        """Training problem number `index` of a seed."""
        return self._sampled("train", index, seed)

    def _sampled(self, split: str, index: int, seed: int) -> Expression:
        rng = random.Random(f"{split} {self!r} {seed} {index}")
        kind = base.input_split(self, split)
        while True:
            text, _ = self._build(rng, self.n_numbers)
            text = text[2:-2]
            if base.input_class(text) == kind:
                return Expression(text)

    def _build(self, rng: random.Random, n: int) -> tuple[str, int]:
        if n == 1:
            value = rng.randint(1, self.high)
            return str(value), value
        while True:
            size = rng.randint(1, n - 1)
            (left, a), (right, b) = self._build(rng, size), self._build(rng, n - size)
            op = rng.choice("+-*/")
            value = _result(a, op, b)
            if value is not None and value <= 999:
                return f"( {left} {op} {right} )", value

    def prompt(self, problem: Expression, instruction: str = "solve") -> str:
        """The user's text for a problem, e.g. `solve : compute ( 3 + 4 ) * 2`."""
        return base.instructed(problem, instruction)

    def value(self, problem: Expression) -> int:
        """The oracle: the exact value."""
        return int(exact_value(parse_expression(problem.text)))

    def verify(self, problem: Expression, response: str, notation: str = "strict") -> Verdict:
        """Check a response: its answer must be the value, as one plain integer.

        Args:
            notation: "strict", or "lenient" for other people's models (o1lib.tasks.notation).
        """
        return verify_response(self, problem, response, notation)

    def verify_answer(self, problem: Expression, answer: str, notation: str = "strict") -> Verdict:
        """Check a bare answer (without the tags)."""
        check_notation(notation)
        value = self.value(problem)
        try:
            if notation == "lenient":
                answer = plain_expression(answer, value)
            parsed = parse_expression(answer)
        except ValueError as error:
            return Verdict(False, str(error))
        if len(parsed) != 1 or "(" in answer:
            return Verdict(False, "the answer must be one number, without brackets")
        shown = str(parsed[0])[:20]
        if parsed[0] != value:
            return Verdict(False, f"the answer is {shown}, not {value}")
        return Verdict(True, f"the value is {shown}")

    def initial(self, problem: Expression) -> Expression:
        return problem

    def legal_steps(self, state: Expression) -> list[Reduction]:
        """The right reductions of every innermost bracket, left to right (the outermost pair is not
        written).
        """
        return list(_reductions(state.text))

    def slips(self, state: Expression) -> list[Reduction]:
        """Plausible wrong steps: each legal step with its result off by one or by ten.

        None of them is legal; `Expression(slip.rest)` is where a chain goes on after one.
        """
        return [
            Reduction(f"{a} {op} {b} = {wrong}", _replaced(state.text, match, wrong))
            for match, a, op, b, right in _brackets(state.text)
            for wrong in (right - 10, right - 1, right + 1, right + 10)
            if 0 <= wrong <= 999
        ]

    def apply(self, state: Expression, step: Reduction) -> Expression:
        if step not in self.legal_steps(state):
            raise ValueError(f"'{step.text}' is not a legal step from {state}")
        return Expression(step.rest)

    def parse_step(self, state: Expression, text: str) -> Reduction:
        """Read a step from its text. Raises `ValueError` with the reason."""
        match = _STEP.match(text.strip()) if isinstance(text, str) and len(text) <= 400 else None
        if match is None:
            raise ValueError("a step reads: a op b = c left the expression")
        a, op, b, result = int(match[1]), match[2], int(match[3]), int(match[4])
        step = Reduction(f"{match[1]} {op} {match[3]} = {match[4]}", match[5].strip())
        steps = self.legal_steps(state)
        if step in steps:
            return step
        if _result(a, op, b) != result:
            truth = _result(a, op, b)
            shown = "not a nonnegative integer" if truth is None else f"{truth}, not {result}"
            raise ValueError(f"{a} {op} {b} is {shown}")
        if any(other.equation == step.equation for other in steps):
            raise ValueError("the expression left is wrong")
        raise ValueError(f"{a} {op} {b} is no innermost bracket of {state.text}")

    def is_solved(self, state: Expression) -> bool:
        return state.text.isdigit()

    def answer(self, problem: Expression, steps: Sequence[Reduction]) -> str:
        """What the last step leaves: the value, once every bracket is reduced."""
        return steps[-1].rest if steps else problem.text

    # --- the oracle

    def solvable(self, state: Expression) -> bool:
        """Whether the state can be reduced to a number. Every state of a problem can; one that
        follows a slip may hold a difference below zero or a division with a remainder.
        """
        return self.count_solutions(state) > 0

    def distance(self, state: Expression) -> int | None:
        """The number of operations that are left (each order takes as many), or None."""
        return len(_OPERATOR.findall(state.text)) if self.solvable(state) else None

    def count_solutions(self, state: Expression) -> int:
        """How many orders of reduction there are."""
        return _orders(state.text)

    def solutions(self, state: Expression) -> Iterator[tuple[Reduction, ...]]:
        """Every order of reduction; the first is from left to right."""
        if self.is_solved(state):
            yield ()
            return
        for step in self.legal_steps(state):
            for rest in self.solutions(self.apply(state, step)):
                yield (step, *rest)

    def solution_text(self, problem: Expression) -> str:
        """The straight chain with its answer."""
        return base.straight_chain(self, problem, next(self.solutions(problem)))


def _result(a: int, op: str, b: int) -> int | None:
    """The result of an operation, or None where it is no nonnegative integer."""
    if (op == "-" and a < b) or (op == "/" and (b == 0 or a % b)):
        return None
    return {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]


def _brackets(text: str) -> Iterator[tuple[re.Match, int, str, int, int]]:
    """The innermost brackets, left to right, that have a result: match, a, op, b, result."""
    for match in _INNER.finditer(f"( {text} )"):
        a, op, b = int(match[1]), match[2], int(match[3])
        value = _result(a, op, b)
        if value is not None:
            yield match, a, op, b, value


def _replaced(text: str, match: re.Match, value: int) -> str:
    """The expression with one bracket replaced by a value (the outermost pair is not written)."""
    whole = f"( {text} )"
    rest = whole[: match.start()] + str(value) + whole[match.end() :]
    return rest[2:-2] if rest.startswith("( ") else rest


@lru_cache(maxsize=1 << 14)
def _reductions(text: str) -> tuple[Reduction, ...]:
    return tuple(
        Reduction(f"{a} {op} {b} = {value}", _replaced(text, match, value))
        for match, a, op, b, value in _brackets(text)
    )


@lru_cache(maxsize=1 << 14)
def _orders(text: str) -> int:
    return 1 if text.isdigit() else sum(_orders(step.rest) for step in _reductions(text))
