"""What holds for every strategy, with every guidance, in every world: budgets are kept, costs are
what was really written, read and checked, and the batch has no part in the result.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walker import Reader, Walker

from o1lib.search.budget import Budget
from o1lib.search.driver import search_all
from o1lib.search.expand import sampled_steps, whole_responses
from o1lib.search.guidance import ahead, correct, implicit_reward, mixed, oracle, value
from o1lib.search.nodes import answer_of, replay
from o1lib.search.parts import Part
from o1lib.search.registry import GUIDANCES, STRATEGIES, guidance_of, strategy_of
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.arithmetic import Arithmetic

WORLDS = [Countdown(3), Arithmetic(4), Jugs(high=5)]
SMALL = {
    "sample": {"n": 3},
    "majority": {"n": 3},
    "weighted_vote": {"n": 3},
    "best_of_n": {"n": 3},
    "retry": {"n": 3},
    "speculative_rejection": {"n": 5, "every": 7},
    "budget_forcing": {"waits": 2, "most": 40},
    "depth_first": {"limit": 30},
    "random_steps": {"n": 4, "max_depth": 6},
    "beam": {"width": 2, "max_depth": 5},
    "lookahead": {"width": 2, "k": 1, "max_depth": 4},
    "dvts": {"trees": 2, "max_depth": 5},
    "tot_bfs": {"width": 2, "max_depth": 5},
    "tot_dfs": {"limit": 6},
    "mcts": {"simulations": 6},
    "token_mcts": {"simulations": 2, "max_new_tokens": 6},
    "best_first": {"limit": 12},
    "a_star": {"limit": 12},
    "best_then_revise": {"n": 2, "revisions": 2},
    "mctsr": {"simulations": 4},
}
FEW = {
    "rollouts": "rollouts(n=2)",
    "self_consistency": "self_consistency(n=2)",
    "semantic_entropy": "semantic_entropy(n=3)",
    "ahead": "ahead(guidance=oracle, k=1)",
}
WAYS = [
    *((name, {}) for name in STRATEGIES),
    ("beam", {"expand": sampled_steps(3), "width": 2, "max_depth": 4}),
    ("dvts", {"expand": sampled_steps(3)}),
    ("mcts", {"expand": whole_responses(3)}),
    ("best_first", {"expand": sampled_steps(2)}),
]


def guidance_named(name, reader):
    if name == "value":
        return value(reader)
    if name == "mixed":
        return mixed((correct(error=0.3), ahead(value(reader), 1), oracle(noise=0.5)))
    if name == "implicit_reward":
        return implicit_reward(reader)
    return guidance_of(FEW.get(name, name))


def strategy_named(name, options, guidance: Part | None = None, select="model"):
    """A strategy, small, that uses what it is offered where it can."""
    for guided in (guidance, None):
        for by in (select, "model"):
            try:
                return strategy_of(name, SMALL.get(name, {}) | options, guidance=guided, select=by)
            except ValueError:
                continue
    raise AssertionError(f"{name} takes neither guidance nor none")


def searched(strategy, world, problem, budget, reader):
    """One problem searched alone: the result, what the policy wrote and read, and what was
    checked.
    """
    policy, checked = Walker(world, [problem]), []

    def verify(problem, response):
        checked.append(answer_of(response) or response)
        return world.verify(problem, response)

    reader.scored = 0
    [result] = search_all(strategy, policy, world, [problem], budget=budget, seed=3, verify=verify)
    return result, policy, checked


@given(
    st.sampled_from(WAYS),
    st.sampled_from([*GUIDANCES, "value", "mixed"]),
    st.sampled_from(["model", "checker"]),
    st.sampled_from(WORLDS),
    st.one_of(
        st.just((None, None, None)), st.tuples(*[st.one_of(st.none(), st.integers(0, 150))] * 3)
    ),
    st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_budgets_are_kept_and_costs_are_true(way, guidance, select, world, caps, place):
    reader, budget = Reader(), Budget(*caps)
    if guidance == "factors" and not isinstance(world, Countdown):
        return
    if guidance == "distance" and isinstance(world, Arithmetic):
        return
    strategy = strategy_named(*way, guidance_named(guidance, reader), select)
    problem = world.problems("train", place + 1)[place]
    result, policy, checked = searched(strategy, world, problem, budget, reader)
    for kind in ("generated", "scored", "checks"):
        cap = getattr(budget, kind)
        assert cap is None or getattr(result.cost, kind) <= cap
    assert result.cost.generated == policy.generated
    assert result.cost.scored == policy.scored + reader.scored
    assert result.cost.checks == len(checked) == len(set(checked))
    assert result.response is None or isinstance(result.response, str)
    if result.tree:
        visits = {id(here): here.visits for here in result.tree.walk() if here.visits}
        assert {place: n for place, (n, _) in replay(result.trace).items()} == visits
    if caps == (None, None, None):
        assert not result.stopped


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{len(way[1])}")
def test_without_a_budget_nothing_is_spent(way):
    for select in ("model", "checker"):
        strategy = strategy_named(*way, value(Reader()), select)
        problem = WORLDS[0].problems("train", 1)[0]
        result, *_ = searched(strategy, WORLDS[0], problem, Budget(0, 0, 0), Reader())
        assert vars(result.cost) == {"generated": 0, "scored": 0, "checks": 0}
        spends_nothing = way[0] in ("best_first", "dvts", "beam", "random_steps")
        assert result.response is None or spends_nothing


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{len(way[1])}")
def test_what_shares_the_batch_has_no_part(way):
    """Each problem alone, two at once, and all at once, one of them twice."""
    strategy = strategy_named(*way, value(Reader()))
    for world in WORLDS[:1] + WORLDS[2:]:
        problems = world.problems("train", 2)
        problems.append(problems[0])
        runs = [
            search_all(strategy, Walker(world, problems), world, problems, seed=1, concurrent=k)
            for k in (1, 2, 64)
        ]
        for alone, *others in zip(*runs, strict=True):
            for other in others:
                assert alone.response == other.response
                assert alone.candidates == other.candidates
                assert alone.cost == other.cost


def test_every_strategy_and_guidance_is_here():
    unguided = {"greedy", "self_refine", "reflexion"}
    assert set(SMALL) | unguided == set(STRATEGIES)
    for name in GUIDANCES:
        assert isinstance(guidance_named(name, Reader()), Part)
