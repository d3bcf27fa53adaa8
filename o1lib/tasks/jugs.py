"""Jugs: measure an amount of water with two or three jugs, by filling, emptying and pouring.

Nothing is ever lost: the jugs can be emptied and one can begin again. But a chain can take detours
and go round in circles, which neither of the other worlds shows. A *state* is the capacities, the
goal and the amounts; a *step* changes the amounts (what would change nothing is no step); as soon
as some jug holds the goal, the episode ends. The jugs are called a, b and c, so that two of one
size stay apart.

    make 4 in jugs 3 5                      all jugs are empty
    make 4 in jugs 3 5 left 0 5             a holds 0, b holds 5
    fill b left 0 5 ; pour b to a left 3 2 ; empty a left 0 2       steps, with what they leave
    fill b , pour b to a , empty a                                  an answer: the actions

What is held out is the *input class*: the sorted capacities. A goal is never held out by itself (it
is 13 at most, and no held-out goal of Countdown is that small). 6 and 10 make what 3 and 5 make,
twice as large, and may lie in another class.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

from o1lib.tasks import base, jugs_oracle
from o1lib.tasks.base import Verdict
from o1lib.tasks.expression import verify_response
from o1lib.tasks.jugs_oracle import NAMES
from o1lib.tasks.notation import check_answer, check_notation

LARGEST = 13  # the largest capacity
_ACTION = re.compile(r"(fill|empty) ([abc])\Z|(pour) ([abc]) to ([abc])\Z")
_STEP = re.compile(r"([a-z ]{6,11}?)(?: left ([0-9]{1,2}(?: [0-9]{1,2}){1,2}))?\Z")


@dataclass(frozen=True)
class JugProblem:
    """Capacities, the goal, and what the jugs hold. It is its own initial state."""

    capacities: tuple[int, ...]
    goal: int
    amounts: tuple[int, ...]

    def __str__(self) -> str:
        holding = f" left {_spaced(self.amounts)}" if any(self.amounts) else ""
        return f"make {self.goal} in jugs {_spaced(self.capacities)}{holding}"


@dataclass(frozen=True)
class JugStep:
    """An action, and the amounts after it."""

    action: str
    amounts: tuple[int, ...]

    @property
    def text(self) -> str:
        """The one canonical text of the step."""
        return f"{self.action} left {_spaced(self.amounts)}"


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


@lru_cache(maxsize=1 << 16)
def _steps(capacities: tuple[int, ...], amounts: tuple[int, ...]) -> tuple[JugStep, ...]:
    """The steps that change something; searches ask for those of one state several times."""
    return tuple(JugStep(*step) for step in jugs_oracle.steps(capacities, amounts))


class Jugs:
    """The Jugs task.

    Args:
        n_jugs: how many jugs a sampled problem has (2 or 3).
        high: the largest capacity of sampled problems (3 to 13).
        least: how many steps a sampled problem takes at least (2: no single fill solves it).
    """

    def __init__(self, n_jugs: int = 2, high: int = LARGEST, least: int = 2):
        base.require_range("n_jugs", n_jugs, 2, len(NAMES))
        base.require_range("high", high, 3, LARGEST)
        base.require_range("least", least, 1, 6)
        self.n_jugs, self.high, self.least = n_jugs, high, least
        if not any(self._goals(capacities) for capacities in self._capacities("train")):
            raise ValueError(f"no problem with jugs up to {high} takes {least} steps")

    def __repr__(self) -> str:
        return f"Jugs(n_jugs={self.n_jugs}, high={self.high}, least={self.least})"

    # --- problems

    def problem(self, capacities, goal: int, amounts=None) -> JugProblem:
        """A problem of one's own; empty jugs are sorted, jugs that hold something stay in order.

        Raises `ValueError` with the reason when it is malformed or solved already.
        """
        for name, values in (("capacities", capacities), ("amounts", amounts)):
            if not isinstance(values, (list, tuple)) and not (name == "amounts" and values is None):
                raise ValueError(f"{name} must be a list of integers, got {values!r:.60}")
        if not 2 <= len(capacities) <= len(NAMES):
            raise ValueError(f"a problem has 2 or 3 jugs, got {len(capacities)}")
        for capacity in capacities:
            base.require_range("every capacity", capacity, 1, LARGEST)
        base.require_range("goal", goal, 1, max(capacities))
        if amounts is None or not any(amounts):
            capacities = tuple(sorted(capacities))
        amounts = tuple(amounts) if amounts is not None else (0,) * len(capacities)
        if len(amounts) != len(capacities):
            raise ValueError(f"{len(capacities)} jugs need as many amounts, got {len(amounts)}")
        for capacity, amount in zip(capacities, amounts, strict=True):
            base.require_range(f"what a jug of {capacity} holds", amount, 0, capacity)
        if goal in amounts:
            raise ValueError(f"a jug holds {goal} already")
        return JugProblem(tuple(capacities), goal, amounts)

    def problems(self, split: str, n: int | None = None, seed: int = 0) -> list[JugProblem]:
        """`n` solvable problems of the split `train`, `val_inputs` or `test_inputs`, from empty
        jugs; the first k of n are those of k.

        `train` draws with replacement from an endless stream. The others are finite: they are
        listed, shuffled by the seed and cut to `n` (None: all of them).
        """
        kind = base.input_split(self, split)
        base.require_count(n)
        if split == "train":
            if n is None:
                raise ValueError("the training split is endless: say how many problems")
            return [self.train_problem(index, seed) for index in range(n)]
        found = [
            self.problem(capacities, goal)
            for capacities in self._capacities(kind)
            for goal in self._goals(capacities)
        ]
        random.Random(f"{split} {seed}").shuffle(found)
        return found[:n]

    def train_problem(self, index: int, seed: int = 0) -> JugProblem:
        """Training problem number `index` of a seed: train-class jugs, then one of the goals that
        they can measure.
        """
        rng = random.Random(f"train {self!r} {seed} {index}")
        while True:
            capacities = tuple(sorted(rng.randint(1, self.high) for _ in range(self.n_jugs)))
            if base.input_class(_spaced(capacities)) == "train":
                goals = self._goals(capacities)
                if goals:
                    return self.problem(capacities, rng.choice(goals))

    def _capacities(self, kind: str) -> Iterator[tuple[int, ...]]:
        for capacities in combinations_with_replacement(range(1, self.high + 1), self.n_jugs):
            if base.input_class(_spaced(capacities)) == kind:
                yield capacities

    def _goals(self, capacities: tuple[int, ...]) -> list[int]:
        return sorted(
            g for g, steps in jugs_oracle.from_empty(capacities).items() if steps >= self.least
        )

    # --- text

    def prompt(self, problem: JugProblem, instruction: str = "solve") -> str:
        """The user's text for a problem, e.g. `solve : make 4 in jugs 3 5`."""
        return base.instructed(problem, instruction)

    def verify(self, problem: JugProblem, response: str, notation: str = "strict") -> Verdict:
        """Check a response: its answer is the actions, parted by commas, up to the goal.

        Args:
            notation: "strict", or "lenient": any white space, and capital letters.
        """
        return verify_response(self, problem, response, notation)

    def verify_answer(self, problem: JugProblem, answer: str, notation: str = "strict") -> Verdict:
        """Check the actions of an answer (without the tags): each is simulated."""
        check_notation(notation)
        try:
            check_answer(answer)
            if notation == "lenient":
                answer = " ".join(answer.lower().split())
            if not answer.strip(" "):
                raise ValueError("the answer is empty")
            state = self.initial(problem)
            for number, action in enumerate(answer.split(","), 1):
                if self.is_solved(state):
                    raise ValueError(f"the answer goes on after a jug holds {problem.goal}")
                words = " ".join(word for word in action.split(" ") if word)
                try:
                    state = self.apply(state, self._step(state, words))
                except ValueError as error:
                    raise ValueError(f"action {number}: {error}") from error
        except ValueError as error:
            return Verdict(False, str(error))
        if not self.is_solved(state):
            holding = _spaced(state.amounts)
            return Verdict(False, f"no jug holds {problem.goal} at the end: they hold {holding}")
        return Verdict(True, f"a jug holds {problem.goal} at the end")

    # --- the decision process

    def initial(self, problem: JugProblem) -> JugProblem:
        return problem

    def legal_steps(self, state: JugProblem) -> list[JugStep]:
        """Every step that changes something, in canonical order; none when the goal is reached."""
        if self.is_solved(state):
            return []
        return list(_steps(state.capacities, state.amounts))

    def apply(self, state: JugProblem, step: JugStep) -> JugProblem:
        """The state after a step. Raises `ValueError` for a step that is not legal here."""
        if self.is_solved(state) or step not in _steps(state.capacities, state.amounts):
            raise ValueError(f"'{step.text}' is not a legal step from {state}")
        return JugProblem(state.capacities, state.goal, step.amounts)

    def parse_step(self, state: JugProblem, text: str) -> JugStep:
        """Read a step from its text (with or without `left ...`). Raises `ValueError` with the
        reason.
        """
        match = _STEP.match(text.strip(" ")) if isinstance(text, str) and len(text) < 400 else None
        if match is None:
            raise ValueError("a step reads: fill a, empty a or pour a to b, then left the amounts")
        step = self._step(state, match[1])
        if match[2] is not None and match[2] != _spaced(step.amounts):
            raise ValueError(f"after {step.action} the jugs hold {_spaced(step.amounts)}")
        return step

    def _step(self, state: JugProblem, action: str) -> JugStep:
        """The step of an action. Raises `ValueError` with what hinders it."""
        match = _ACTION.match(action)
        if match is None:
            raise ValueError("an action reads: fill a, empty a or pour a to b")
        used = match[2] or f"{match[4]}{match[5]}"
        for name in used:
            if name not in NAMES[: len(state.capacities)]:
                raise ValueError(f"there is no jug {name}")
        for step in self.legal_steps(state):
            if step.action == action:
                return step
        if self.is_solved(state):
            raise ValueError(f"a jug holds {state.goal} already")
        raise ValueError(f"{action} changes nothing when the jugs hold {_spaced(state.amounts)}")

    def is_solved(self, state: JugProblem) -> bool:
        return state.goal in state.amounts

    def answer(self, problem: JugProblem, steps: Sequence[JugStep]) -> str:
        """The actions of a sequence of steps."""
        return " , ".join(step.action for step in steps)

    # --- the oracle

    def solvable(self, state: JugProblem) -> bool:
        """Whether the goal can be measured at all from here."""
        return state.amounts in jugs_oracle.to_goal(state.capacities, state.goal)

    def distance(self, state: JugProblem) -> int | None:
        """The smallest number of steps to the goal, by breadth-first search; None without a way."""
        return jugs_oracle.to_goal(state.capacities, state.goal).get(state.amounts, (None, 0))[0]

    def count_solutions(self, state: JugProblem) -> int:
        """How many shortest solutions there are (longer ones are without number)."""
        return jugs_oracle.to_goal(state.capacities, state.goal).get(state.amounts, (None, 0))[1]

    def solutions(self, state: JugProblem) -> Iterator[tuple[JugStep, ...]]:
        """Every shortest solution."""
        if self.is_solved(state):
            yield ()
            return
        distance = self.distance(state)
        for step in self.legal_steps(state) if distance is not None else ():
            after = self.apply(state, step)
            if self.distance(after) == distance - 1:
                for rest in self.solutions(after):
                    yield (step, *rest)

    def solution_text(self, problem: JugProblem) -> str:
        """A shortest chain with its answer."""
        return _solution_text(problem)


@lru_cache(maxsize=1 << 13)
def _solution_text(problem: JugProblem) -> str:
    """Of few problems a trainer asks for many chains, and three jugs have many states."""
    task = Jugs()
    return base.straight_chain(task, problem, next(task.solutions(problem)))
