"""Behaviors at the right moment, against brute force over all orders and operations."""

import random
from fractions import Fraction
from itertools import permutations

import pytest

from o1lib.policy.moments import Moment, alive, at_the_right_moment, moments, reopened
from o1lib.policy.traces import Style, think
from o1lib.tasks import Countdown


def chain(problem, seed, **style):
    pieces = think(problem, random.Random(seed), Style(slip=0, **style))
    return " ".join(text for text, _ in pieces or [])


def makes(numbers, goal):
    """Whether whole numbers from 1 to 999 lead to the goal, by brute force: every ordered pair,
    every operation.
    """
    if len(numbers) == 1:
        return numbers[0] == goal
    return any(
        makes([*rest, value], goal)
        for a, b, *rest in permutations(numbers)
        for value in (a + b, a * b, a - b, Fraction(a) / b)
        if value == int(value) and 0 < value < 1000
    )


def first_makes(problem, x, y):
    rest = list(problem.numbers)
    rest.remove(x)
    rest.remove(y)
    values = (x + y, x * y, abs(x - y), Fraction(max(x, y), min(x, y)))
    return any(makes([*rest, v], problem.target) for v in values if v and v == int(v))


@pytest.mark.parametrize("n", [3, 4])
def test_alive_is_what_brute_force_says(n):
    task, seen = Countdown(n), set()
    for i in range(30 if n == 3 else 3):
        problem = task.train_problem(i)
        for x, y, *_ in set(permutations(problem.numbers)):
            seen.add(alive(problem, x, y))
            assert alive(problem, x, y) == first_makes(problem, x, y), (problem, x, y)
    assert seen == {True, False}


@pytest.mark.parametrize("n", [3, 4])
def test_the_exact_writer_is_always_right(n):
    """It leaves every dead alternative and ends in the first that is alive."""
    task, dead = Countdown(n), 0
    for i in range(100):
        problem = task.train_problem(i)
        if not (text := chain(problem, i)):
            continue
        found = list(moments(problem, text))
        assert found[-1] == Moment(True, "found"), text
        assert found[:-1] == [Moment(False, "left")] * (len(found) - 1), text
        dead += len(found) - 1
    assert dead > 30


@pytest.mark.parametrize("n", [3, 4])
def test_a_demonstrator_that_always_gives_up(n):
    task, gave_up = Countdown(n), 0
    for i in range(100):
        problem = task.train_problem(i)
        if text := chain(problem, i, give_up=1.0):
            last = list(moments(problem, text))[-1]
            gave_up += last.does == "gave up"
            assert last.does == ("found" if " yes so " in text else "gave up")
            assert (last.does == "found") == task.verify(problem, text).correct
    assert gave_up > 20


def test_each_kind():
    """26 from 3 5 7: only 7 * 3 + 5 and 7 * 5 - ... reach it, so 5 kept for last is alive."""
    problem = Countdown(3).problem([3, 5, 7], 26)
    assert [alive(problem, *pair) for pair in ((3, 5), (3, 7), (5, 7))] == [False, True, False]
    dead = "want 26 7 get 33 19 182 : 3 5 get 8 2 15 no"
    live = "want 26 5 get 31 21 130 : 3 7 get 10 4 21"
    use, so = "<think> use 3 5 7 for 26", "so 7 * 3 = 21 , 21 + 5 = 26 </think>"

    def read(text):
        return [(m.alive, m.does, m.right) for m in moments(problem, text)]

    assert read(f"{use} {dead} {live} yes {so}") == [(False, "left", True), (True, "found", True)]
    assert read(f"{use} {live} no {dead} dead") == [(True, "left", False), (False, "left", True)]
    assert read(f"{use} {live} no {so}") == [(True, "gave up", False)]
    assert read(f"{use} {dead} {so}") == [(False, "gave up", False)]
    assert read(f"{use} {dead}") == [(False, "cut", False)]
    assert read(f"{use} {dead.replace('3 5', '3 6')}") == []
    assert read("") == read("want want 1 so") == []
    texts = [f"{use} {dead} {live} yes {so}", f"{use} {dead} {so}"]
    counts = at_the_right_moment([problem] * 2, texts)
    assert counts == {"dead, left": (1, 2), "alive, found": (1, 1)}
    with pytest.raises(ValueError, match="3 or 4 numbers"):
        list(moments(Countdown(2).problem([1, 2], 3), ""))


def test_a_chain_that_gave_up_is_opened_again():
    """Exactly those, at the failure; what follows is an alternative."""
    task, opened = Countdown(3), 0
    for i in range(50):
        problem = task.train_problem(i)
        text = chain(problem, i, give_up=1.0)
        last, again = list(moments(problem, text))[-1], reopened(text)
        assert (again is None) == (last.does == "found")
        if again:
            assert text.startswith(again.removesuffix(" want"))
            assert again.endswith(" no want")
            opened += 1
    assert opened > 10
