"""The oracle against an independent brute force over all expression trees, in exact fractions."""

from fractions import Fraction
from itertools import combinations_with_replacement, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.tasks import Countdown, oracle

numbers = st.lists(st.integers(1, 13), min_size=2, max_size=4)


def brute_force(values: list, integers: bool) -> set:
    """Every value of every way to combine two of the numbers, again and again. Shares no code with
    the library.
    """
    if len(values) == 1:
        return {values[0]}
    found = set()
    for i, j in permutations(range(len(values)), 2):
        rest = [v for k, v in enumerate(values) if k not in (i, j)]
        a, b = values[i], values[j]
        results = [a + b, a * b, a - b]
        if b != 0:
            results.append(Fraction(a) / Fraction(b))
        for r in results:
            if integers and (r < 0 or Fraction(r).denominator != 1):
                continue
            found |= brute_force([*rest, Fraction(r)], integers)
    return found


@given(numbers)
@settings(max_examples=40, deadline=None)
def test_integer_values_equal_brute_force(values):
    assert oracle.reachable(tuple(sorted(values))) == {int(v) for v in brute_force(values, True)}


@given(st.lists(st.integers(1, 13), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_solvable_equals_brute_force(values):
    key = tuple(sorted(values))
    for integers in (True, False):
        truth = brute_force(values, integers)
        for target in (1, 2, 3, 5, 7, 12, 18, 24, 36, 83, 100):
            assert oracle.solvable(key, target, integers) == (target in truth), (
                key,
                target,
                integers,
            )


def test_game_of_24_counts():
    multisets = list(combinations_with_replacement(range(1, 14), 4))
    assert sum(oracle.solvable(m, 24, integers=False) for m in multisets) == 1362
    assert sum(oracle.solvable(m, 24) for m in multisets) == 1346
    assert len(Countdown(4).problems("game24")) == 1362


@given(st.lists(st.integers(1, 13), min_size=2, max_size=3), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_solutions_are_complete_and_right(values, target):
    task = Countdown()
    problem = task.problem(values, target)
    found = list(task.solutions(problem))
    assert len(found) == len(set(found)) == task.count_solutions(problem)
    assert bool(found) == task.solvable(problem)
    for steps in found:
        state = problem
        for step in steps:
            state = task.apply(state, step)
        assert task.is_solved(state)
        assert task.verify_answer(problem, task.answer(problem, steps))


def test_three_number_tree_is_small():
    task = Countdown(3)

    def nodes(state):
        return 1 + sum(nodes(task.apply(state, step)) for step in task.legal_steps(state))

    sizes = [nodes(p) for p in task.problems("val_inputs", 40)]
    assert max(sizes) <= 1 + 12 + 12 * 4  # at most 4 steps a pair: 3 pairs, then 1


@pytest.mark.parametrize("n", [5, 6])
def test_hard_rungs_are_solvable_and_certified(n):
    task = Countdown(n)
    for problem in task.problems("val_targets", 3):
        steps = next(task.solutions(problem))
        assert task.verify_answer(problem, task.answer(problem, steps))
        assert task.distance(problem) == n - 1
