"""A* against the oracle's distances, its heuristics against every state, and best-first search."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walker import Walker

from o1lib.search.best_first import a_star, best_first
from o1lib.search.driver import search_all
from o1lib.search.guidance import correct
from o1lib.search.heuristics import distance, factors, relaxed_steps, steps_left
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import part
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.countdown import Problem
from o1lib.tasks.space import Node, Space

JUGS = [*Jugs().problems("val_inputs"), *Jugs(3, high=9).problems("train", 25)]


def search(strategy, world, problems):
    return search_all(strategy, Walker(world, []), world, problems)


def taken_up(result):
    return sum(here.visits for here in result.tree.walk())


@part
def nothing(space, nodes):
    """A* without a heuristic: breadth first."""
    return [0.0] * len(nodes)
    yield


@part
def nearness(space, nodes):
    return [-float(space.task.distance(here.node.state)) for here in nodes]
    yield


def test_a_star_finds_a_shortest_solution():
    """Against breadth-first search of the oracle, in every problem; the heuristic saves work."""
    world = Jugs()
    with_it = without = 0
    for found, blind in zip(
        search(a_star(), world, JUGS), search(a_star(nothing()), world, JUGS), strict=True
    ):
        for result in (found, blind):
            assert world.verify(result.problem, result.response)
            steps = Space(world, result.problem).read(result.response)[1:]
            assert len(steps) == world.distance(result.problem)
        with_it, without = with_it + taken_up(found), without + taken_up(blind)
    assert with_it < 0.8 * without


def test_with_the_true_distance_nothing_but_the_way_is_taken_up():
    world = Jugs()
    for strategy in (a_star(nearness()), best_first(nearness())):
        for result in search(strategy, world, JUGS[:30]):
            assert taken_up(result) == world.distance(result.problem) + 1


@pytest.mark.parametrize(
    ("world", "problems"),
    [
        (Jugs(), JUGS),
        (Countdown(4), Countdown(4).problems("val_inputs", 4)),
        (Arithmetic(5), Arithmetic(5).problems("val_inputs", 10)),
    ],
    ids=["Jugs", "Countdown", "Arithmetic"],
)
def test_the_steps_left_are_consistent(world, problems):
    """In every state that can be reached: never more than there are, zero where it is solved, and
    no step lowers it by more than one.
    """

    def h(state):
        try:
            next(steps_left()(None, [TreeNode(Node("", state))]))
        except StopIteration as end:
            return -end.value[0]

    states, waiting = set(), list(problems)
    while waiting and len(states) < 4000:
        state = waiting.pop()
        if state in states:
            continue
        states.add(state)
        away = world.distance(state)
        assert away is None or h(state) <= away
        if world.is_solved(state):
            assert h(state) == 0
            continue
        for step in world.legal_steps(state):
            after = world.apply(state, step)
            assert h(state) <= 1 + h(after)
            waiting.append(after)


def test_hopeless_jugs_are_known_at_once():
    """Jugs of 2 and 4 never hold 3: even with everything that was ever held they do not."""
    assert relaxed_steps((2, 4), 3, (0, 0)) == float("inf")
    [result] = search(a_star(), Jugs(), [Jugs().problem([2, 4], 3)])
    assert (result.response, taken_up(result)) == (None, 0)


@given(st.lists(st.integers(1, 13), min_size=2, max_size=3), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_best_first_searches_are_complete(numbers, target):
    """Whatever the heuristic, with the checker at the end they find a solution where there is
    one.
    """
    world = Countdown(3)
    problem = world.problem(numbers, target)
    for strategy in (a_star(), best_first(distance(), leaf=correct()), a_star(factors())):
        [result] = search(strategy, world, [problem])
        assert (result.response is not None) == world.solvable(problem)
        assert result.response is None or world.verify(problem, result.response)
    [first] = search(best_first(factors()), world, [problem])
    assert first.cost.checks == 0
    assert first.response is not None  # the first that came up, right or wrong


def test_a_shorter_way_to_a_known_state_counts():
    """With a heuristic that never says too many but is not consistent, states are met again."""
    world = Jugs()

    @part
    def uneven(space, nodes):
        known = [(space.task.distance(n.node.state), sum(n.node.state.amounts)) for n in nodes]
        return [-float(away if amount % 2 else 0) for away, amount in known]
        yield

    for result in search(a_star(uneven()), world, JUGS):
        steps = Space(world, result.problem).read(result.response)[1:]
        assert len(steps) == world.distance(result.problem)


def test_rules_of_thumb_on_known_states():
    """By hand: 24 from 4 5 has factors 2 3 4 6 8 12 24."""

    def values(guidance, world, *states):
        @part
        def ask(space):
            some = [TreeNode(Node("", state)) for state in states]
            return Found(None, tree=(yield from guidance(space, some)))

        return search(ask(), world, [states[0]])[0].tree

    world = Countdown()
    four_five, done = world.problem([4, 5], 24), Problem((24,), 24)
    assert values(distance(), world, four_five, done, None) == [-19.5, 0.0, float("-inf")]
    assert values(factors(), world, four_five, done, world.problem([11, 15], 24)) == [-1, 0, -4]
    assert values(steps_left(), world, four_five, done) == [-1, 0]
    jugs = Jugs().problem([3, 5], 4)
    assert values(distance(), Jugs(), jugs) == [-4]
    sum_ = Arithmetic().problem("( 1 + 2 ) * ( 5 - 3 )")
    assert values(steps_left(), Arithmetic(), sum_) == [-3]
    with pytest.raises(ValueError, match="Countdown or Jugs"):
        values(distance(), Arithmetic(), sum_)
    with pytest.raises(ValueError, match="goal of Countdown"):
        values(factors(), Jugs(), jugs)
