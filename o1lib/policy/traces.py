"""The trace writer: long chains of thought about Countdown, written from the truth, with six
human-like behaviors.

The goal of a puzzle enters a chain only through arithmetic and through *equality tests between two
lists that stand side by side*: `want 24 4 get 28 20 96 6` lists what a missing part would have to
be, `7 11 get 18 4 77` what two numbers can make. Both are the same skill in the same words,
`results_of(x, y)`, because v + c = g, v - c = g, v * c = g, ... are solved by v in
results_of(g, c). A goal that was never trained on therefore needs no new skill. Three grammars are
kept, so that the comparison in notebook 01 can be redone:

* `dfs`: one step, then every second step, then the values of the last two numbers, next to the goal
  (a depth-first search);
* `blocks`: one step, then for each number kept for last: what the goal wants of the other two, and
  what they give;
* `fan` (the one the checkpoints use): a *pair* is tried with all its results at once, so that what
  is wanted is listed once and tested against all of them. It visits the same tree as `dfs` in a
  fifth of the tokens.

The six behaviors (paper, section 3.3 and Table 1) and their words: problem analysis `use .. for
..`, task decomposition `want`, task completion `get` and `so`, alternative proposal `try`, `join`,
and `want` after a `no`, self-evaluation `no` / `yes` / `dead`, self-correction `wait`.

Used in notebook 01.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from o1lib.policy.lists import LARGEST, equation, first_hit, pairs, results_of, words
from o1lib.policy.mistakes import Mistakes
from o1lib.tasks import oracle
from o1lib.tasks.countdown import Problem

GRAMMARS = ("dfs", "blocks", "fan")

# A piece of a training document: its text, and whether the loss counts it. Prompts and planted
# slips are not counted.
Piece = tuple[str, bool]


@dataclass(frozen=True)
class Style:
    """How a chain is written.

    Args:
        grammar: one of `GRAMMARS`.
        oracle_order: probability that a chain tries the more promising pairs first (alive +
            Gaussian noise); otherwise random.
        slip: probability that a list of values contains a planted slip, which is noticed and
            corrected (self-correction).
        misread: probability that a list that meets nothing (grammars `blocks` and `fan`) is said to
            meet: its steps are worked out honestly, miss the goal, and it is taken back
            (self-correction of a conclusion).
        overlook: probability that a list that meets what is wanted is passed over (grammars
            `blocks` and `fan`). The chain goes on, and where nothing is left it begins again.
        give_up: probability that the writer gives up after an alternative that failed, and answers
            wrongly: a weak demonstrator, of which reinforcement learning can make a better one.
    """

    grammar: str = "fan"
    oracle_order: float = 0.5
    slip: float = 0.003
    misread: float = 0.0
    overlook: float = 0.0
    give_up: float = 0.0

    def __post_init__(self):
        if not 0 <= self.give_up <= 1:
            raise ValueError(f"give_up must be a probability, got {self.give_up}")
        if self.grammar not in GRAMMARS:
            raise ValueError(f"unknown grammar {self.grammar!r}; choose from {', '.join(GRAMMARS)}")


class Writer(Mistakes):
    """Collects the words of one chain; `solved` holds the winning steps once they are found."""

    def __init__(self, problem: Problem, rng: random.Random, style: Style):
        self.problem, self.goal, self.rng, self.style = problem, problem.target, rng, style
        self.pieces: list[Piece] = []
        self.order: list[tuple[int, ...]] = []  # what to try first
        self.solved: list[tuple[int, str, int, int]] | None = None

    def say(self, text: str, counts: bool = True) -> None:
        self.pieces.append((text, counts))

    def get(self, x: int, y: int, wanted: list[int], before=(), kept: int | None = None):
        """Write `x y get ...` up to a value that is wanted; return it (self-evaluation: `yes` or
        `no`), or None.

        Where the number kept for last is given, the list may first be misread; `before` are the
        steps that lead to x and y.
        """
        shown, hit = first_hit(results_of(x, y), wanted)
        if hit is not None and self.overlooks():
            self.pass_over(f"{x} {y} get", results_of(x, y), shown)
            return None
        if hit is None and shown and kept is not None and self.misreads():
            steps = [*before, equation(x, y, shown[-1])]
            self.take_back(f"{x} {y} get {words(shown)}", steps, kept)
        if self.rng.random() < self.style.slip:
            wrong = max(1, shown[-1] + self.rng.choice((-10, -2, -1, 1, 2, 10)))
            if wrong != shown[-1] and wrong not in wanted:
                self.say(f"{x} {y} get {words(shown[:-1])}".rstrip())
                self.say(str(wrong), counts=False)
                self.say("wait")
        self.say(f"{x} {y} get {words(shown)} {'no' if hit is None else 'yes'}")
        return hit

    def blocks(self, numbers: tuple[int, ...], before: list) -> bool:
        """Settle a state of three numbers (or two): for each number kept for last, what is wanted
        and what the others give.
        """
        if len(numbers) == 2:
            self.say(f"want {self.goal} :")
            hit = self.get(*numbers, [self.goal])
            if hit is not None:
                self.solved = [*before, equation(*numbers, hit)]
            return hit is not None
        choices = pairs(numbers)
        self.rng.shuffle(choices)
        for (x, y), (kept,) in self.first(choices, lambda item: item[1]):
            wanted = results_of(self.goal, kept)
            self.say(f"want {self.goal} {kept} get {words(wanted)} :")
            hit = self.get(x, y, wanted, before, kept)
            if hit is not None:
                self.solved = [*before, equation(x, y, hit), equation(hit, kept, self.goal)]
                return True
            if self.gives_up(before, x, y, kept):
                return True
        self.say("dead")
        return False

    def first(self, choices: list, key) -> list:
        """The choices in the order asked for, those not asked for behind."""
        asked = [choice for want in self.order for choice in choices if key(choice) == want]
        return asked + [choice for choice in choices if choice not in asked]

    def promising(self, items: list, rests) -> list:
        """Order alternatives: at random, or the noisy oracle's (one for alive, plus noise of the
        same size).
        """
        self.rng.shuffle(items)
        if self.rng.random() < self.style.oracle_order:
            scores = {}
            for item in items:
                alive = any(oracle.solvable(rest, self.goal) for rest in rests(item))
                scores[item] = alive + self.rng.gauss(0, 1)
            items.sort(key=scores.get, reverse=True)
        return items

    def first_steps(self) -> Iterator[tuple[tuple[int, str, int, int], tuple[int, ...]]]:
        """`try` the single first steps one after the other (grammars `dfs` and `blocks`)."""
        steps = [s for s in oracle.steps(self.problem.numbers) if 0 < s[0][3] <= LARGEST]
        for step, rest in self.promising(steps, lambda item: [item[1]]):
            a, op, b, result = step
            self.say(f"try {a} {op} {b} = {result} rest {words(rest)} for {self.goal}")
            yield step, rest

    def run_blocks(self) -> None:
        for step, rest in self.first_steps():
            if self.blocks(rest, [step]):
                return

    def dfs(self, numbers: tuple[int, ...], before: list) -> bool:
        """Settle a state of three numbers (or two): every step in turn, then what the last two
        numbers give, the goal beside it.
        """
        if len(numbers) == 2:
            shown, hit = first_hit(results_of(*numbers), [self.goal])
            self.say(f"get {words(numbers)} : {words(shown)} for {self.goal}")
            self.say("no" if hit is None else "yes")
            if hit is not None:
                self.solved = [*before, equation(*numbers, hit)]
            return hit is not None
        for step, left in oracle.steps(numbers):
            a, op, b, result = step
            if 0 < result <= LARGEST:
                self.say(f"then {a} {op} {b} = {result}")
                if self.dfs(left, [*before, step]):
                    return True
        self.say("dead")
        return False

    def settle(self, numbers: tuple[int, ...], before: Sequence = ()) -> bool:
        """A state of two or three numbers, after the steps `before`, in the grammar's own way
        (`fan` has none of its own).
        """
        return (self.dfs if self.style.grammar == "dfs" else self.blocks)(numbers, list(before))

    def start(self) -> bool:
        """The whole problem from its beginning."""
        if len(self.problem.numbers) < 4:
            return self.settle(self.problem.numbers)
        getattr(self, f"run_{self.style.grammar}")()
        return self.solved is not None

    def run_dfs(self) -> None:
        for step, rest in self.first_steps():
            if self.dfs(rest, [step]):
                return

    def run_fan(self) -> None:
        joined = set()
        choices = self.promising(pairs(self.problem.numbers), self._fan_states)
        for (a, b), (c, d) in self.first(choices, lambda item: item[0]):
            results = results_of(a, b)
            self.say(f"try {a} {b} get {words(results)} rest {c} {d}")
            for kept, other in ((c, d), (d, c)) if c != d else ((c, d),):
                wanted = results_of(self.goal, kept)
                self.say(f"want {self.goal} {kept} get {words(wanted)} :")
                for result in results:
                    first = equation(a, b, result)
                    hit = self.get(result, other, wanted, [first], kept)
                    if hit is not None:
                        self.solved = [
                            first,
                            equation(result, other, hit),
                            equation(hit, kept, self.goal),
                        ]
                        return
                if self.gives_up([equation(a, b, results[-1])], results[-1], other, kept):
                    return
            if ((c, d), (a, b)) not in joined:
                joined.add(((a, b), (c, d)))
                others = results_of(c, d)
                self.say(f"join {c} {d} get {words(others)} :")
                for result in results:
                    shown, hit = first_hit(results_of(self.goal, result), others)
                    line = f"{self.goal} {result} get {words(shown)}"
                    if hit is not None and self.overlooks():
                        values = results_of(self.goal, result)
                        self.pass_over(f"{self.goal} {result} get", values, shown)
                        continue
                    if hit is None and shown and self.misreads():
                        given = equation(c, d, self.rng.choice(others))
                        self.take_back(line, [equation(a, b, result), given], result)
                    self.say(f"{line} {'no' if hit is None else 'yes'}")
                    if hit is not None:
                        self.solved = [
                            equation(a, b, result),
                            equation(c, d, hit),
                            equation(result, hit, self.goal),
                        ]
                        return
            self.say("dead")

    @staticmethod
    def _fan_states(item) -> list[tuple[int, ...]]:
        (a, b), rest = item
        return [tuple(sorted((*rest, value))) for value in results_of(a, b)]


def think(
    problem: Problem,
    rng: random.Random,
    style: Style = Style(),
    order: Sequence[tuple[int, ...]] = (),
) -> list[Piece] | None:
    """A long chain for a problem of 2 to 4 numbers: `<think> ... </think> <answer> ... </answer>`
    as pieces.

    `order` names what to try first: pairs `(a, b)` of a four-number problem (grammar `fan`), the
    number kept for last `(k,)` of a three-number one. Returns None when the grammar cannot reach
    the goal (unsolvable, or only through zero, fractions or huge values).
    """
    if not 2 <= len(problem.numbers) <= 4:
        raise ValueError(f"chains are written for 2 to 4 numbers, got {len(problem.numbers)}")
    writer = Writer(problem, rng, style)
    writer.order = list(dict.fromkeys(order))
    writer.say(f"<think> use {words(problem.numbers)} for {problem.target}")
    writer.start()
    if writer.solved is None and writer.overlooked:  # nothing is left: look again, with more care
        writer.style = replace(style, overlook=0.0)
        writer.start()
    if writer.solved is None:
        return None
    writer.say(conclusion(problem, writer.solved))
    return writer.pieces


def conclusion(problem: Problem, steps: list[tuple[int, str, int, int]]) -> str:
    """The end of a chain: the winning steps restated, the expression composed from them."""
    return f"{so(steps)} </think> {answer(problem, steps)}"


def so(steps: Sequence[tuple[int, str, int, int]]) -> str:
    """Steps as a chain restates them: `so 7 + 5 = 12 , 12 * 2 = 24`."""
    return "so " + " , ".join(f"{a} {op} {b} = {r}" for a, op, b, r in steps)


def answer(problem: Problem, steps) -> str:
    return f"<answer> {oracle.expression(tuple(steps), problem.numbers)} </answer>"
