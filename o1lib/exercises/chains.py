"""Exercises about the two skills of a chain: lists of values, and the equality test."""

from __future__ import annotations

from fractions import Fraction

from o1lib.exercises.check import Exercise, Mistake
from o1lib.policy import traces

# --- what two numbers can make


def _by_trying(x, y):
    """Every operation in both directions, with exact fractions; whole numbers to 999 stay."""
    a, b, found = Fraction(x), Fraction(y), []
    for value in (a + b, b + a, a - b, b - a, a * b, b * a, a / b, b / a):
        if value.denominator == 1 and 0 < value <= traces.LARGEST and int(value) not in found:
            found.append(int(value))
    return found


def _made(signed=False, largest=traces.LARGEST, zeros=False, repeats=False, share="exact"):
    """A way to write it: what becomes of `x - y`, large values, zeros, repeats and fractions."""

    def made(x, y):
        a, b = max(x, y), min(x, y)
        shared = {
            "exact": [a // b] if a % b == 0 else [],
            "rounded down": [a // b],
            "fractions": [a / b],
            "as given": [x // y] if x % y == 0 else [],
            "never": [],
        }[share]
        found = []
        for value in (a + b, x - y if signed else a - b, a * b, *shared):
            if value <= largest and (value or zeros) and (repeats or value not in found):
                found.append(value)
        return found

    return made


results_of = Exercise(
    "results_of",
    ((3, 7), (8, 4), (4, 2), (6, 6), (2, 9), (1, 5), (40, 30), (12, 84), (999, 1)),
    _by_trying,
    (
        Mistake(
            "negative differences",
            "`x - y` depends on which number comes first. Chains know no negative numbers: "
            "take the smaller from the larger.",
            (
                _made(signed=True),
                lambda x, y: [v for v in _made(signed=True)(x, y) if v > 0],
            ),
        ),
        Mistake(
            "division one way only",
            "you divide `x` by `y` only. When `y` is the larger number, `y / x` may work out.",
            (_made(share="as given"),),
        ),
        Mistake(
            "rounded division",
            "`//` rounds down, so you offer a value that nobody can make. A division counts only "
            "if nothing is left over: look at `%` first.",
            (_made(share="rounded down"),),
        ),
        Mistake(
            "fractions",
            "your list holds fractions. The chains of the corpus know whole numbers only.",
            (_made(share="fractions"),),
        ),
        Mistake(
            "no division",
            "the division is missing.",
            (_made(share="never"),),
        ),
        Mistake(
            "repeats",
            "a value occurs twice. Keep the first and leave out the second, since it could not "
            "win anything new.",
            (_made(repeats=True),),
        ),
        Mistake(
            "zeros",
            "there is a zero in your list. It wins nothing, so chains leave it out.",
            (_made(zeros=True),),
        ),
        Mistake(
            "too large",
            f"values above {traces.LARGEST} are left out: they are no single word, and win nothing "
            "here.",
            (_made(largest=10**9),),
        ),
        Mistake(
            "sorted",
            "the values are right, but their order is not that of the corpus: first +, then -, *, "
            "/. A set or `sorted` forgets it.",
            (
                lambda x, y: sorted(_by_trying(x, y)),
                lambda x, y: sorted(_by_trying(x, y), reverse=True),
                lambda x, y: list(set(_by_trying(x, y))),
            ),
        ),
    ),
    "finds what trying every operation finds, in the order of the corpus, for nine pairs",
)

# --- the equality test


def _shortest(wanted, made):
    """The shortest beginning of `made` that shares a value with `wanted`, with `yes`; else all."""
    for end in range(len(made) + 1):
        if set(made[:end]) & set(wanted):
            return [*made[:end], "yes"]
    return [*made, "no"]


def _cut(where, hit="yes", miss="no"):
    """Write `made` up to the index that `where` gives (None: no hit)."""

    def written(wanted, made):
        end = where(wanted, made)
        return [*made, miss] if end is None else [*made[: end + 1], hit]

    return written


def _first(wanted, made):
    return next((i for i, value in enumerate(made) if value in wanted), None)


def _last(wanted, made):
    return next((i for i in reversed(range(len(made))) if made[i] in wanted), None)


def _first_wanted(wanted, made):
    return next((made.index(value) for value in wanted if value in made), None)


def _same_place(wanted, made):
    return next((i for i, (w, m) in enumerate(zip(wanted, made, strict=False)) if w == m), None)


def _one_look(wanted, made):
    return ([made[0], "yes"] if made[0] in wanted else [made[0], "no"]) if made else ["no"]


equality_test = Exercise(
    "equality_test",
    (
        ([31, 21, 130], [10, 4, 21]),
        ([31, 21, 130], [12, 2, 35]),
        ([9, 3, 18, 2], [11, 7, 18]),
        ([28, 20, 96, 6], [20, 4, 96, 6]),
        ([5, 8, 12], [12, 40, 8, 5]),
        ([7], [7, 3, 10]),
        ([10], [2, 5]),
        ([30, 3], [30, 1, 3]),
    ),
    _shortest,
    (
        Mistake(
            "does not stop",
            "after a hit you go on writing. Everything behind the first hit is wasted tokens, and "
            "the policy should learn to stop there.",
            (lambda wanted, made: [*made, "yes" if set(wanted) & set(made) else "no"],),
        ),
        Mistake(
            "the hit is missing",
            "you stop one value too early: the value that was wanted must be written, right before "
            "`yes`.",
            (lambda w, m: [*m, "no"] if _first(w, m) is None else [*m[: _first(w, m)], "yes"],),
        ),
        Mistake(
            "last hit",
            "when two values are wanted you stop at the last of them. Stop at the first.",
            (_cut(_last),),
        ),
        Mistake(
            "order of the wanted list",
            "you walk through the *wanted* list and stop at its first value that was made. The "
            "chain is writing the made list: the first of *that* which is wanted ends it.",
            (_cut(_first_wanted),),
        ),
        Mistake(
            "one look",
            "you decide after the first value: a `return` in an `else` inside the loop ends it. "
            "`no` is only known when all values have been looked at.",
            (_one_look,),
        ),
        Mistake(
            "same place",
            "you compare the lists place by place. A hit may stand anywhere in the wanted list.",
            (_cut(_same_place),),
        ),
        Mistake(
            "yes and no exchanged",
            "`yes` and `no` are exchanged: a value that is wanted means `yes`.",
            (_cut(_first, "no", "yes"),),
        ),
        Mistake(
            "only the hit",
            "you write only the value that hits; the chain writes all values up to it.",
            (
                lambda w, m: [*m, "no"] if _first(w, m) is None else [m[_first(w, m)], "yes"],
                lambda w, m: ["no"] if _first(w, m) is None else [m[_first(w, m)], "yes"],
            ),
        ),
        Mistake(
            "no verdict",
            "the verdict is missing: your list must end in `yes` or `no`.",
            (lambda wanted, made: _shortest(wanted, made)[:-1],),
        ),
        Mistake(
            "only the verdict",
            "you give back the verdict alone, without the values before it.",
            (
                lambda wanted, made: _shortest(wanted, made)[-1],
                lambda wanted, made: [_shortest(wanted, made)[-1]],
                lambda wanted, made: _shortest(wanted, made)[-1] == "yes",
            ),
        ),
    ),
    "stops where the shortest beginning with a hit ends, on eight pairs of lists",
)
