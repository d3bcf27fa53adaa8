"""Behaviors at the right moment: an alternative that is dead should be left, one that is alive
should not (paper, section 3.3). Which is which follows from trying everything.

An alternative is what a chain tries as a whole and then settles: in a problem of three numbers one
number kept for last (`want`), in one of four a pair with all its results (`try`).

Used in notebook 01.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from o1lib.policy.lists import pairs, results_of
from o1lib.tasks.countdown import Problem

# What a chain does with an alternative. Found: it says `yes` and concludes. Left: it goes on to the
# next, or says `dead`. Gave up: it concludes without a `yes`. Cut: the text ends before that.
DOES = ("left", "found", "gave up", "cut")

# How an alternative opens, by the count of numbers: the pair that it uses first.
_OPENERS = {3: "want", 4: "try"}
_PAIR = {
    3: re.compile(r"want [0-9]+ [0-9]+ get(?: [0-9]+)* : ([0-9]{1,12}) ([0-9]{1,12}) get\b"),
    4: re.compile(r"try ([0-9]{1,12}) ([0-9]{1,12}) get\b"),
}
_GAVE_UP = re.compile(r"(?<!\S)no so(?!\S)")
_ENDS = re.compile(r"(\S+) so(?!\S)")


@dataclass(frozen=True)
class Moment:
    """One alternative of a chain: whether the goal could be reached from it, and what the chain did
    (one of `DOES`).
    """

    alive: bool
    does: str

    @property
    def right(self) -> bool:
        return self.does == ("found" if self.alive else "left")


def moments(problem: Problem, text: str) -> Iterator[Moment]:
    """The alternatives of a chain in the grammar `fan`, in order; what is no pair of the problem's
    numbers is passed over.

    Raises `ValueError` for a problem that has not three or four numbers.
    """
    count = len(problem.numbers)
    if count not in _OPENERS:
        raise ValueError(f"alternatives are read for 3 or 4 numbers, not for {count}")
    thinking = text.split("</think>")[0]
    blocks = re.split(rf"(?<!\S)(?={_OPENERS[count]}(?!\S))", thinking)[1:]
    for index, block in enumerate(blocks):
        pair = _PAIR[count].match(block)
        if pair is None:
            continue
        x, y = map(int, pair.groups())
        if not Counter((x, y)) - Counter(problem.numbers):
            yield Moment(alive(problem, x, y), _does(block, index + 1 < len(blocks)))


def alive(problem: Problem, x: int, y: int) -> bool:
    """Whether the goal can be reached when x and y are used first, by values that chains follow: no
    zero, none above `LARGEST`.
    """
    rest = list(problem.numbers)
    rest.remove(x)
    rest.remove(y)
    return any(_reaches(tuple(sorted((*rest, v))), problem.target) for v in results_of(x, y))


@lru_cache(maxsize=100_000)
def _reaches(numbers: tuple[int, ...], goal: int) -> bool:
    if len(numbers) == 1:
        return numbers[0] == goal
    return any(
        _reaches(tuple(sorted((*rest, value))), goal)
        for pair, rest in pairs(numbers)
        for value in results_of(*pair)
    )


def _does(block: str, goes_on: bool) -> str:
    if concluded := _ENDS.search(block):
        return "found" if concluded[1] == "yes" else "gave up"
    return "left" if goes_on or "dead" in block.split() else "cut"


def reopened(text: str) -> str | None:
    """A chain of three numbers that gave up, cut after its failure and made to propose one more
    alternative; None for one that did not give up.
    """
    found = _GAVE_UP.search(text)
    return f"{text[: found.start()]}no want" if found else None


def at_the_right_moment(
    problems: Sequence[Problem], texts: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """Of the dead alternatives, how many were left; of those alive, in how many the chain found the
    end: (right, all) of each.
    """
    found = [m for p, text in zip(problems, texts, strict=True) for m in moments(p, text)]
    kinds = {"dead, left": False, "alive, found": True}
    some = {name: [m for m in found if m.alive == kind] for name, kind in kinds.items()}
    return {name: (sum(m.right for m in group), len(group)) for name, group in some.items()}
