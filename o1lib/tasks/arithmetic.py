"""Arithmetic: an expression with brackets, reduced one operation at a time to its one right value.

Every step is exactly right or wrong, no step can be undone, and there is one right answer, so
answers can be voted on: what Countdown is not. All values on the way are nonnegative integers below
1000, whatever the order of the steps, because the
expression is fully bracketed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from o1lib.tasks.base import Verdict, input_class
from o1lib.tasks.expression import evaluate, extract_answer, parse_expression

_INNER = re.compile(r"\( ([0-9]+) ([-+*/]) ([0-9]+) \)")
_STEP = re.compile(r"([0-9]{1,18}) ([-+*/]) ([0-9]{1,18}) = ([0-9]{1,18}) left ([0-9()+\-*/ ]+)\Z")


@dataclass(frozen=True)
class Expression:
    """A fully bracketed expression, or, once it is reduced, a number. It is its own initial state."""

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
        for name, value, least, most in (("n_numbers", n_numbers, 2, 8), ("high", high, 1, 99)):
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"{name} must be an integer from {least} to {most}, got {value!r}")
        self.n_numbers, self.high = n_numbers, high

    def __repr__(self) -> str:
        return f"Arithmetic(n_numbers={self.n_numbers}, high={self.high})"

    def problem(self, expression: str) -> Expression:
        """An expression of one's own. Raises `ValueError` with the reason when it is malformed or
        leaves the integers.
        """
        value = evaluate(parse_expression(expression))
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

    def problems(self, split: str, n: int, seed: int = 0) -> list[Expression]:
        """`n` problems of the split `train`, `val_inputs` or `test_inputs`."""
        if split not in ("train", "val_inputs", "test_inputs"):
            raise ValueError(f"unknown split {split!r}; choose from train, val_inputs, test_inputs")
        return [self._sampled(split, index, seed) for index in range(n)]

    def train_problem(self, index: int, seed: int = 0) -> Expression:
        return self._sampled("train", index, seed)

    def _sampled(self, split: str, index: int, seed: int) -> Expression:
        rng = random.Random(f"{split} {self!r} {seed} {index}")
        while True:
            text, _ = self._build(rng, self.n_numbers)
            text = text[2:-2]
            if (
                input_class(text)
                == {"train": "train", "val_inputs": "val", "test_inputs": "test"}[split]
            ):
                return Expression(text)

    def _build(self, rng: random.Random, n: int) -> tuple[str, int]:
        if n == 1:
            value = rng.randint(1, self.high)
            return str(value), value
        while True:
            size = rng.randint(1, n - 1)
            (left, a), (right, b) = self._build(rng, size), self._build(rng, n - size)
            op = rng.choice("+-*/")
            if (op == "/" and (b == 0 or a % b)) or (op == "-" and a < b):
                continue
            value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]
            if value <= 999:
                return f"( {left} {op} {right} )", value

    def prompt(self, problem: Expression, instruction: str = "solve") -> str:
        return f"{instruction} : {problem}"

    def value(self, problem: Expression) -> int:
        """The oracle: the exact value."""
        return int(evaluate(parse_expression(problem.text)))

    def verify(self, problem: Expression, response: str) -> Verdict:
        """Check a response: its answer must be the value, as one plain integer."""
        try:
            answer = extract_answer(response)
            parsed = parse_expression(answer)
        except ValueError as error:
            return Verdict(False, str(error))
        if len(parsed) != 1 or "(" in answer:
            return Verdict(False, "the answer must be one number, without brackets")
        shown = str(parsed[0])[:20]
        if parsed[0] != self.value(problem):
            return Verdict(False, f"the answer is {shown}, not {self.value(problem)}")
        return Verdict(True, f"the value is {shown}")

    def initial(self, problem: Expression) -> Expression:
        return problem

    def legal_steps(self, state: Expression) -> list[Reduction]:
        """The right reductions of every innermost bracket, left to right (the outermost pair is not
        written).
        """
        text = f"( {state.text} )" if not state.text.isdigit() else state.text
        found = []
        for match in _INNER.finditer(text):
            a, op, b = int(match[1]), match[2], int(match[3])
            if (op == "/" and (b == 0 or a % b)) or (op == "-" and a < b):
                continue
            value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]
            rest = text[: match.start()] + str(value) + text[match.end() :]
            found.append(
                Reduction(f"{a} {op} {b} = {value}", rest[2:-2] if rest.startswith("( ") else rest)
            )
        return found

    def apply(self, state: Expression, step: Reduction) -> Expression:
        if step not in self.legal_steps(state):
            raise ValueError(f"'{step.text}' is not a legal step from {state}")
        return Expression(step.rest)

    def parse_step(self, state: Expression, text: str) -> Reduction:
        """Read a step from its text. Raises `ValueError` with the reason."""
        match = _STEP.match(text.strip()) if isinstance(text, str) and len(text) <= 400 else None
        if match is None:
            raise ValueError("a step reads: a op b = c left the expression")
        step = Reduction(f"{match[1]} {match[2]} {match[3]} = {match[4]}", match[5].strip())
        if step not in self.legal_steps(state):
            raise ValueError(f"'{step.text}' is not a legal step from {state}")
        return step

    def is_solved(self, state: Expression) -> bool:
        return state.text.isdigit()

    def solvable(self, state: Expression) -> bool:
        """Every legal state can be solved; only a wrong step can be fatal."""
        return True

    def solutions(self, state: Expression) -> Iterator[tuple[Reduction, ...]]:
        """The reduction from left to right (the others differ in order only)."""
        steps = []
        while not self.is_solved(state):
            steps.append(self.legal_steps(state)[0])
            state = self.apply(state, steps[-1])
        yield tuple(steps)

    def solution_text(self, problem: Expression) -> str:
        """The straight chain with its answer."""
        steps = next(self.solutions(problem))
        return f"<think> {' ; '.join(s.text for s in steps)} </think> <answer> {self.value(problem)} </answer>"
