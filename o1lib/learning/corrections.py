"""Corrections of failed chains: what should have been written where the policy went wrong (DAgger).

The exact writer rewrites a chain *in the policy's own order of tries*, so it agrees with the chain
up to its first mistake. Then one of two things follows:

* a false `yes`, or a wrong last equation, is let stand (the loss does not count it), its
  consequence is worked out honestly, and the chain says `wait` and mends it: the policy is taught
  to notice its own mistakes;
* any other mistake is replaced by what is right.

Source: Ross et al. (2011), arXiv 1011.0686 (DAgger); POLICY: "cut failed chains and let the exact
searcher finish them". Used in notebook 04.
"""

from __future__ import annotations

import random
import re

from o1lib.policy.traces import Piece, Style, think
from o1lib.tasks import oracle
from o1lib.tasks.countdown import Problem

_TRIES = re.compile(r"(?<!\S)(?:try ([0-9]{1,9}) ([0-9]{1,9})|want [0-9]{1,9} ([0-9]{1,9}))(?!\S)")
_EQUATION = re.compile(r"([0-9]{1,9}) ([-+*/]) ([0-9]{1,9}) = ([0-9]{1,9})")


def corrected(problem: Problem, chain: str, rng: random.Random) -> list[Piece] | None:
    """A failed chain of grammar `fan` as it should have been; None where the grammar cannot reach
    the goal.
    """
    four = len(problem.numbers) == 4
    tries = _TRIES.findall(chain)
    order = (
        [(int(a), int(b)) for a, b, _ in tries if a]
        if four
        else [(int(k),) for *_, k in tries if k]
    )
    pieces = think(problem, rng, Style(slip=0.0), order)
    if pieces is None:
        return None
    right, written = " ".join(text for text, _ in pieces).split(), chain.split()
    at = next((i for i, (a, b) in enumerate(zip(right, written, strict=False)) if a != b), None)
    if at is None:
        return pieces
    opened = _last(right[:at], "so")
    if written[at] == "yes":  # a list that meets nothing, or not yet
        start = _line_start(right, at)
        detour = _detour(problem, right, at, "yes so", written[at + 2 :], right[start:])
    elif opened is not None:  # the conclusion: its present equation begins after the last comma
        begin = max(opened, _last(right[:at], ",") or 0) + 1
        detour = _detour(problem, right, begin, "", written[begin:], right[opened:])
    else:
        detour = None
    return detour or pieces


def _detour(
    problem: Problem, right: list[str], at: int, opening: str, said: list[str], rest: list[str]
) -> list[Piece] | None:
    """The chain up to `at`, the policy's own equations with honest results up to the first that it
    got wrong or the last, `wait`, and the rest. None when there is no equation to be read, or
    nothing is wrong with them.
    """
    pieces: list[Piece] = [(" ".join(right[:at]), True)]
    if opening:
        pieces.append((opening, False))
    separator, truth = "", None
    for claim in " ".join(said).split("</think>")[0].split(" , "):
        match = _EQUATION.match(claim.strip())
        value = match and _value(int(match[1]), match[2], int(match[3]))
        if value is None:
            break
        truth = value
        pieces.append((f"{separator}{match[1]} {match[2]} {match[3]} =", False))
        pieces.append((str(truth), True))
        separator = ", "
        if truth != int(match[4]):
            break
    if truth is None or truth == problem.target:
        return None
    return [*pieces, (f"wait {' '.join(rest)}", True)]


def _value(a: int, op: str, b: int) -> int | None:
    """The result of a legal step, else None."""
    return next((r for x, o, y, r in oracle.combine(a, b) if (x, o) == (a, op) and y == b), None)


def _last(words: list[str], word: str) -> int | None:
    return len(words) - 1 - words[::-1].index(word) if word in words else None


def _line_start(words: list[str], at: int) -> int:
    """Where the line `x y get ...` begins that holds position `at`."""
    return (_last(words[:at], "get") or 2) - 2
