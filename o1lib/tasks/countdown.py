"""Countdown: use every number exactly once, with + - * /, to reach the target. Game of 24 is target
24.

The ladder: 3 numbers (everything exact in milliseconds), 4 numbers (the headline), 5 and 6 numbers
(hard). A *state* is the sorted multiset of the numbers that are left, and the target; a *step*
replaces two of them by a result. Steps stay within
the nonnegative integers (the larger number first, division only when exact); the verifier accepts
exact fractions as well.

Left out on purpose: other operators, numbers left unused (in some versions of the game they may
be), negative results.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

from o1lib.tasks import oracle
from o1lib.tasks.base import (
    GAME24,
    HELD_OUT_TARGETS,
    SPLITS,
    TEST_TARGETS,
    VAL_TARGETS,
    Verdict,
    input_class,
    instructed,
    require_count,
    require_range,
)
from o1lib.tasks.expression import exact_value, numbers_of, parse_expression, verify_response
from o1lib.tasks.notation import check_notation, plain_expression


@dataclass(frozen=True)
class Problem:
    """Numbers (sorted, positive) and a positive target. It is its own initial state."""

    numbers: tuple[int, ...]
    target: int

    def __str__(self) -> str:
        return f"make {self.target} from {' '.join(map(str, self.numbers))}"


State = Problem  # a state is the problem that is left to solve


@dataclass(frozen=True)
class Step:
    """Two numbers of a state replaced by the result of an operation."""

    left: int
    op: str
    right: int
    result: int
    rest: tuple[int, ...]  # the sorted numbers after the step

    @property
    def equation(self) -> str:
        return f"{self.left} {self.op} {self.right} = {self.result}"

    @property
    def text(self) -> str:
        """The one canonical text of the step."""
        return f"{self.equation} left {' '.join(map(str, self.rest))}"


_STEP = re.compile(
    r"([0-9]{1,18}) ([-+*/]) ([0-9]{1,18}) = ([0-9]{1,18})(?: left ((?:[0-9]{1,18} ?)+))?\Z"
)


@lru_cache(maxsize=1 << 14)
def _steps(numbers: tuple[int, ...]) -> tuple[Step, ...]:
    """The legal steps from some numbers; searches ask for those of one state several times."""
    if len(numbers) == 1:
        return ()
    return tuple(Step(*step, left) for step, left in oracle.steps(numbers))


class Countdown:
    """The Countdown task.

    Args:
        n_numbers: how many numbers a sampled problem has (2 to 6).
        low, high: the range of the numbers of sampled problems.
        max_target: sampled goals are 1..max_target, but for those that the split holds out.

    Used in notebook 00.
    """

    def __init__(self, n_numbers: int = 4, low: int = 1, high: int = 13, max_target: int = 100):
        for name, value, least, most in (
            ("n_numbers", n_numbers, 2, 6),
            ("low", low, 1, 10**6),
            ("high", high, low, 10**6),
            ("max_target", max_target, 1, 999),
        ):
            require_range(name, value, least, most)
        self.n_numbers, self.low, self.high, self.max_target = n_numbers, low, high, max_target

    def __repr__(self) -> str:
        settings = f"low={self.low}, high={self.high}, max_target={self.max_target}"
        return f"Countdown(n_numbers={self.n_numbers}, {settings})"

    # --- problems

    def problem(self, numbers, target: int = GAME24) -> Problem:
        """A problem of one's own. Raises `ValueError` with the reason when it is malformed."""
        if not isinstance(numbers, (list, tuple)):
            raise ValueError(f"numbers must be a list of positive integers, got {numbers!r:.60}")
        for name, value in [("every number", x) for x in numbers] + [("target", target)]:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if whole and abs(value) >= 10**18:
                raise ValueError(f"{name} must be below 10^18")
            if not whole or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r:.60}")
        if not 2 <= len(numbers) <= 6:
            raise ValueError(f"a problem has 2 to 6 numbers, got {len(numbers)}")
        return Problem(tuple(sorted(numbers)), target)

    def problems(self, split: str, n: int | None = None, seed: int = 0) -> list[Problem]:
        """`n` solvable problems of a split, the same for the same seed, and the first k of n are
        those of k.

        `train` draws with replacement from an endless stream. The other splits are finite: with up
        to 4 numbers from a range of at most 30 they are listed completely, shuffled by the seed and
        cut to `n` (`None`: all of them; `game24` is never shuffled, and also listed with 5).
        Where they are larger, problems are drawn from them with replacement, and `n` is needed.

        * `val_inputs`, `test_inputs`: inputs never trained on, goals that are;
        * `val_targets`: goals never trained on, inputs of the training or validation class;
        * `test_targets`: likewise, inputs of any class;
        * `game24`: every multiset of `low..high` that makes 24, also those that need fractions
          (where it is drawn: those that integers can solve).
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
        require_count(n)
        if split == "train":
            if n is None:
                raise ValueError("the training split is endless: say how many problems")
            return [self.train_problem(index, seed) for index in range(n)]
        if self.n_numbers <= (5 if split == "game24" else 4) and self.high - self.low < 30:
            found = list(_finite_split(split, self.n_numbers, self.low, self.high, self.max_target))
            if split != "game24":
                random.Random(f"{split} {seed}").shuffle(found)
            return found[:n]
        if n is None:
            size = f"{self.n_numbers} numbers from {self.low} to {self.high}"
            raise ValueError(f"{split} is too large to list with {size}: say how many problems")
        return [self._sampled(split, index, seed) for index in range(n)]

    def train_problem(self, index: int, seed: int = 0) -> Problem:
        """Training problem number `index` of a seed: train-class numbers, then one of the goals
        they can reach.
        """
        return self._sampled("train", index, seed)

    def _sampled(self, split: str, index: int, seed: int) -> Problem:
        rng = random.Random(f"{split} {self!r} {seed} {index}")
        while True:
            numbers = tuple(sorted(rng.randint(self.low, self.high) for _ in range(self.n_numbers)))
            if not _input_allowed(split, numbers):
                continue
            if self.n_numbers <= 4:  # what they reach is listed once
                reached = oracle.reachable(numbers)
                goals = [goal for goal in _goals(split, self.max_target) if goal in reached]
            else:
                goals = [
                    goal
                    for goal in _goals(split, self.max_target)
                    if oracle.solvable(numbers, goal)
                ]
            if goals:
                return Problem(numbers, rng.choice(goals))

    # --- text

    def prompt(self, problem: Problem, instruction: str = "think") -> str:
        """The user's text for a problem, e.g. `think : make 24 from 4 6 10 11`."""
        return instructed(problem, instruction)

    def question_of(self, problem: Problem, answer: str) -> tuple[str, str]:
        """What to ask a policy about an answer, and what it must reply if the answer is right: the
        value of the expression, worked out afresh.
        """
        return f"solve : compute {answer}", str(problem.target)

    def verify(self, problem: Problem, response: str, notation: str = "strict") -> Verdict:
        """Check a response: every number exactly once, exact fractions, the target reached.

        Args:
            notation: "strict", or "lenient" for other people's models (o1lib.tasks.notation).
        """
        return verify_response(self, problem, response, notation)

    def verify_answer(self, problem: Problem, expression: str, notation: str = "strict") -> Verdict:
        """Check a bare expression (without the answer tags)."""
        check_notation(notation)
        try:
            if notation == "lenient":
                expression = plain_expression(expression, problem.target)
            parsed = parse_expression(expression)
            used, given = Counter(numbers_of(parsed)), Counter(problem.numbers)
            for number in sorted(used | given):
                if used[number] != given[number]:
                    counts = f"used {used[number]} times, it is given {given[number]} times"
                    reason = f"{_shown(number)} is {counts}".replace(" 1 times", " once")
                    return Verdict(False, reason)
            value = exact_value(parsed)
        except ValueError as error:
            return Verdict(False, str(error))
        if value != problem.target:
            return Verdict(False, f"the answer is {_shown(value)}, not {_shown(problem.target)}")
        return Verdict(True, f"the answer uses every number once and is {_shown(value)}")

    # --- the decision process

    def initial(self, problem: Problem) -> State:
        return problem

    def legal_steps(self, state: State) -> list[Step]:
        """Every legal step, in canonical order, each once."""
        return list(_steps(state.numbers))

    def apply(self, state: State, step: Step) -> State:
        """The state after a step. Raises `ValueError` for a step that is not legal here."""
        if step not in _steps(state.numbers):
            raise ValueError(f"'{step.text}' is not a legal step from {state}")
        return State(step.rest, state.target)

    def parse_step(self, state: State, text: str) -> Step:
        """Read a step from its text (with or without `left ...`). Raises `ValueError` with the
        reason.
        """
        match = _STEP.match(text.strip()) if isinstance(text, str) and len(text) <= 400 else None
        if match is None:
            raise ValueError("a step reads: a op b = c left the numbers")
        left, op, right, result = int(match[1]), match[2], int(match[3]), int(match[4])
        used, available = Counter((left, right)), Counter(state.numbers)
        if used - available:
            raise ValueError(f"{next(iter(used - available))} is not available")
        truth = {step[1]: step[3] for step in oracle.combine(left, right)}
        if op not in truth or (op in "-/" and left < right):
            raise ValueError(f"{left} {op} {right} is not a nonnegative integer")
        if truth[op] != result:
            raise ValueError(f"{left} {op} {right} is {truth[op]}, not {result}")
        rest = tuple(sorted((available - used + Counter((result,))).elements()))
        if match[5] is not None and tuple(sorted(map(int, match[5].split()))) != rest:
            raise ValueError("the numbers left are wrong")
        return Step(max(left, right), op, min(left, right), result, rest)

    def is_solved(self, state: State) -> bool:
        return state.numbers == (state.target,)

    # --- the oracle

    def solvable(self, state: State, integers: bool = True) -> bool:
        """Whether the state can still win; with `integers=False` steps may also be fractions."""
        return oracle.solvable(state.numbers, state.target, integers)

    def solutions(self, state: State) -> Iterator[tuple[Step, ...]]:
        """Every winning sequence of integer steps."""
        for sequence in oracle.solutions(state.numbers, state.target):
            numbers, found = state.numbers, []
            for left, op, right, result in sequence:
                rest = list(numbers)
                rest.remove(left)
                rest.remove(right)
                numbers = tuple(sorted((*rest, result)))
                found.append(Step(left, op, right, result, numbers))
            yield tuple(found)

    def count_solutions(self, state: State) -> int:
        """How many winning sequences of integer steps there are."""
        return oracle.count_solutions(state.numbers, state.target)

    def distance(self, state: State) -> int | None:
        """Steps to the nearest win (every number is used, so all wins are equally far), or None."""
        return len(state.numbers) - 1 if self.solvable(state) else None

    def answer(self, problem: Problem, steps: tuple[Step, ...]) -> str:
        """The answer that a complete sequence of steps spells out."""
        return oracle.expression(
            tuple((s.left, s.op, s.right, s.result) for s in steps), problem.numbers
        )


def _shown(value) -> str:
    """A number for a message, cut when it is absurdly long."""
    text = str(value)
    return text if len(text) <= 24 else text[:20] + "..."


def _input_allowed(split: str, numbers: tuple[int, ...]) -> bool:
    kind = input_class(" ".join(map(str, numbers)))
    allowed = {
        "train": ("train",),
        "val_inputs": ("val",),
        "test_inputs": ("test",),
        "val_targets": ("train", "val"),
    }
    return kind in allowed.get(split, ("train", "val", "test"))


@lru_cache
def _goals(split: str, max_target: int) -> tuple[int, ...]:
    special = {"val_targets": VAL_TARGETS, "test_targets": TEST_TARGETS, "game24": (GAME24,)}
    if split in special:
        return special[split]
    return tuple(goal for goal in range(1, max_target + 1) if goal not in HELD_OUT_TARGETS)


@lru_cache
def _finite_split(
    split: str, n_numbers: int, low: int, high: int, max_target: int
) -> tuple[Problem, ...]:
    integers = split != "game24"  # Game of 24 counts puzzles that need fractions as well
    return tuple(
        Problem(numbers, goal)
        for numbers in combinations_with_replacement(range(low, high + 1), n_numbers)
        if _input_allowed(split, numbers)
        for goal in _goals(split, max_target)
        if oracle.solvable(numbers, goal, integers)
    )
