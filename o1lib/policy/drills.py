"""Drills: the small skills that chains are made of, each alone and often.

Used by `o1lib.policy.corpus`, and in notebook 01, section 2.
"""

from __future__ import annotations

import random

from o1lib.policy import traces
from o1lib.policy.documents import Document
from o1lib.policy.lists import LARGEST, equation, first_hit, results_of, words
from o1lib.policy.traces import so
from o1lib.tasks import oracle
from o1lib.tasks.base import HELD_OUT_TARGETS
from o1lib.tasks.countdown import Countdown, Problem

TRAINED = tuple(goal for goal in range(1, 101) if goal not in HELD_OUT_TARGETS)
WIDE = tuple(goal for goal in range(1, 1000) if goal not in HELD_OUT_TARGETS)


def _goal(rng: random.Random) -> int:
    """A goal that may be trained, mostly one of a thousand: matching must be cheaper than
    memorizing.
    """
    return rng.choice(WIDE if rng.random() < 0.8 else TRAINED)


def random_number(rng: random.Random) -> int:
    """Mostly small, sometimes large: as the numbers of real chains are."""
    return rng.randint(1, rng.choice((13, 13, 13, 30, 100, 200)))


def lists_part(rng: random.Random, n: int = 8) -> Document:
    """`x y get ...`: what two numbers can make."""
    lines = []
    for _ in range(n):
        x, y = (
            rng.randint(1, rng.choice((13, 50, 100, 200))),
            rng.randint(1, rng.choice((13, 13, 50))),
        )
        if rng.random() < 0.25:
            x *= y  # so that exact division is seen often
        x = min(x, 999)
        lines.append(f"{x} {y} get {words(results_of(x, y))} no")
    return Document(None, [(" ".join(lines), True)])


def even_lists_part(rng: random.Random, n: int = 8) -> Document:
    """`x y get ...` with every first number up to 200 equally often: chains put the goals that are
    trained there again and again, and a list costs a policy what it has not practiced.
    """
    pairs = [(rng.randint(1, 200), rng.randint(1, 13)) for _ in range(n)]
    lines = [f"{x} {y} get {words(results_of(x, y))} no" for x, y in pairs]
    return Document(None, [(" ".join(lines), True)])


def equality_part(rng: random.Random, n: int = 6) -> Document:
    """The equality test alone: what is wanted beside what two numbers give; half of the tests
    succeed, and say by which steps (a small policy's last mistake is `32 - 1 = 33`).
    """
    lines = []
    for _ in range(n):
        goal = _goal(rng)
        x, y = random_number(rng), rng.randint(1, 13)
        kept = rng.randint(1, 13)
        if rng.random() < 0.5:  # a hit: a goal that one of the values and the kept number make
            reached = [g for v in results_of(x, y) for g in results_of(v, kept)]
            goal = _one_of(reached, goal, rng)
        wanted = results_of(goal, kept)
        shown, hit = first_hit(results_of(x, y), wanted)
        lines.append(
            f"want {goal} {kept} get {words(wanted)} : {x} {y} get {words(shown)} "
            + (
                "no"
                if hit is None
                else f"yes {so([equation(x, y, hit), equation(hit, kept, goal)])}"
            )
        )
    return Document(None, [(" ".join(lines), True)])


def _one_of(reached: list[int], goal: int, rng: random.Random) -> int:
    """One of the goals that can be reached and may be trained, else the goal that there was."""
    reached = [g for g in reached if g not in HELD_OUT_TARGETS]
    return rng.choice(reached) if reached else goal


def dfs_test_part(rng: random.Random, n: int = 6) -> Document:
    """The equality test of the grammar `dfs`: what two numbers give beside the goal; half of the
    tests succeed.
    """
    lines = []
    for _ in range(n):
        goal = _goal(rng)
        x, y = random_number(rng), rng.randint(1, 13)
        if rng.random() < 0.5:
            goal = _one_of(results_of(x, y), goal, rng)
        shown, hit = first_hit(results_of(x, y), [goal])
        lines.append(f"get {x} {y} : {words(shown)} for {goal} {'no' if hit is None else 'yes'}")
    return Document(None, [(" ".join(lines), True)])


def joins_part(rng: random.Random, n: int = 6) -> Document:
    """The other equality test: what two numbers give beside what a result wants; half of the tests
    succeed, and say by which steps.
    """
    lines = []
    for _ in range(n):
        goal = _goal(rng)
        c, d, result = rng.randint(1, 13), rng.randint(1, 13), random_number(rng)
        others = results_of(c, d)
        if rng.random() < 0.5:
            goal = _one_of([g for v in others for g in results_of(v, result)], goal, rng)
        shown, hit = first_hit(results_of(goal, result), others)
        verdict = "no"
        if hit is not None:
            verdict = f"yes {so([equation(c, d, hit), equation(result, hit, goal)])}"
        lines.append(
            f"join {c} {d} get {words(others)} : {goal} {result} get {words(shown)} {verdict}"
        )
    return Document(None, [(" ".join(lines), True)])


def compose_part(rng: random.Random) -> Document:
    """From steps to the expression they spell: the end of a chain."""
    while True:
        numbers = tuple(sorted(random_number(rng) for _ in range(rng.choice((3, 4, 4)))))
        state, steps = numbers, []
        while len(state) > 1:
            choices = [(s, rest) for s, rest in oracle.steps(state) if 0 < s[3] <= LARGEST]
            step, state = rng.choice(choices)
            steps.append(step)
        if state[0] not in HELD_OUT_TARGETS:
            return Document(None, [(traces.conclusion(Problem(numbers, state[0]), steps), True)])


def links_part(rng: random.Random, n: int = 8) -> Document:
    """Which operation takes two numbers to a result: `x op y = z`."""
    lines = []
    while len(lines) < n:
        x, y = random_number(rng), rng.randint(1, 13)
        results = results_of(x, y)
        a, op, b, r = equation(x, y, rng.choice(results))
        lines.append(f"{x} {y} has {r} so {a} {op} {b} = {r}")
    return Document(None, [(" ".join(lines), True)])


def equations_part(rng: random.Random, n: int = 8) -> Document:
    """Single equations, also with numbers that are rare in chains: `98 + 35 = 133 ;`."""
    lines = []
    for _ in range(n):
        x, y = random_number(rng), random_number(rng)
        a, op, b, r = equation(x, y, rng.choice(results_of(x, y)))
        if op in "+*" and rng.random() < 0.5:
            a, b = b, a
        lines.append(f"{a} {op} {b} = {r} ;")
    return Document(None, [(" ".join(lines), True)])


def steps_part(rng: random.Random, n: int = 4) -> Document:
    """Single legal steps and the numbers that they leave."""
    lines = []
    for _ in range(n):
        numbers = tuple(sorted(random_number(rng) for _ in range(rng.choice((2, 3, 4)))))
        step = rng.choice(Countdown().legal_steps(Problem(numbers, 1)))
        lines.append(f"use {words(numbers)} : {step.text} ;")
    return Document(None, [(" ".join(lines), True)])
