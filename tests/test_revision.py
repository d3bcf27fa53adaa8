"""Revision against its pseudocode and equations, and the policy's own confidence against its own
samples and its own forward pass.
"""

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from walker import Walker, encode

from o1lib.model.network import build_model
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import revise_part
from o1lib.search.budget import Budget
from o1lib.search.choose import by_checker
from o1lib.search.confidence import (
    self_consistency,
    self_evaluation,
    self_verification,
    semantic_entropy,
)
from o1lib.search.driver import search_all
from o1lib.search.guidance import Likelihoods, correct, implicit_reward, legal
from o1lib.search.mctsr import mctsr
from o1lib.search.nodes import Found, TreeNode, answer_of, quoted
from o1lib.search.parts import part
from o1lib.search.requests import Sample
from o1lib.search.revision import best_then_revise, reflexion, revise_prompt, self_refine
from o1lib.search.sampling import retry
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.space import Node, Space

task = Countdown(3)
PROBLEM = task.problem([2, 7, 8], 13)
SPACE = Space(task, PROBLEM, "think")


class Answers:
    """A policy that gives these answers, one after the other, whatever it is asked."""

    bf16 = False
    tokenizer = build_tokenizer()

    def __init__(self, answers):
        self.left, self.prompts = list(answers), []

    def sample_each(self, requests, seeds):
        self.prompts += [request.prompt for request in requests]
        return [[self.one() for _ in range(request.n)] for request in requests]

    def one(self):
        answer = self.left.pop(0)
        text = f"<think> 1 </think> <answer> {answer} </answer>" if answer else "<think> 1"
        return Response(text, list(encode(text)), [-0.1], bool(answer))


def search(strategy, policy, problem=PROBLEM, world=task, instruction="think", **options):
    return search_all(strategy, policy, world, [problem], instruction=instruction, **options)[0]


@part
def by_answer(space, nodes, table):
    return [table.get(answer_of(here.node.prefix), 0.0) for here in nodes]
    yield


WRONG, WORSE, RIGHT = "( 8 + 7 ) + 2", "( 8 - 7 ) / 2", "( 8 + 7 ) - 2"


def test_prompts_quote_attempts_as_policies_are_taught():
    """The same words as in the documents of the corpus."""
    rng = random.Random(0)
    for _ in range(20):
        document = revise_part(3)(rng)
        said, attempt = document.prompt.split(" ; attempt ")
        goal, numbers = said.removeprefix("revise : make ").split(" from ")
        problem = task.problem([int(x) for x in numbers.split()], int(goal))
        answer = attempt.split(" gives ")[0]
        here = TreeNode(Node(f"<answer> {answer} </answer>", None, 1, True))
        assert revise_prompt(Space(task, problem), [here]) == document.prompt


def test_what_can_be_quoted():
    def said(answer):
        return quoted([f"<answer> {answer} </answer>"])

    assert said(WORSE) == " ; attempt ( 8 - 7 ) / 2 gives 1/2"
    assert said("fill a , empty a") == " ; attempt fill a , empty a"
    assert said("1 / 0") == " ; attempt 1 / 0"
    assert said("") == said("9 * " * 100 + "9") == quoted(["no answer"]) == ""
    assert quoted([f"<answer> {a} </answer>" for a in "121"]) == (
        " ; attempt 1 gives 1 ; attempt 2 gives 2"
    )


def test_self_refine_goes_on_until_it_is_content():
    table = by_answer({WRONG: 0.2, WORSE: 0.3, RIGHT: 0.8})
    policy = Answers([WRONG, None, WORSE, RIGHT, WRONG])
    result = search(self_refine(table, rounds=9), policy)
    assert answer_of(result.response) == RIGHT
    assert policy.prompts == [
        "think : make 13 from 2 7 8",
        "revise : make 13 from 2 7 8 ; attempt ( 8 + 7 ) + 2 gives 17",
        "think : make 13 from 2 7 8",  # there was no answer to quote
        "revise : make 13 from 2 7 8 ; attempt ( 8 - 7 ) / 2 gives 1/2",
    ]
    assert result.cost.generated == sum(len(encode(text)) for text in result.candidates)
    for rounds in (0, 1, 2):
        result = search(self_refine(table, rounds), Answers([WRONG, WORSE, WRONG]))
        assert len(result.candidates) == 1 + rounds
        assert result.response == result.candidates[-1]


def test_reflexion_tries_until_the_outside_is_content():
    policy = Answers([WRONG, WORSE, WRONG, RIGHT, WRONG])
    result = search(reflexion(rounds=9, memory=2), policy)
    assert task.verify(PROBLEM, result.response)
    assert result.cost.checks == 3  # the second time the wrong one is known
    assert policy.prompts[2].endswith(
        " ; attempt ( 8 + 7 ) + 2 gives 17 ; attempt ( 8 - 7 ) / 2 gives 1/2"
    )
    assert policy.prompts[3].count("attempt") == 2
    stopped = search(reflexion(rounds=9), Answers([WRONG, WORSE, RIGHT]), budget=Budget(checks=1))
    assert answer_of(stopped.response) == WORSE  # the last that there was when checks ran out
    assert stopped.stopped


@given(st.lists(st.integers(0, 9), min_size=6, max_size=6), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_the_best_is_revised_and_the_best_of_all_returned(numbers, n, revisions):
    answers = [f"{x}{i}" for i, x in enumerate(numbers, 1)]
    table = {answer: float(answer[0]) for answer in answers}
    policy = Answers(answers)
    result = search(best_then_revise(by_answer(table), n, revisions), policy)
    first, every = answers[:n], answers[: n + revisions]
    assert table[answer_of(result.response)] == max(map(table.get, every))
    assert [answer_of(text) for text in result.candidates] == every
    if revisions:
        shown = policy.prompts[1].split("attempt ")[1].split()[0]
        assert table[shown.zfill(2)] == max(map(table.get, first))
        assert len(policy.prompts) == 2


def test_the_checker_may_choose_among_revisions():
    strategy = best_then_revise(by_answer({}), 2, 2, choose=by_checker())
    result = search(strategy, Answers([WRONG, WORSE, RIGHT, WORSE]))
    assert task.verify(PROBLEM, result.response)


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(1, 3), st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_mctsr_follows_its_equations(seed, simulations, most, c):
    """Every Q and N from the rewards that were given, worked out once more from the leaves up."""
    rng, rewards = random.Random(seed), {}

    @part
    def noisy(space, nodes):
        [here] = nodes
        rewards.setdefault(id(here), []).append(rng.random())
        return [rewards[id(here)][-1]]
        yield

    policy = Answers([f"1{i}" for i in range(20)])
    result = search(mctsr(noisy(), simulations, c, most), policy)
    tree = [here for here in result.tree.walk() if here is not result.tree]
    assert len(tree) == 1 + simulations == len(result.candidates)

    def own(here):
        return (min(rewards[id(here)]) + sum(rewards[id(here)]) / len(rewards[id(here)])) / 2

    def q(here):
        below = [q(child) for child in here.children or ()]
        return (own(here) + max(below)) / 2 if below else own(here)

    for here in tree:
        assert here.value == pytest.approx(q(here))
        assert here.visits == len(rewards[id(here)]) + sum(x.visits for x in here.children or ())
        assert len(here.children or ()) <= most
    assert len(result.tree.children) == 1
    assert result.tree.visits == 1 + 2 * simulations
    best = max(tree, key=own)
    assert result.response == best.node.prefix
    # The chosen ones were evaluated once more for each revision, and quoted.
    asked = Counter(prompt.split("attempt ")[1].split()[0] for prompt in policy.prompts[1:])
    assert asked == Counter({answer_of(h.node.prefix): len(h.children) for h in tree if h.children})


def test_mctsr_prefers_what_is_good_or_little_visited():
    """By hand; and an answer that is good enough ends it."""

    def shown(table, c):
        policy = Answers(["11", "12", "13", "14"])
        result = search(mctsr(by_answer(table), 3, c), policy)
        quotes = [prompt.split("attempt ")[1].split()[0] for prompt in policy.prompts[1:]]
        return quotes, answer_of(result.response)

    # 12 is better than 11, which so is expanded; after 13 it still is, at (0.9 + 0.5) / 2.
    table = {"11": 0.5, "12": 0.9, "13": 0.5, "14": 0.95}
    assert shown(table, 0.0) == (["11", "12", "12"], "14")
    # Now 12 is worse: 0.3 + 0.84 c for 11, evaluated three times, 0.1 + 1.45 c for 12, once.
    bad = {"11": 0.5, "12": 0.1}
    assert shown(bad, 0.0)[0][:2] == ["11", "11"]
    assert shown(bad, 1.0)[0][:2] == ["11", "12"]
    result = search(mctsr(by_answer(table), 3, enough=0.9), Answers(["11", "12", "13"]))
    assert answer_of(result.response) == "12"
    assert len(result.candidates) == 2


# --- guidances


def values_of(guidance, policy, nodes, problem=PROBLEM, world=task, instruction="solve"):
    @part
    def ask(space):
        return Found(None, tree=(yield from guidance(space, nodes)))

    result = search(ask(), policy, problem, world, instruction)
    return result.tree, result.cost


def whole(answer):
    return TreeNode(Node(f"<think> 1 </think> <answer> {answer} </answer>", None, 1, True))


def test_agreement_of_samples():
    """Against the samples themselves, asked for once more."""
    space = Space(task, PROBLEM)
    nodes = [TreeNode(space.child(space.root, s)) for s in space.steps(space.root)[:5]]
    policy = Walker(task, [PROBLEM])
    shares, cost = values_of(self_consistency(8), policy, nodes)
    assert cost.generated == policy.generated > 0
    entropies, _ = values_of(semantic_entropy(8), Walker(task, [PROBLEM]), nodes)
    drawn = {}

    @part
    def draw(space):
        replies = yield [Sample(space.prompt, here.node.prefix, 8) for here in nodes]
        drawn.update(enumerate(replies))
        return Found(None)

    search(draw(), Walker(task, [PROBLEM]), instruction="solve")
    for i, (share, entropy) in enumerate(zip(shares, entropies, strict=True)):
        counts = Counter(answer_of(response.text) for response in drawn[i])
        assert share == max(counts.values()) / 8
        assert entropy == pytest.approx(sum(k / 8 * math.log(k / 8) for k in counts.values()))
    assert len(set(shares)) > 1


def test_agreement_of_whole_answers_costs_nothing():
    nodes = [whole("7"), whole("7"), whole("8"), TreeNode(Node("<think>", None, 1, True))]
    shares, cost = values_of(self_consistency(8), Walker(task, []), nodes)
    assert shares == [0.5, 0.5, 0.25, 0.0]
    even, _ = values_of(self_consistency(key=lambda a: int(a) // 2), Walker(task, []), nodes)
    assert even == [0.5, 0.5, 0.25, 0.0]
    entropies, _ = values_of(semantic_entropy(8), Walker(task, []), nodes)
    assert entropies == [0.0] * 4
    assert vars(cost) == {"generated": 0, "scored": 0, "checks": 0}


def chance(policy, prompt, prefix, words):
    """Of the first word against the second, by the model's own forward pass."""
    ids = policy.encode(prompt, prefix)
    with torch.inference_mode():
        logits = policy.model(torch.tensor([ids])).logits[0, -1]
    return float(logits[[encode(word)[0] for word in words]].softmax(-1)[0])


def test_self_evaluation_is_the_models_own_probability():
    policy = Policy(build_model("nano"), build_tokenizer(), bf16=False)
    space = Space(task, PROBLEM)
    step = TreeNode(space.child(space.root, space.steps(space.root)[0]))
    nothing = TreeNode(Node("<think> 1", None, 1, True))
    values, cost = values_of(self_evaluation(), policy, [step, whole(WRONG), nothing])
    asked = [f"judge : {step.node.state}", f"judge : {PROBLEM} ; attempt {WRONG} gives 17"]
    for value, prompt in zip(values, asked, strict=False):
        truth = chance(policy, prompt, "<answer>", ("alive", "dead"))
        assert value == pytest.approx(truth, abs=1e-4)
    assert values[2] == 0.5
    assert cost.scored == 2 * 3
    [value], _ = values_of(self_evaluation("yes", "no", "so"), policy, [step])
    assert value == pytest.approx(chance(policy, asked[0], "so", ("yes", "no")), abs=1e-4)


def test_an_answer_is_verified_by_working_it_out_again():
    """What is asked, what is compared, and that nothing is asked where there is nothing to ask."""
    policy = Answers(["13", "17", None])
    long = whole("9 * " * 100 + "9")
    nodes = [whole(RIGHT), TreeNode(Node("<think> 1", None, 1, True)), whole(WRONG), long]
    nodes += [whole(WORSE), TreeNode(SPACE.root)]
    values, cost = values_of(self_verification(), policy, nodes)
    assert values == [1.0, 0.0, 0.0, 0.0, 0.0, 0.5]
    assert policy.prompts == [f"solve : compute {answer}" for answer in (RIGHT, WRONG, WORSE)]
    replies = [encode(f"<think> 1 </think> <answer> {n} </answer>") for n in (13, 17)]
    assert cost.generated == sum(map(len, replies)) + len(encode("<think> 1"))
    assert cost.checks == 0
    jugs = Jugs()  # an answer raises no question there
    problem = jugs.problem([3, 5], 4)
    values, _ = values_of(self_verification(), Answers([]), [whole("fill a")], problem, jugs)
    assert values == [0.5]


def test_retries_stop_at_the_first_that_convinces():
    table = by_answer({WRONG: 0.2, WORSE: 0.4, RIGHT: 0.9})
    policy = Answers([WRONG, WORSE, RIGHT, WRONG])
    result = search(retry(table), policy)
    assert answer_of(result.response) == RIGHT
    assert len(result.candidates) == 3
    assert policy.left == [WRONG]
    result = search(retry(table, n=2), Answers([WRONG, WORSE, RIGHT]))
    assert answer_of(result.response) == WORSE  # none convinces: the most valued
    result = search(retry(correct()), Answers([None, WORSE, RIGHT, WRONG]))
    assert answer_of(result.response) == RIGHT
    with pytest.raises(ValueError, match="n must be at least 1"):
        search(retry(table, n=0), Answers([WRONG]))


def test_retries_begin_with_the_greedy_chain():
    heats = []

    class Watched(Answers):
        def sample_each(self, requests, seeds):
            heats.extend(request.temperature for request in requests)
            return super().sample_each(requests, seeds)

    search(retry(by_answer({}), n=3, temperature=0.7), Watched([WRONG, WORSE, RIGHT]))
    assert heats == [0.0, 0.7, 0.7]


def test_the_implicit_reward_is_the_log_ratio_of_two_policies():
    ours, reference = (Policy(build_model("nano", seed=s), build_tokenizer()) for s in (0, 1))
    for policy in (ours, reference):
        policy.bf16 = False
    space = Space(task, PROBLEM)
    nodes = [TreeNode(space.child(space.root, s)) for s in space.steps(space.root)[:3]]
    nodes.append(TreeNode(space.root))
    strategy = implicit_reward(Likelihoods(reference), beta=0.5)
    values, cost = values_of(strategy, ours, nodes)
    for here, value in zip(nodes[:3], values, strict=False):
        ids = list(encode(here.node.prefix))
        logprobs = [float(p.logprobs([space.prompt], [ids])[0].sum()) for p in (ours, reference)]
        assert value == pytest.approx(0.5 * (logprobs[0] - logprobs[1]), abs=1e-3)
    assert values[3] == 0.0
    assert cost.scored == 2 * sum(len(encode(here.node.prefix)) for here in nodes)
    same, _ = values_of(implicit_reward(Likelihoods(ours)), ours, nodes)
    assert same == pytest.approx([0.0] * 4, abs=1e-3)


def test_a_checker_that_errs():
    """As often as it is told, of one answer always alike, at the same cost."""
    world = Arithmetic(2)
    problem = world.problem("3 + 4")
    nodes = [whole(str(i)) for i in range(400)]
    values, cost = values_of(correct(error=0.3), Walker(world, []), nodes, problem, world)
    wrong = [value != (i == 7) for i, value in enumerate(values)]
    assert 0.3 - 0.09 < sum(wrong) / 400 < 0.3 + 0.09  # four standard errors
    assert values == values_of(correct(error=0.3), Walker(world, []), nodes, problem, world)[0]
    other, _ = values_of(correct(error=0.3, seed=1), Walker(world, []), nodes, problem, world)
    assert values != other
    assert cost.checks == 400
    surely, _ = values_of(correct(error=1.0), Walker(world, []), nodes[:9], problem, world)
    assert surely == [1.0] * 7 + [0.0, 1.0]


def test_legal_steps_are_told_from_slips():
    world = Jugs()
    problem = world.problems("val_inputs", 1)[0]
    space = Space(world, problem)
    good = space.child(space.root, space.steps(space.root)[0])
    texts = [good.prefix, good.prefix.replace("fill", "empty"), "<think> so"]
    nodes = [TreeNode(space.extend(space.root, text)) for text in texts]
    values, _ = values_of(legal(), Walker(world, []), nodes, problem, world)
    assert values == [1.0, 0.0, 0.0]


def test_settings_that_make_no_sense():
    for strategy in (
        self_refine(by_answer({}), rounds=-1),
        reflexion(memory=0),
        best_then_revise(by_answer({}), n=0),
        mctsr(by_answer({}), most=0),
    ):
        with pytest.raises(ValueError, match="need "):
            search(strategy, Answers([WRONG]))
