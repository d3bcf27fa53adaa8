"""Sampling, trees and tokens: each search against its pseudocode, written once more in the plainest
way, or against what can be counted by hand.
"""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walker import Reader, Walker, encode

from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.budget import Budget
from o1lib.search.choose import by_checker, by_value
from o1lib.search.driver import search_all
from o1lib.search.expand import any_step, proposed_steps, sampled_steps, whole_responses
from o1lib.search.guidance import ahead, correct, oracle, value
from o1lib.search.mcts import mcts, token_mcts
from o1lib.search.nodes import Found, TreeNode, answer_of
from o1lib.search.parts import part
from o1lib.search.registry import guidance_of, reads_steps, strategy_of
from o1lib.search.rejection import speculative_rejection
from o1lib.search.sampling import best_of_n, greedy, sample, weighted_vote
from o1lib.search.thinking import budget_forcing
from o1lib.search.thoughts import tot_bfs, tot_dfs
from o1lib.search.trees import beam, dvts, lookahead, random_steps
from o1lib.tasks import Countdown
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.space import Space

task = Countdown(3)
PROBLEMS = task.problems("val_inputs", 6)
SUM = Arithmetic(2).problem("3 + 4")


def search(strategy, policy, problems=PROBLEMS, world=task, **options):
    return search_all(strategy, policy, world, problems, **options)


def run(generator, reply):
    """Run a generator whose requests are all answered by a function."""
    try:
        asked = next(generator)
        while True:
            asked = generator.send(reply(asked))
    except StopIteration as end:
        return end.value


class Written:
    """A policy whose responses are written down: sample i of a prompt is the i-th, and what goes on
    from a beginning is the rest of the response that begins so.
    """

    bf16 = False
    tokenizer = build_tokenizer()

    def __init__(self, texts):
        self.rows = [(*encode(text), self.tokenizer.eos_token_id) for text in texts]
        self.lengths = []

    def sample_each(self, requests, seeds):
        groups = []
        for r in requests:
            before = encode(r.prefix) if isinstance(r.prefix, str) else tuple(r.prefix)
            rows = [row for row in self.rows if row[: len(before)] == before]
            rows += [(*before, self.tokenizer.eos_token_id)] * (not rows)
            groups.append([self.cut(r, before, rows[i % len(rows)]) for i in range(r.n)])
        self.lengths += [len(r.token_ids) for group in groups for r in group]
        return groups

    def cut(self, request, before, row):
        new = row[len(before) :][: request.max_new_tokens]
        stops = {encode(word)[0] for word in request.stop} | {self.tokenizer.eos_token_id}
        end = next((i + 1 for i, token in enumerate(new) if token in stops), None)
        new = new[:end]
        said = [t for t in (*before, *new) if t != self.tokenizer.eos_token_id]
        text = self.tokenizer.decode(said, clean_up_tokenization_spaces=False)
        return Response(text, list(new), [-0.1] * len(new), end is not None, before)


@part
def by_table(space, nodes, table):
    """Values of whole texts; a beginning has that of the text it grows into."""
    found = []
    for here in nodes:
        mine = [v for text, v in table.items() if text.startswith(here.node.prefix)]
        found.append(mine[0] if mine else 0.0)
    return found
    yield


# --- sampling


def test_a_small_nucleus_is_greedy():
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    [one] = search(greedy(max_new_tokens=10), policy, PROBLEMS[:1])
    [many] = search(sample(3, max_new_tokens=10, top_p=1e-6), policy, PROBLEMS[:1])
    assert set(many.candidates) == {one.response}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_votes_with_weights(drawn):
    texts = [f"<think> {i} </think> <answer> {a} </answer>" for i, (a, _) in enumerate(drawn)]
    weights = {text: float(w) for text, (_, w) in zip(texts, drawn, strict=True)}
    strategy = weighted_vote(by_table(weights), len(texts))
    [result] = search(strategy, Written(texts), [SUM], Arithmetic(2))
    total = Counter()
    for answer, weight in drawn:
        total[answer] += weight
    assert total[int(answer_of(result.response))] == max(total.values())
    # Without the means to weigh them, votes are equal.
    paid = weighted_vote(value(Reader()), len(texts))
    [result] = search(paid, Written(texts), [SUM], Arithmetic(2), budget=Budget(scored=0))
    votes = Counter(answer for answer, _ in drawn)
    assert votes[int(answer_of(result.response))] == max(votes.values())


TABLES = st.lists(
    st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.floats(0, 1)),
    min_size=2,
    max_size=8,
    unique_by=(lambda row: row[1], lambda row: row[0][0]),
)


@given(TABLES, st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_rejection_changes_no_winner_that_it_keeps(drawn, alpha, every):
    """Chains whose first words differ, valued from the first word on as in the end: so the best is
    never given up. What is written is what Algorithm 1 writes, counted by hand.
    """
    texts = [" ".join(map(str, digits)) for digits, _ in drawn]
    values = {text: v for text, (_, v) in zip(texts, drawn, strict=True)}
    n = len(texts)
    policy = Written(texts)
    strategy = speculative_rejection(by_table(values), n, alpha, every)
    [result] = search(strategy, policy, [SUM], Arithmetic(2))
    [best] = search(
        best_of_n(n, by_value(), by_table(values)), Written(texts), [SUM], Arithmetic(2)
    )
    assert result.response == best.response == max(values, key=values.get)

    left = {text: len(text.split()) + 1 for text in texts}  # tokens, with the end
    expected, whole = 0, []
    while left:
        expected += sum(min(every, k) for k in left.values())
        whole += [text for text, k in left.items() if k <= every]
        going = sorted((t for t, k in left.items() if k > every), key=values.get, reverse=True)
        left = {t: left[t] - every for t in going[: len(going) - int(alpha * len(going))]}
    assert result.cost.generated == expected == sum(policy.lengths)
    assert set(result.candidates) == set(whole)
    if alpha == 0:
        assert result.cost.generated == best.cost.generated


def test_rejection_in_one_look_is_best_of_n():
    """The same samples of a real policy, the same winner."""
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    one = speculative_rejection(value(Reader()), 4, every=16, max_new_tokens=16)
    other = best_of_n(4, by_value(), value(Reader()), max_new_tokens=16)
    for a, b in zip(search(one, policy), search(other, policy), strict=True):
        assert a.response == b.response
        assert a.cost == b.cost


def test_rejection_gives_up_the_worst():
    """One that begins badly and would have ended best is lost: the price of the method."""
    values = {"1 1 1": 0.9, "2 2 2": 0.5}

    @part
    def late(space, nodes):
        return [values.get(n.node.prefix, 0.0 if "1" in n.node.prefix else 0.4) for n in nodes]
        yield

    for alpha, best in ((0.0, "1 1 1"), (0.5, "2 2 2")):
        strategy = speculative_rejection(late(), 2, alpha, every=2)
        [result] = search(strategy, Written(values), [SUM], Arithmetic(2))
        assert result.response == best


def test_thinking_is_put_off_and_forced():
    """A chain that would stop at once, and what follows when it may not."""
    texts = [
        "<think> 1 </think> <answer> 1 </answer>",
        "<think> 1 no want 2 </think> <answer> 2 </answer>",
        "<think> 1 no want 2 no want 3 3 3 </think> <answer> 3 </answer>",
        "<think> 1 no want 2 no want 3 </think> <answer> 4 </answer>",
    ]

    def said(**options):
        [result] = search(budget_forcing(**options), Written(texts), [SUM], Arithmetic(2))
        return result.response, result.cost.generated

    assert said(waits=0) == (texts[0], 3 + 4)
    assert said(waits=1) == (texts[1], 3 + 2 + 4)
    assert said(waits=2) == (texts[2], 3 + 2 + 4 + 4)
    # 3 + 2 + 1 tokens of thinking: the third 3 is not reached, and the answer is another.
    assert said(waits=2, most=6) == (texts[3], 6 + 4)
    assert said(waits=5, most=3)[0] == texts[0]
    for wrong in ({"waits": -1}, {"most": 0}):
        with pytest.raises(ValueError, match="need waits"):
            said(**wrong)
    # One that does not think is left alone.
    [result] = search(budget_forcing(), Written(["<answer> 5 </answer>"]), [SUM], Arithmetic(2))
    assert result.response == "<answer> 5 </answer>"


def test_unforced_it_is_the_policys_own_chain():
    policy = Policy.load("nano-think", bf16=False)
    problems = task.problems("val_targets", 8)
    own = search(greedy(), policy, problems, instruction="think")
    for a, b in zip(
        own, search(budget_forcing(0), policy, problems, instruction="think"), strict=True
    ):
        assert (a.response, a.cost) == (b.response, b.cost)
    for result in search(budget_forcing(2, 60), policy, problems, instruction="think"):
        assert len(encode(result.response.split("</think>")[0])) <= 60 + 2 * 2
        assert result.response.split("</think>")[0].count("no want") >= 1


# --- trees


def paths(space, node):
    yield node
    for step in space.steps(node):
        yield from paths(space, space.child(node, step))


def worth(space, node, seed=0):
    return random.Random(f"{seed} {node.prefix}").random()


@part
def rated(space, nodes, seed=0):
    """A value for every text, made up."""
    return [worth(space, here.node, seed) for here in nodes]
    yield


def test_random_steps_are_uniform():
    """The share of right chains is the exact one: the mean over all ways to choose each step."""

    def share(state):
        steps = task.legal_steps(state)
        if not steps:
            return float(task.is_solved(state))
        return sum(share(task.apply(state, step)) for step in steps) / len(steps)

    n = 1000
    for result in search(random_steps(n), Walker(task, [])):
        right = sum(bool(task.verify(result.problem, text)) for text in result.candidates) / n
        exact = share(result.problem)
        assert abs(right - exact) < 4 * (exact * (1 - exact) / n) ** 0.5
        assert vars(result.cost) == {"generated": 0, "scored": 0, "checks": 0}
    for result in search(random_steps(300, by_checker()), Walker(task, [])):
        assert task.verify(result.problem, result.response)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_diverse_trees_never_meet(seed, trees, place):
    """Each is the greedy path from its first step, and the first steps are the best ones."""
    problem = PROBLEMS[place]
    [result] = search(dvts(rated(seed), trees), Walker(task, []), [problem])
    space = Space(task, problem)

    def best(nodes):
        return sorted(nodes, key=lambda node: worth(space, node, seed), reverse=True)

    ends = []
    for node in best([space.child(space.root, s) for s in space.steps(space.root)])[:trees]:
        while not space.complete(node):
            node = best([space.child(node, s) for s in space.steps(node)])[0]
        ends.append(node)
    assert result.response == space.response(best(ends)[0])
    if trees == 1:
        [one] = search(beam(rated(seed), width=1), Walker(task, []), [problem])
        assert one.response == result.response


def test_diverse_trees_of_sampled_steps():
    """N = trees * m first steps are drawn, and the trees still begin differently."""
    policy = Walker(task, PROBLEMS)
    strategy = dvts(value(Reader()), 3, sampled_steps(2), choose=by_checker())
    for result in search(strategy, policy):
        firsts = [child.label for child in result.tree.children if child.children]
        assert len(set(firsts)) == len(firsts) <= 3


def test_lookahead_values_where_the_policy_arrives():
    """Against walking there oneself, at the cost of what was written."""
    problem = Countdown(4).problems("val_inputs", 1)[0]
    space = Space(Countdown(4), problem)
    for k in (0, 1, 2, 5):
        policy = Walker(Countdown(4), [problem])
        nodes = [TreeNode(space.child(space.root, s)) for s in space.steps(space.root)[:6]]

        @part
        def ask(space, nodes=nodes, k=k):
            return Found(None, tree=(yield from ahead(rated(1), k)(space, nodes)))

        [result] = search(ask(), policy, [problem], Countdown(4))
        again = Walker(Countdown(4), [problem])
        for here, found in zip(nodes, result.tree, strict=True):
            node = here.node
            for _ in range(k):
                if space.complete(node):
                    break
                [[more]] = again.sample_each([_step(space, node)], [0])
                node = space.extend(node, more.text)
            assert found == worth(space, node, 1)
        assert result.cost.generated == policy.generated == again.generated
        assert (policy.generated > 0) == (k > 0)
    [plain] = search(beam(rated(2), width=2), Walker(task, []), PROBLEMS[:1])
    [zero] = search(lookahead(rated(2), k=0, width=2), Walker(task, []), PROBLEMS[:1])
    assert plain.response == zero.response


def _step(space, node):
    from o1lib.search.requests import Sample

    return Sample(space.prompt, node.prefix, 1, 0.0, 64, (";", "</think>"))


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_tree_of_thoughts_breadth_first(seed, width, place):
    """With every legal step and one judge for all it is the beam."""
    strategy = tot_bfs(rated(seed), width, any_step(), rated(seed))
    [ours] = search(strategy, Walker(task, []), [PROBLEMS[place]])
    [same] = search(beam(rated(seed), width), Walker(task, []), [PROBLEMS[place]])
    assert ours.response == same.response


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_tree_of_thoughts_depth_first(seed, threshold, limit, place):
    """Against Algorithm 2 as a recursion."""
    problem = PROBLEMS[place]
    space = Space(task, problem)
    entered, outputs, found = [], [], []

    def dfs(node):
        if found or len(entered) == limit:
            return
        entered.append(node)
        below = [space.child(node, step) for step in space.steps(node)]
        below.sort(key=lambda child: worth(space, child, seed), reverse=True)
        outputs.extend(child for child in below if space.complete(child))
        found.extend(
            child
            for child in below
            if space.complete(child) and worth(space, child, seed) > threshold
        )
        for child in below:
            if worth(space, child, seed) > threshold and not space.complete(child):
                dfs(child)

    dfs(space.root)
    strategy = tot_dfs(rated(seed), threshold, any_step(), rated(seed), limit)
    [result] = search(strategy, Walker(task, []), [problem])
    wanted = (found or outputs) and max(found or outputs, key=lambda node: worth(space, node, seed))
    assert result.response == (space.response(wanted) if wanted else None)
    visited = [n.node.prefix for n in result.tree.walk() if n.visits]
    assert sorted(visited) == sorted(node.prefix for node in entered)


def test_proposals_are_what_the_policy_lists():
    """Its legal steps, in its order, each once; nonsense is passed over."""
    world = Countdown(4)
    problem = world.problems("val_inputs", 1)[0]
    policy = Walker(world, [problem])
    space = Space(world, problem)
    [[reply]] = policy.sample_each([_propose(world, problem)], [0])
    listed = answer_of(reply.text).split(" ; ")
    assert listed[0] == "<unk>"

    @part
    def ask(space, most=5):
        some = [TreeNode(space.root)]
        return Found(None, tree=(yield from proposed_steps(most)(space, some))[0])

    [result] = search(ask(), policy, [problem], world)
    assert [child.label for child in result.tree] == listed[1:]
    [few] = search(ask(2), policy, [problem], world)
    assert [child.label for child in few.tree] == listed[1:3]
    [every] = search(ask(1000), policy, [problem], world)
    assert [child.label for child in every.tree] == [s.text for s in space.steps(space.root)]
    assert every.cost.generated == 0


def _propose(world, problem):
    from o1lib.search.requests import Sample

    return Sample(world.prompt(problem, "propose"), "", 1, 0.0, 96)


# --- tokens and whole solutions


def test_tokens_are_written_where_most_visits_are():
    """The response is the most visited path, token by token, and statistics equal a replay."""
    world = Arithmetic(3)
    problems = world.problems("val_inputs", 3)
    strategy = token_mcts(value(Reader()), 3, max_new_tokens=12)
    for result in search(strategy, Walker(world, problems), problems, world):
        here = result.tree
        for _ in range(12):
            here = max(here.children, key=lambda c: (c.visits, c.mean, c.prior))
        assert result.response == here.node.prefix
        assert len(here.node.token_ids) == 12
        assert result.tree.visits == 1 + 3 * 12

        def total(node):
            own = node.value * (node.visits - sum(c.visits for c in node.children or ()))
            return own + sum(total(c) for c in node.children or () if c.visits)

        for node in result.tree.walk():
            assert not node.visits or node.value_sum == pytest.approx(total(node))


def test_tokens_end_at_an_answer():
    """In Arithmetic every legal chain is right, however it is searched."""
    world = Arithmetic(2)
    problems = world.problems("val_inputs", 3)
    for leaf in (None, correct()):
        strategy = token_mcts(value(Reader()), 2, leaf=leaf)
        for result in search(strategy, Walker(world, problems), problems, world):
            assert world.verify(result.problem, result.response)


def test_over_whole_solutions_the_best_valued_is_visited_most():
    strategy = mcts(rated(4), 1500, c_puct=1.0, expand=whole_responses(6))
    for result in search(strategy, Walker(task, PROBLEMS)):
        ends = result.tree.children
        space = Space(task, result.problem)
        assert all(child.node.finished for child in ends)
        values = {child.node.prefix: worth(space, child.node, 4) for child in ends}
        assert result.response == max(values, key=values.get)


# --- by name


def test_settings_in_brackets():
    assert guidance_of("ahead(guidance=rollouts(n=2, temperature=0.5), k=3)") == ahead(
        guidance_of("rollouts(n=2,temperature=0.5)"), 3
    )
    assert guidance_of("correct(error=0.25)") == correct(error=0.25)
    assert guidance_of("self_evaluation(yes=true, before=none)").settings["before"] == "none"
    made = strategy_of("dvts", {"expand": "sampled_steps(n=3)"}, guidance=oracle())
    assert made == dvts(oracle(), expand=sampled_steps(3))
    assert strategy_of("beam", {"guidance": "oracle"}) == beam(oracle())
    assert strategy_of("mcts", {"leaf": "none", "guidance": "oracle"}) == mcts(oracle())
    assert strategy_of("budget_forcing", {"word": "4"}).settings["word"] == "4"
    assert strategy_of("tot_bfs", select="checker") == tot_bfs(leaf=correct())
    for text, message in (
        ("rollouts(m=2)", "rollouts has n, temperature, max_new_tokens"),
        ("rollouts(2)", "settings read KEY=VALUE"),
        ("rollouts(n=2", "bracket is not closed"),
        ("ahead", "missing a required argument: 'guidance'"),
        ("ahead(guidance=beam)", "beam"),
    ):
        with pytest.raises(ValueError, match=message):
            guidance_of(text)
    for name in ("weighted_vote", "dvts", "mctsr", "best_first", "speculative_rejection"):
        with pytest.raises(ValueError, match="give it a guidance"):
            strategy_of(name)


def test_what_walks_through_the_tasks_steps_asks_for_them():
    walks = (
        "depth_first",
        "random_steps",
        "beam",
        "lookahead",
        "dvts",
        "tot_bfs",
        "tot_dfs",
        "a_star",
    )
    for name in (*walks, "mcts", "best_first"):
        try:
            assert reads_steps(strategy_of(name))
        except ValueError:
            assert reads_steps(strategy_of(name, guidance=oracle()))
    writes = {"expand": "sampled_steps"}
    for name, options in (("greedy", {}), ("mctsr", {}), ("token_mcts", {}), ("beam", writes)):
        try:
            assert not reads_steps(strategy_of(name, options))
        except ValueError:
            assert not reads_steps(strategy_of(name, options, guidance=oracle()))


def test_settings_that_make_no_sense():
    for strategy in (
        speculative_rejection(rated(), alpha=1.0),
        dvts(rated(), trees=0),
        tot_bfs(rated(), width=0),
        token_mcts(rated(), simulations=0),
        best_of_n(2, by_value(), correct(error=2)),
    ):
        with pytest.raises(ValueError, match=r"need|must be"):
            search(strategy, Walker(task, PROBLEMS), PROBLEMS[:1])
