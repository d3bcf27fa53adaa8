"""Search: strategies against exhaustive truth, budgets that are never exceeded, batches that
change nothing.
"""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding import assert_same_up_to_rounding

from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.budget import Budget, OutOfBudget
from o1lib.search.choose import by_checker, by_value, by_vote
from o1lib.search.driver import distinct_tokens, search_all
from o1lib.search.evaluate import evaluate
from o1lib.search.expand import legal_steps, sampled_steps
from o1lib.search.guidance import correct, judge, likelihood, mixed, oracle, rollouts, value
from o1lib.search.mcts import mcts
from o1lib.search.nodes import Found, replay
from o1lib.search.parts import part, together
from o1lib.search.registry import guidance_of, strategy_of
from o1lib.search.requests import Check, Logprobs, Sample
from o1lib.search.sampling import best_of_n, greedy, majority, sample
from o1lib.search.trees import beam, depth_first
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.space import Space

task = Countdown(3)
PROBLEMS = task.problems("val_inputs", 12)
UNSOLVABLE = task.problem([1, 1, 1], 100)


@pytest.fixture(scope="module")
def policy():
    return Policy(build_model("nano"), build_tokenizer(), bf16=False)


def search(strategy, policy, problems, of=task, **options):
    return search_all(strategy, policy, of, problems, **options)


def reachable_solution(problem) -> bool:
    """Brute force: whether some sequence of legal steps ends at the target."""

    def below(state):
        if task.is_solved(state):
            return True
        return any(below(task.apply(state, step)) for step in task.legal_steps(state))

    return below(problem)


class Flat:
    """A policy that likes all steps alike and writes nothing sensible: tree searches need no
    network.
    """

    bf16 = False
    tokenizer = build_tokenizer()

    def logprobs_each(self, requests):
        return [[-math.log(len(r.texts))] * len(r.texts) for r in requests]

    def sample_each(self, requests, seeds):
        groups = []
        for request, seed in zip(requests, seeds, strict=True):
            rng = random.Random(f"{request} {seed}")
            lengths = [rng.randint(1, request.max_new_tokens) for _ in range(request.n)]
            groups.append([Response("x", [1] * k, [-1.0] * k, False) for k in lengths])
        return groups


class Constant:
    """A scorer that gives every token the same."""

    tokenizer = build_tokenizer()

    def score(self, prompts, responses):
        return [[0.5] for _ in responses]


def some_strategies(n=4, guidance=None, max_new_tokens=9, select="checker"):
    """The oldest strategies, small; `test_search_properties.py` has all of them."""
    small = {
        "greedy": {"max_new_tokens": max_new_tokens},
        "sample": {"n": n, "max_new_tokens": max_new_tokens},
        "majority": {"n": n, "max_new_tokens": max_new_tokens},
        "best_of_n": {"n": n, "max_new_tokens": max_new_tokens},
        "depth_first": {},
        "beam": {"width": n},
        "mcts": {"simulations": n},
    }
    for name, options in small.items():
        chooses = select == "checker" and name in ("best_of_n", "beam", "mcts")
        guided = guidance if name in ("beam", "mcts") else None
        yield strategy_of(name, options, guidance=guided, select="checker" if chooses else "model")


# --- against exhaustive truth


@given(st.lists(st.integers(1, 13), min_size=2, max_size=3), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_depth_first_and_unlimited_beam_are_exhaustive(numbers, target):
    problem = task.problem(numbers, target)
    truth = reachable_solution(problem)
    for strategy in (
        depth_first(),
        beam(width=None, choose=by_checker()),
        beam(oracle(), width=None, choose=by_checker()),
    ):
        [result] = search(strategy, Flat(), [problem])
        right = result.response is not None and bool(task.verify(problem, result.response))
        assert right == truth


def test_blind_search_remembers_where_it_was():
    """On five numbers it asks about no final number twice, and still finds what there is."""
    five = Countdown(5)
    for problem in five.problems("val_inputs", 3):
        states, layer = {problem}, [problem]
        while layer:
            layer = {five.apply(s, t) for s in layer for t in five.legal_steps(s)} - states
            states |= layer
        impossible = five.problem(problem.numbers, 10**6 + 3)
        [lost] = search(depth_first(), Flat(), [impossible], five)
        assert lost.cost.checks == len({s.numbers for s in states if len(s.numbers) == 1})
        [found] = search(depth_first(), Flat(), [problem], five)
        assert five.verify(problem, found.response)


WORLDS = [Countdown(4), Arithmetic(4), Jugs()]


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: type(w).__name__)
def test_every_search_solves_every_world_with_the_truth_as_guidance(world):
    """Where the oracle says what is alive (in Jugs: how near), each search ends at a right answer
    by itself.
    """

    @part
    def near(space, nodes):
        far = [space.task.distance(here.node.state) for here in nodes]
        return [-100.0 if d is None else -float(d) for d in far]
        yield

    problems = world.problems("val_inputs", 5)
    for strategy in (
        depth_first(),
        beam(near(), width=2),
        beam(near(), width=3, choose=by_checker()),
        mcts(near(), 400, c_puct=2.0, leaf=correct()),
    ):
        for result in search(strategy, Flat(), problems, world):
            assert world.verify(result.problem, result.response), (strategy, result.problem)


def test_perfect_guidance_needs_no_width(policy):
    for result in search(beam(oracle(), width=1), policy, PROBLEMS):
        assert task.verify(result.problem, result.response)
        assert result.cost.checks == result.cost.generated == result.cost.scored == 0


def test_beam_ranks_by_the_policy(policy):
    """Width one without guidance is the policy's likeliest step at every depth."""
    for result in search(beam(width=1), policy, PROBLEMS[:4]):
        space = Space(task, result.problem)
        node = space.root
        while not space.complete(node):
            texts = [space.continuation(node, s) for s in space.steps(node)]
            ids = [policy.tokenizer.encode(t, add_special_tokens=False) for t in texts]
            context = policy.encode(space.prompt, node.prefix)
            with torch.inference_mode():
                logits = [
                    policy.model(torch.tensor([context + x])).logits[0].log_softmax(-1) for x in ids
                ]
            sums = [
                sum(float(row[len(context) - 1 + i, t]) for i, t in enumerate(x))
                for row, x in zip(logits, ids, strict=True)
            ]
            node = space.child(node, space.steps(node)[sums.index(max(sums))])
        assert result.response == space.response(node)


def test_beam_keeps_every_complete_solution_that_made_the_cut():
    """Chains of different length: a short wrong one that ranks first does not end the search, nor
    is the right one forgotten.
    """
    problem = Arithmetic(2).problem("3 + 4")

    class Writer(Flat):
        def sample_each(self, requests, seeds):
            texts = {0: ["<answer> 9 </answer>", "3 + 4 ;"], 1: ["7 ;", "<answer> 7 </answer>"]}
            groups = []
            for request in requests:
                prefix = "3 + 4 ; " if request.prefix else ""
                some = texts[1 if request.prefix else 0]
                groups.append([Response(prefix + t, [5], [-0.1], "<" in t) for t in some])
            return groups

    strategy = beam(width=4, expand=sampled_steps(2), choose=by_checker(), max_depth=2)
    [result] = search(strategy, Writer(), [problem], Arithmetic(2))
    assert result.response.endswith("<answer> 7 </answer>")
    assert result.cost.checks == 2


def test_mcts_finds_the_winning_step_as_simulations_grow():
    """With values that are wrong half of the time the most visited step becomes a winning one."""
    problems = [p for p in task.problems("train", 40) if len(task.legal_steps(p)) > 6]
    share = {}
    for simulations in (3, 30, 400):
        strategy = mcts(oracle(noise=0.5), simulations, leaf=truth())
        wins = 0
        for result in search(strategy, Flat(), problems):
            best = max(result.tree.children, key=lambda c: c.visits)
            wins += task.solvable(best.node.state)
            assert result.tree.visits == simulations
            for node in result.tree.walk():
                if node.children:
                    assert node.visits == 1 + sum(c.visits for c in node.children)
        share[simulations] = wins / len(problems)
    assert share[3] < share[30] <= share[400]
    assert share[400] >= 0.9


@part
def truth(space, nodes):
    """Right or wrong, but just below one, so that the search goes on after a right one."""
    return [0.999 * space.task.is_solved(here.node.state) for here in nodes]
    yield


def test_mcts_statistics_equal_a_replay():
    """Every node's mean is the mean of the evaluations below it, leaves as often as they were
    visited.
    """
    [result] = search(mcts(oracle(noise=0.3), 60, leaf=truth()), Flat(), PROBLEMS[:1])

    def total(node):
        own = node.value * (node.visits - sum(c.visits for c in node.children or ()))
        return own + sum(total(c) for c in node.children or () if c.visits)

    for node in result.tree.walk():
        if node.visits:
            assert node.value_sum == pytest.approx(total(node))


@pytest.mark.parametrize("budget", [Budget(), Budget(scored=300), Budget(scored=0)])
@pytest.mark.parametrize(
    "strategy",
    [
        mcts(mixed((oracle(noise=0.5), likelihood())), 30),
        mcts(oracle(noise=0.5), 30, leaf=correct()),
        mcts(oracle(noise=0.5), 8, expand=sampled_steps(2)),
        beam(oracle(noise=0.5), 3, expand=legal_steps()),
        beam(width=None),
    ],
    ids=repr,
)
def test_a_replayed_trace_gives_the_tree(strategy, budget):
    """Every node's visits and values, also where the budget ended the search."""
    results = search(strategy, Flat(), [*PROBLEMS[:3], UNSOLVABLE], budget=budget)
    for result in results:
        statistics = replay(result.trace)
        nodes = list(result.tree.walk())
        assert statistics.keys() == {id(node) for node in nodes if node.visits}
        for node in nodes:
            count, total = statistics.get(id(node), (0, 0.0))
            assert (count, total) == (node.visits, node.value_sum)
        for visit in result.trace:
            end = visit.path[-1]
            assert visit.path == end.path[-len(visit.path) :]
            assert visit.value is None or visit.value == end.value


def test_a_part_of_a_trace_is_a_shorter_search():
    for n in (1, 7, 20):
        [long], [short] = (
            search(mcts(oracle(noise=0.5), simulations), Flat(), PROBLEMS[:1])
            for simulations in (40, n)
        )
        statistics = replay(long.trace[:n])
        found = {node.node.prefix: statistics.get(id(node), (0, 0.0)) for node in long.tree.walk()}
        for node in short.tree.walk():
            assert found[node.node.prefix] == (node.visits, node.value_sum)


def test_unsolvable_problems_end(policy):
    for strategy in some_strategies(guidance=oracle(), max_new_tokens=6):
        [result] = search(strategy, policy, [UNSOLVABLE])
        assert result.response is None or not task.verify(UNSOLVABLE, result.response)


# --- guidances


def values_of(guidance, policy, problem, nodes=None, of=task):
    """What a guidance says of the children of the root (or of given tree nodes)."""
    from o1lib.search.nodes import TreeNode

    @part
    def ask(space):
        some = nodes or [TreeNode(space.child(space.root, s)) for s in space.steps(space.root)]
        values = yield from guidance(space, some)
        return Found(None, tree=(some, values))

    [result] = search(ask(), policy, [problem], of)
    return *result.tree, result.cost


def test_guidances_cost_what_they_read(policy):
    nodes, values, cost = values_of(oracle(), policy, PROBLEMS[0])
    assert values == [float(task.solvable(n.node.state)) for n in nodes]
    assert vars(cost) == {"generated": 0, "scored": 0, "checks": 0}
    nodes, values, cost = values_of(value(Constant()), policy, PROBLEMS[0])
    ids = [tuple(policy.tokenizer.encode(n.node.prefix)) for n in nodes]
    assert values == [0.5] * len(nodes)
    prefixes = {row[:k] for row in ids for k in range(1, len(row) + 1)}
    assert cost.scored == len(prefixes) == distinct_tokens(ids)
    nodes, values, cost = values_of(likelihood(), policy, PROBLEMS[0])
    for node, likely in zip(nodes, values, strict=True):
        response = policy.tokenizer.encode(node.node.prefix, add_special_tokens=False)
        [logprobs] = policy.logprobs([task.prompt(PROBLEMS[0], "solve")], [response])
        assert math.log(likely) == pytest.approx(float(logprobs.sum()), abs=1e-3)
    both, weighed, _ = values_of(mixed((oracle(), likelihood()), (2.0, -1.0)), policy, PROBLEMS[0])
    for node, likely, v in zip(both, values, weighed, strict=True):
        assert v == pytest.approx(2 * task.solvable(node.node.state) - likely)


def test_the_noise_of_the_oracle_is_fixed_by_its_seed():
    _, values, _ = values_of(oracle(noise=1.0), Flat(), PROBLEMS[0])
    assert values == values_of(oracle(noise=1.0), Flat(), PROBLEMS[0])[1]
    assert values != values_of(oracle(noise=1.0, seed=1), Flat(), PROBLEMS[0])[1]
    assert values != values_of(oracle(), Flat(), PROBLEMS[0])[1]


def test_rollouts_and_judge_read_the_policys_answers():
    """A policy that always answers right where it can, and one that calls everything alive."""

    class Solver(Flat):
        def sample_each(self, requests, seeds):
            groups = []
            for r in requests:
                if r.prompt.startswith("judge"):
                    text = "<think> hm </think> <answer> alive </answer>"
                else:
                    space = Space(task, PROBLEMS[0])
                    state = space.read(r.prefix)[-1].state
                    rest = next(task.solutions(state), None)
                    node = space.read(r.prefix)[-1]
                    for step in rest or ():
                        node = space.child(node, step)
                    text = space.response(node) if rest is not None else r.prefix
                groups.append([Response(text, [1], [-0.1], True)] * r.n)
            return groups

    nodes, values, cost = values_of(rollouts(3), Solver(), PROBLEMS[0])
    assert values == [float(task.solvable(n.node.state)) for n in nodes]
    assert cost.generated == 3 * len(nodes)
    assert cost.checks <= len(nodes)  # equal answers are checked once
    nodes, values, cost = values_of(judge(), Solver(), PROBLEMS[0])
    assert values == [1.0] * len(nodes)
    complete, values, cost = values_of(correct(), Solver(), PROBLEMS[0])
    assert values == [0.0] * len(complete)
    assert cost.checks == 0


# --- expansions


def test_legal_steps_have_the_policys_probabilities(policy):
    """Against the model's own forward pass, also from a prefix; the plain path gives the same."""

    @part
    def ask(space):
        from o1lib.search.nodes import TreeNode

        node = TreeNode(space.child(space.root, space.steps(space.root)[2]))
        [children] = yield from legal_steps()(space, [node])
        [few] = yield from legal_steps(most=2)(space, [node])
        texts = tuple(space.continuation(node.node, s) for s in space.steps(node.node))
        logprobs = yield Logprobs(space.prompt, node.node.prefix, texts)
        return Found(None, tree=(children, few, texts, logprobs, node.node.prefix))

    [result] = search(ask(), policy, PROBLEMS[:1])
    children, few, texts, logprobs, prefix = result.tree
    prompt = task.prompt(PROBLEMS[0], "solve")
    for child, text, logprob in zip(children, texts, logprobs, strict=True):
        ids = policy.tokenizer.encode(f"{prefix} {text}", add_special_tokens=False)
        start = len(policy.tokenizer.encode(prefix, add_special_tokens=False))
        [truth_] = policy.logprobs([prompt], [ids])
        assert logprob == pytest.approx(float(truth_[start:].sum()), abs=1e-4)
        assert child.prior == pytest.approx(math.exp(logprob), rel=1e-4)
        assert child.node.prefix == f"{prefix} {text}"
    best = sorted((c.prior for c in children), reverse=True)[:2]
    assert [c.prior for c in few] == best
    plain = Policy(policy.model, policy.tokenizer, bf16=False)
    plain.__class__ = type("Plain", (Policy,), {"sampler": None})
    [again] = search(ask(), plain, PROBLEMS[:1])
    assert again.tree[3] == pytest.approx(logprobs, abs=1e-4)


def test_sampled_steps_are_what_the_policy_writes(policy):
    """Children share out the samples, end where a step ends, and go on from exactly the tokens
    that were sampled.
    """

    @part
    def ask(space):
        from o1lib.search.nodes import TreeNode

        root = TreeNode(space.root)
        [children] = yield from sampled_steps(8, stop=("no", "<think>"), max_new_tokens=9)(
            space, [root]
        )
        grown = yield from sampled_steps(2, stop=(), max_new_tokens=3)(space, children)
        return Found(None, tree=(children, grown))

    [result] = search(ask(), policy, PROBLEMS[:1])
    children, grown = result.tree
    assert sum(c.prior for c in children) == pytest.approx(1)
    assert len({c.node.prefix for c in children}) == len(children)
    for child, family in zip(children, grown, strict=True):
        assert child.label == child.node.prefix
        words = child.node.prefix.split()
        assert (
            len(child.node.token_ids) == 9 or words[-1] in ("no", "<think>") or child.node.finished
        )
        for grandchild in family:
            ids = grandchild.node.token_ids
            assert ids[: len(child.node.token_ids)] == child.node.token_ids
            assert grandchild.node.prefix.startswith(child.node.prefix)


# --- choices


class Answers(Flat):
    """A policy whose answers are given; the earlier, the surer."""

    def __init__(self, answers):
        self.answers = answers

    def sample_each(self, requests, seeds):
        texts = [f"<answer> {a} </answer>" if a else "hm" for a in self.answers]
        return [
            [Response(t, [1], [-0.1 * i], i != 1) for i, t in enumerate(texts[: r.n])]
            for r in requests
        ]


def test_choices_on_known_answers():
    problem = Arithmetic(2).problem("3 + 4")
    policy = Answers(["9", "7", None, "7", "8"])

    def run(strategy):
        return search(strategy, policy, [problem], Arithmetic(2))[0]

    assert run(majority(5)).response == "<answer> 7 </answer>"
    assert run(best_of_n(5)).response == "<answer> 9 </answer>"
    assert run(best_of_n(5, by_vote(key=len))).response == "<answer> 9 </answer>"
    assert run(sample(5)).candidates[2] == "hm"
    assert run(majority(1)).response == "<answer> 9 </answer>"

    @part
    def eight(space, nodes):
        return [float("8" in here.node.prefix) for here in nodes]
        yield

    assert run(best_of_n(5, by_value(), eight())).response == "<answer> 8 </answer>"
    assert run(best_of_n(5, by_vote(weight=eight()))).response == "<answer> 8 </answer>"


def test_an_answer_is_never_checked_twice_and_the_surest_is_checked_first():
    problem = Arithmetic(2).problem("3 + 4")
    policy = Answers(["9", "9", "9", "8", "9", "7", None, "7"])
    [result] = search(best_of_n(8, by_checker()), policy, [problem], Arithmetic(2))
    assert result.response == "<answer> 7 </answer>"
    assert result.cost.checks == 3
    [result] = search(best_of_n(8, by_checker(most=2)), policy, [problem], Arithmetic(2))
    assert result.response == "<answer> 9 </answer>"
    assert result.cost.checks == 2

    @part
    def asks_again(space):
        texts = ["<answer> 7 </answer>", "<think> 3 </think> <answer> 7 </answer>"]
        first = yield [Check(t) for t in texts * 2]
        second = yield Check(texts[0])
        return Found(None, tree=[*first, second])

    [result] = search(asks_again(), policy, [problem], Arithmetic(2))
    assert result.tree == [True] * 5
    assert result.cost.checks == 1


# --- budgets


def test_a_budget_does_not_turn_a_cut_sample_into_a_failure():
    """Right answers of 10 tokens at most, 30 allowed: whatever the budget, all whole samples are
    right.
    """

    class Right(Flat):
        def sample_each(self, requests, seeds):
            groups = []
            for r in requests:
                whole = r.max_new_tokens >= 10
                text = "<answer> 7 </answer>" if whole else "<answer>"
                groups.append(
                    [Response(text, [1] * min(10, r.max_new_tokens), [-0.1], whole)] * r.n
                )
            return groups

    problem = Arithmetic(2).problem("3 + 4")
    for budget in (30, 35, 61, 95):
        options = {"task": Arithmetic(2), "progress": False, "budget": budget}
        report = evaluate(Right(), [problem], sample(8, max_new_tokens=30), **options)
        assert report["accuracy"] == 1.0
        assert report["results"][0]["samples"] == report["tokens"] // 10 >= 1
    # A budget below one response cuts that response: nothing whole could be had.
    report = evaluate(Right(), [problem], sample(8, max_new_tokens=30), **options | {"budget": 7})
    assert report["accuracy"] == 0.0
    assert report["tokens"] == 7


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "many"])
def test_budgets_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="nonnegative integer"):
        Budget(generated=wrong)


def test_what_was_found_survives_the_budget():
    """A strategy that runs out returns the best it had."""

    @part
    def strategy(space):
        found = yield Sample(space.prompt, max_new_tokens=5)
        try:
            yield Check("x")
        except OutOfBudget:
            return Found(found[0].text)

    [result] = search(strategy(), Flat(), PROBLEMS[:1], budget=Budget(checks=0))
    assert result.response == "x"
    assert result.stopped


# --- the driver


def test_one_call_a_turn():
    """Problems that ask for different things in different rounds still share one call of the
    sampler a turn.
    """
    calls = []

    class Counting(Flat):
        def sample_each(self, requests, seeds):
            calls.append(len(requests))
            return super().sample_each(requests, seeds)

    @part
    def strategy(space):
        for _ in range(3):
            numbers = space.problem.numbers
            yield Sample(space.prompt, n=1 + numbers[0] % 3, max_new_tokens=5 + sum(numbers) % 4)
            if numbers[1] % 2:
                yield [Sample(space.prompt, temperature=0.5), Sample(space.prompt)]
        return Found(None)

    search(strategy(), Counting(), PROBLEMS, budget=Budget(generated=10**6))
    assert len(calls) == 6
    assert calls[0] == len(PROBLEMS)


def test_batches_change_nothing_up_to_rounding(policy):
    for strategy in (
        sample(3, max_new_tokens=12),
        beam(oracle(0.5), width=3),
        beam(width=3),
        mcts(oracle(0.5), 6),
    ):
        runs = [
            search(strategy, policy, PROBLEMS, concurrent=concurrent, seed=3)
            for concurrent in (1, 5, 64)
        ]
        for results in zip(*runs, strict=True):
            first = results[0]
            for other in results[1:]:
                if strategy.name == "sample":
                    for i, (a, b) in enumerate(zip(first.samples, other.samples, strict=True)):
                        assert_same_up_to_rounding(
                            policy, task.prompt(first.problem, "solve"), a.token_ids, b.token_ids,
                            seed=first_seed(3), index=i,
                        )  # fmt: skip
                else:
                    assert first.response == other.response
                    assert first.cost == other.cost


def first_seed(seed):
    import zlib

    return zlib.crc32(f"{seed} 1".encode())


def test_a_problem_that_occurs_twice_gets_other_samples(policy):
    one, two = search(sample(4, max_new_tokens=20), policy, [PROBLEMS[0]] * 2, concurrent=1)
    again = search(sample(4, max_new_tokens=20), policy, [PROBLEMS[0]] * 2, concurrent=2)
    assert len(set(one.candidates + two.candidates)) == 8
    assert [one.candidates, two.candidates] == [r.candidates for r in again]


def test_requests_for_more_samples_get_new_ones(policy):
    @part
    def strategy(space):
        first = yield Sample(space.prompt, n=2, max_new_tokens=20)
        second, third = yield [Sample(space.prompt, n=2, max_new_tokens=20)] * 2
        return Found(None, tuple(s.text for s in first + second + third))

    [result] = search(strategy(), policy, PROBLEMS[:1])
    assert len(set(result.candidates)) == 6


def test_long_continuations_are_scored(policy):
    """Continuations longer than the room the cache leaves, beside short ones."""
    texts = ("1 2 get " * 40, "no")
    prompt = "think : make 5 from 2 3"
    context = policy.encode(prompt)
    [found] = policy.logprobs_each([Logprobs(prompt, "", texts)])
    for logprob, text in zip(found, texts, strict=True):
        row = policy.tokenizer.encode(text, add_special_tokens=False)
        with torch.inference_mode():
            logits = policy.model(torch.tensor([context + row])).logits[0].log_softmax(-1)
        total = sum(float(logits[len(context) - 1 + i, t]) for i, t in enumerate(row))
        assert logprob == pytest.approx(total, rel=1e-4)


def test_what_runs_together_asks_together():
    """`together` joins the requests of a turn, gives each its own replies, and returns what each
    returns.
    """

    def some(names):
        got = []
        for name in names:
            got.append((yield name))
        return got

    run, seen, reply = together(some("ab"), some([["c", "d"]]), some("")), [], None
    result = None
    while result is None:
        try:
            asked = run.send(reply)
        except StopIteration as end:
            result = end.value
            continue
        seen.append(asked)
        reply = [name.upper() for name in asked]
    assert result == [["A", "B"], [["C", "D"]], []]
    assert seen == [["a", "c", "d"], ["b"]]


def test_strangers_are_refused():
    @part
    def strange(space):
        yield "hello"

    for asked in (strange(), part(lambda space: (yield [Check("x"), None]))()):
        with pytest.raises(ValueError, match="which is no request"):
            search(asked, Flat(), PROBLEMS[:1])
    with pytest.raises(ValueError, match="concurrent"):
        search(greedy(), Flat(), PROBLEMS[:1], concurrent=0)
    with pytest.raises(ValueError, match="asks for 'solve'"):
        evaluate(Flat(), PROBLEMS[:1], beam(), instruction="think", progress=False)
    with pytest.raises(ValueError, match="width must be"):
        search(beam(width=0), Flat(), PROBLEMS[:1])
    with pytest.raises(TypeError, match="widht"):
        beam(widht=3)


def test_no_problems():
    assert search(greedy(), Flat(), []) == []


# --- parts by name


def test_strategies_by_name():
    assert strategy_of("beam", {"width": "3"}, guidance=oracle()) == beam(oracle(), 3)
    assert strategy_of("best_of_n", {"n": "8", "choose": "by_vote"}) == majority(8)
    assert strategy_of("mcts", guidance=oracle(), select="checker") == mcts(
        oracle(), leaf=correct()
    )
    assert repr(beam(oracle(noise=0.5), 3)).startswith(
        "beam(guidance=oracle(noise=0.5, seed=0), width=3"
    )
    assert guidance_of("judge") == judge()
    for name, options, message in (
        ("magic", {}, "unknown search 'magic'"),
        ("beam", {"widht": "3"}, "beam has no option 'widht'; it has guidance, width"),
        ("beam", {"width": "many"}, "width=many: expected a number"),
        ("mcts", {}, "give it a guidance"),
    ):
        with pytest.raises(ValueError, match=message):
            strategy_of(name, options)
    with pytest.raises(ValueError, match="uses no guidance"):
        strategy_of("greedy", guidance=oracle())
    with pytest.raises(ValueError, match="would change nothing"):
        strategy_of("greedy", select="checker")
    with pytest.raises(ValueError, match="unknown select"):
        strategy_of("beam", select="coin")


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
