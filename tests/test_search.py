"""Search: strategies against exhaustive truth, budgets that are never exceeded, batches that change nothing."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search import trees
from o1lib.search.core import (
    Budget,
    Check,
    Found,
    Logprobs,
    OutOfBudget,
    Propose,
    Sample,
    Score,
    search,
)
from o1lib.search.evaluate import SEARCHES, evaluate, strategy_of
from o1lib.search.guidance import OracleGuidance
from o1lib.search.sampling import best_of_n, greedy, majority, sample
from o1lib.tasks import Countdown
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.space import Space

task = Countdown(3)
PROBLEMS = task.problems("val_inputs", 12)
UNSOLVABLE = task.problem([1, 1, 1], 100)


@pytest.fixture(scope="module")
def policy():
    return Policy(build_model("nano"), build_tokenizer(), bf16=False)


def reachable_solution(problem) -> bool:
    """Brute force: whether some sequence of legal steps ends at the target."""

    def below(state):
        if task.is_solved(state):
            return True
        return any(below(task.apply(state, step)) for step in task.legal_steps(state))

    return below(problem)


class Flat:
    """A policy that likes all steps alike and writes nothing: tree searches need no network."""

    bf16 = False
    tokenizer = build_tokenizer()

    def encode(self, prompt, prefix=""):
        return self.tokenizer.encode(f"{prompt} {prefix}", add_special_tokens=False)

    def continuation_logprobs(self, contexts, continuations):
        return [[-math.log(len(group))] * len(group) for group in continuations]

    def sample(self, prompts, n=1, *, max_new_tokens=512, seed=0, **options):
        rng = random.Random(f"{prompts} {seed}")
        groups = []
        for _ in prompts:
            lengths = [rng.randint(1, max_new_tokens) for _ in range(n)]
            groups.append([Response("x", [1] * k, [-1.0] * k, False) for k in lengths])
        return groups


# --- against exhaustive truth


@given(
    st.lists(st.integers(1, 13), min_size=2, max_size=3),
    st.integers(1, 100),
)
@settings(max_examples=60, deadline=None)
def test_depth_first_and_unlimited_beam_are_exhaustive(numbers, target):
    problem = task.problem(numbers, target)
    truth = reachable_solution(problem)
    for strategy in (
        trees.depth_first(),
        trees.beam(width=None, guided=False, select="checker"),
        trees.beam(width=None, guided=True, select="checker"),
    ):
        [result] = search(strategy, Flat(), task, [problem], guidance=OracleGuidance())
        right = result.response is not None and bool(task.verify(problem, result.response))
        assert right == truth


def test_perfect_guidance_needs_no_width(policy):
    strategy = trees.beam(width=1, guided=True, select="model")
    for result in search(strategy, policy, task, PROBLEMS, guidance=OracleGuidance()):
        assert task.verify(result.problem, result.response)
        assert result.cost.checks == result.cost.generated == 0


def test_beam_ranks_by_the_policy(policy):
    """Width one without guidance is the policy's likeliest step at every depth."""
    for result in search(trees.beam(1, guided=False), policy, task, PROBLEMS[:4]):
        space = Space(task, result.problem)
        node = space.root
        while not space.complete(node):
            texts = [space.continuation(node, s) for s in space.steps(node)]
            ids = [policy.tokenizer.encode(t, add_special_tokens=False) for t in texts]
            context = policy.encode(space.prompt, node.prefix)
            logits = [
                policy.model(torch.tensor([context + x])).logits[0].log_softmax(-1) for x in ids
            ]
            sums = [
                sum(float(row[len(context) - 1 + i, t]) for i, t in enumerate(x))
                for row, x in zip(logits, ids, strict=True)
            ]
            node = space.child(node, space.steps(node)[sums.index(max(sums))])
        assert result.response == space.response(node)


def test_mcts_finds_the_winning_step_as_simulations_grow():
    """With values that are wrong half of the time the most visited step becomes a winning one."""
    problems = [p for p in task.problems("train", 40) if len(task.legal_steps(p)) > 6]
    share = {}
    for simulations in (3, 30, 400):
        strategy = trees.mcts(simulations, c_puct=1.0, select="checker", until_solved=False)
        results = search(strategy, Flat(), task, problems, guidance=OracleGuidance(noise=0.5))
        wins = 0
        for result in results:
            best = max(result.tree.children, key=lambda c: c.visits)
            wins += task.solvable(best.node.state)
            assert result.tree.visits == simulations
            for node in result.tree.walk():
                if node.children:
                    assert node.visits == 1 + sum(c.visits for c in node.children)
        share[simulations] = wins / len(results)
    assert share[3] < share[30] <= share[400]
    assert share[400] >= 0.9


def test_mcts_statistics_equal_a_replay():
    """Every node's mean is the mean of the evaluations below it, leaves as often as they were visited."""
    strategy = trees.mcts(60, select="checker", until_solved=False)
    [result] = search(strategy, Flat(), task, PROBLEMS[:1], guidance=OracleGuidance(noise=0.3))

    def total(node):
        own = node.value * (node.visits - sum(c.visits for c in node.children or ()))
        return own + sum(total(c) for c in node.children or () if c.visits)

    for node in result.tree.walk():
        if node.visits:
            assert node.value_sum == pytest.approx(total(node))


def test_unsolvable_problems_end(policy):
    for name in SEARCHES:
        strategy = strategy_of(name, n=4, max_new_tokens=6, guided=True, select="checker")
        [result] = search(strategy, policy, task, [UNSOLVABLE], guidance=OracleGuidance())
        assert result.response is None or not task.verify(UNSOLVABLE, result.response)


# --- budgets


@given(
    st.sampled_from(SEARCHES),
    st.sampled_from(["model", "checker"]),
    st.tuples(*[st.one_of(st.none(), st.integers(0, 60))] * 3),
    st.integers(1, 12),
)
@settings(max_examples=80, deadline=None)
def test_budgets_are_never_exceeded(name, select, caps, n):
    budget = Budget(*caps)
    strategy = strategy_of(name, n=n, select=select, max_new_tokens=9, guided=True)
    guidance = Priced()
    for result in search(strategy, Flat(), task, PROBLEMS[:3], budget=budget, guidance=guidance):
        for kind in ("generated", "scored", "checks"):
            cap = getattr(budget, kind)
            assert cap is None or getattr(result.cost, kind) <= cap
        assert result.cost.checks <= 50


class Priced(OracleGuidance):
    """An oracle that charges seven tokens a look."""

    def scored_tokens(self, space, node):
        return 7


def test_zero_budgets_give_no_answer():
    for name in SEARCHES:
        strategy = strategy_of(name, n=4, guided=True, select="checker")
        [result] = search(
            strategy, Flat(), task, PROBLEMS[:1], budget=Budget(0, 0, 0), guidance=Priced()
        )
        assert result.response is None
        assert vars(result.cost) == {"generated": 0, "scored": 0, "checks": 0}


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "many"])
def test_budgets_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="nonnegative integer"):
        Budget(generated=wrong)


def test_what_was_found_survives_the_budget():
    """A strategy that runs out returns the best it had."""

    def strategy(space):
        found = yield Sample(space.root, 1, max_new_tokens=5)
        try:
            yield Check("x")
        except OutOfBudget:
            return Found(found[0].text)

    [result] = search(strategy, Flat(), task, PROBLEMS[:1], budget=Budget(checks=0))
    assert result.response == "x"
    assert result.stopped


# --- the driver


def test_batches_change_nothing(policy):
    for name in ("sample", "beam", "mcts"):
        strategy = strategy_of(name, n=3, max_new_tokens=12, guided=True)
        runs = [
            search(
                strategy, policy, task, PROBLEMS, guidance=OracleGuidance(0.5), batch=batch, seed=3
            )
            for batch in (1, 5, 64)
        ]
        for one, five, all_ in zip(*runs, strict=True):
            assert one.response == five.response == all_.response
            assert one.cost == five.cost == all_.cost


def test_requests_for_more_samples_get_new_ones(policy):
    def strategy(space):
        first = yield Sample(space.root, 2, max_new_tokens=20)
        second = yield Sample(space.root, 2, max_new_tokens=20)
        return Found(None, tuple(s.text for s in first + second))

    [result] = search(strategy, policy, task, PROBLEMS[:1])
    assert len(set(result.candidates)) == 4


def test_proposals_are_the_steps_probabilities(policy):
    """Against the model's own forward pass, also from a prefix; the plain path gives the same."""

    def strategy(space):
        node = space.child(space.root, space.steps(space.root)[2])
        proposed = yield Propose(node)
        texts = tuple(space.continuation(node, step) for step, _ in proposed)
        logprobs = yield Logprobs(node, texts)
        return Found(None, tree=(proposed, texts, logprobs, node.prefix))

    [result] = search(strategy, policy, task, PROBLEMS[:1])
    proposed, texts, logprobs, prefix = result.tree
    prompt = task.prompt(PROBLEMS[0], "solve")
    for (_, p), text, logprob in zip(proposed, texts, logprobs, strict=True):
        ids = policy.tokenizer.encode(f"{prefix} {text}", add_special_tokens=False)
        start = len(policy.tokenizer.encode(prefix, add_special_tokens=False))
        [truth] = policy.logprobs([prompt], [ids])
        assert logprob == pytest.approx(float(truth[start:].sum()), abs=1e-4)
        assert p == pytest.approx(math.exp(logprob), rel=1e-4)
    plain = Policy(policy.model, policy.tokenizer, bf16=False)
    plain.__class__ = type("Plain", (Policy,), {"sampler": None})
    [again] = search(strategy, plain, task, PROBLEMS[:1])
    assert again.tree[2] == pytest.approx(logprobs, abs=1e-4)


def test_long_continuations_are_scored(policy):
    """Continuations longer than the room the cache leaves, beside short ones."""
    texts = ["1 2 get " * 40, "no"]
    ids = [policy.tokenizer.encode(t, add_special_tokens=False) for t in texts]
    context = policy.encode("think : make 5 from 2 3")
    [found] = policy.continuation_logprobs([context], [ids])
    for value, row in zip(found, ids, strict=True):
        logits = policy.model(torch.tensor([context + row])).logits[0].log_softmax(-1)
        truth = sum(float(logits[len(context) - 1 + i, t]) for i, t in enumerate(row))
        assert value == pytest.approx(truth, rel=1e-4)


def test_a_guidance_is_needed_and_strangers_are_refused():
    def asks(space):
        yield Score((space.root,))

    def strange(space):
        yield "hello"

    with pytest.raises(ValueError, match="give it a guidance"):
        search(asks, Flat(), task, PROBLEMS[:1])
    with pytest.raises(ValueError, match="which is no request"):
        search(strange, Flat(), task, PROBLEMS[:1])
    with pytest.raises(ValueError, match="batch"):
        search(greedy(), Flat(), task, PROBLEMS[:1], batch=0)
    with pytest.raises(ValueError, match="give it a guidance"):
        evaluate(Flat(), PROBLEMS[:1], search="mcts", progress=False)
    with pytest.raises(ValueError, match="steps of 'solve'"):
        evaluate(Flat(), PROBLEMS[:1], search="beam", instruction="think", progress=False)
    with pytest.raises(ValueError, match="unknown select"):
        best_of_n(select="coin")
    with pytest.raises(ValueError, match="width must be"):
        trees.beam(0)


def test_no_problems():
    assert search(greedy(), Flat(), task, []) == []


# --- whole responses


class Answers:
    """A policy whose answers are given."""

    bf16 = False

    def __init__(self, answers, lengths=None):
        self.answers = answers

    def sample(self, prompts, n=1, **options):
        texts = [f"<answer> {a} </answer>" if a else "hm" for a in self.answers[:n]]
        return [
            [Response(t, [1], [-0.1 * i], i != 1) for i, t in enumerate(texts)] for _ in prompts
        ]


def test_majority_and_best_of_n_on_known_answers():
    problem = Arithmetic(2).problem("3 + 4")
    policy = Answers(["9", "7", None, "7", "8"])
    run = lambda strategy: search(strategy, policy, Arithmetic(2), [problem])[0]  # noqa: E731
    assert run(majority(5)).response == "<answer> 7 </answer>"
    assert run(best_of_n(5)).response == "<answer> 9 </answer>"
    checked = run(best_of_n(5, select="checker"))
    assert checked.response == "<answer> 7 </answer>"
    assert checked.cost.checks == 2
    assert run(majority(5, key=len)).response == "<answer> 9 </answer>"
    assert run(sample(5)).candidates[2] == "hm"
    assert run(majority(1)).response == "<answer> 9 </answer>"


def test_spaces_read_what_they_write():
    for problem in PROBLEMS:
        space = Space(task, problem)
        node = space.root
        while not space.complete(node):
            node = space.child(node, space.steps(node)[-1])
        assert space.read(space.response(node))[-1] == node
        assert space.read(node.prefix)[-1] == node
        assert space.read("<think> 1 + 1 = 3 left 3 ; nonsense") == [space.root]
    states = Space(Arithmetic(3), Arithmetic(3).problem("( 1 + 2 ) * 3"))
    assert states.steps(states.root)[0].text == "1 + 2 = 3 left 3 * 3"
