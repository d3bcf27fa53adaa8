"""Judges: exact labels against fractions, rollout labels against the enumerated tree, aggregations
and votes by hand.
"""

import math
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from o1lib.learning.values import chain_rows
from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import encode_prompt, encode_text
from o1lib.recipes.experiments import EXPERIMENTS
from o1lib.recipes.judge_data import Plan, candidates, distinct, material, rolled_out, sampled
from o1lib.recipes.judges import head, majority, mended, right_parts, truth, writer
from o1lib.reward.judge import (
    best,
    by_head,
    by_likelihood,
    by_truth,
    by_verdict,
    claims,
    last,
    least,
    lessons,
    once,
    over_n,
    product,
    vote,
)
from o1lib.reward.steps import (
    Chain,
    at_the_end,
    exact_steps,
    exact_tokens,
    from_rollouts,
    outcome_of_steps,
    read_chain,
)
from o1lib.tasks import Arithmetic
from o1lib.tasks.space import Space, step_texts

task = Arithmetic(6)
SPACE = Space(Arithmetic(3), Arithmetic(3).problem("( 2 + 3 ) * 4"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path_factory.getbasetemp() / "judges"))


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-arithmetic", bf16=False)


@pytest.fixture(scope="module")
def groups(policy):
    """Eight chains of each of some expressions, sampled without the cache."""
    spaces = [Space(task, problem) for problem in task.problems("val_inputs", 16)]
    found = policy.sample([s.prompt for s in spaces], 8, max_new_tokens=160)
    return [
        [read_chain(policy, space, response.token_ids) for response in group]
        for space, group in zip(spaces, found, strict=True)
    ]


@pytest.fixture(scope="module")
def chains(groups):
    return distinct(groups)


def read(policy, text):
    return read_chain(policy, SPACE, [*encode_text(policy.tokenizer, text), 3])


RIGHT = "<think> 2 + 3 = 5 left 5 * 4 ; 5 * 4 = 20 left 20 </think> <answer> 20 </answer>"
SLIP = "<think> 2 + 3 = 6 left 6 * 4 ; 6 * 4 = 24 left 24 </think> <answer> 24 </answer>"
LUCKY = "<think> 2 + 3 = 5 left 5 + 4 ; 5 + 4 = 20 left 20 </think> <answer> 20 </answer>"


# --- labels


def next_texts(text):
    """All right steps from an expression, by exact fractions and without the library."""
    if text.isdigit():
        return set()
    whole, found = f"( {text} )", set()
    for match in re.finditer(r"\( (\d+) ([-+*/]) (\d+) \)", whole):
        a, op, b = Fraction(match[1]), match[2], Fraction(match[3])
        value = a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b
        rest = whole[: match.start()] + str(value) + whole[match.end() :]
        rest = rest if rest.isdigit() else rest[2:-2]
        found.add(f"{match[1]} {op} {match[3]} = {value} left {rest}")
    return found


def test_labels_of_steps_are_those_of_exact_fractions(chains):
    wrong = right = 0
    for chain in chains:
        state, truth = chain.space.problem.text, []
        for text in [part.strip() for part in step_texts(chain.text)]:
            truth.append(text in next_texts(state))
            state = text.split(" left ")[-1]
            if not truth[-1]:
                break
        else:
            truth.append(chain.answer == state)
        labels = [exact_steps(chain)[end] for end in chain.judged]
        assert labels == [float(t) for t in truth]
        wrong += labels.count(0.0)
        right += labels.count(1.0)
    assert wrong > 20
    assert right > 100


def test_a_slip_is_the_first_token_that_no_right_step_has(policy, chains):
    slipped = [c for c in chains if c.slip < len(c.token_ids)]
    assert len(slipped) > 20
    for chain in slipped:
        before = policy.decode(chain.token_ids[: chain.slip])
        here = policy.decode(chain.token_ids[: chain.slip + 1])
        done, left = [part.strip() for part in step_texts(before)], chain.space.problem.text
        open_step = done.pop() if done and not before.endswith((";", "</think>")) else ""
        left = done[-1].split(" left ")[-1] if done else left
        if left.isdigit():
            continue  # the answer is wrong, or the brackets of it
        options = [f"{text} {'</think>' if text.split()[-2] == 'left' else ';'}" for text in
                   next_texts(left)]  # fmt: skip
        assert any(text.startswith(open_step) for text in options)
        written = here[len(before) - len(open_step) :].strip()
        assert not any(f"{text} ".startswith(f"{written} ") for text in options)
        repaired = policy.decode(chain.mended)
        assert chain.mended[: chain.slip] == chain.token_ids[: chain.slip]
        assert step_texts(repaired)[-1].strip() in next_texts(left)


def test_what_each_labeling_says(policy):
    right, slip, lucky = (read(policy, text) for text in (RIGHT, SLIP, LUCKY))
    ids = policy.tokenizer.convert_ids_to_tokens(slip.token_ids)
    assert [ids[end] for end in slip.ends] == ["▁;", "▁</think>", "<eos>"]
    assert (right.right, slip.right, lucky.right) == (True, False, True)
    assert (right.answer, slip.answer) == ("20", "24")
    n = len(slip.token_ids)
    assert right.slip == n
    assert slip.slip == 5
    assert lucky.slip == 8
    a, b, c = slip.ends
    assert at_the_end(slip) == {n - 1: 0.0}
    assert at_the_end(lucky) == {n - 1: 1.0}
    assert outcome_of_steps(lucky) == {a: 1.0, b: 1.0, c: 1.0}
    assert exact_steps(right) == {a: 1.0, b: 1.0, c: 1.0}
    assert exact_steps(slip) == {a: 0.0} == exact_steps(lucky)
    assert exact_tokens(slip) == {t: float(t < 5) for t in range(a + 1)}
    assert policy.decode(slip.mended) == "<think> 2 + 3 = 5 left 5 * 4 ;"
    assert right.mended == right.token_ids
    late = read(policy, RIGHT.replace("20 </answer>", "21 </answer>"))
    assert exact_steps(late) == {a: 1.0, b: 1.0, c: 0.0}
    assert late.slip == n - 3
    cut = read_chain(policy, SPACE, right.token_ids[:4])  # it was not finished: nothing is wrong
    assert cut.slip == 4
    assert not cut.right
    assert cut.answer is None


@pytest.mark.parametrize("text", ["", ";", "</think>", "<answer> 20 </answer>", "left ; ; left"])
def test_strange_chains_have_labels_and_are_judged(policy, text):
    chain = read(policy, text)
    for labeling in (at_the_end, outcome_of_steps, exact_steps, exact_tokens):
        assert labeling(chain)
    for judge in (
        by_truth,
        by_likelihood(policy),
        by_verdict(policy),
        by_verdict(policy, blind=True),
    ):
        [row] = judge([chain])
        assert len(row) == len(chain.ends)
        assert all(0 <= p <= 1 for p in row)


def test_rows_hold_the_labels_where_they_belong(policy):
    slip = read(policy, SLIP)
    [row] = chain_rows(policy.tokenizer, [slip], exact_steps)
    assert row.prompt_ids == encode_prompt(policy.tokenizer, SPACE.prompt)
    assert list(row.completion_ids) == list(slip.token_ids[: slip.ends[0] + 1])
    assert row.loss_mask == [0.0] * slip.ends[0] + [1.0]
    assert row.reward == 0.0
    half = lambda chain: {chain.ends[0]: 1.0, chain.ends[1]: 0.5}  # noqa: E731
    [row] = right_parts(policy.tokenizer, [slip], half)
    a, b = slip.ends[:2]
    assert row.loss_mask == [1.0] * (a + 1) + [0.5] * (b - a)
    [row] = right_parts(policy.tokenizer, [slip], exact_steps)
    assert row.counted == 0
    [row] = mended(policy.tokenizer, [slip])
    assert row.completion_ids == slip.mended
    assert row.counted == len(slip.mended)


# --- rollouts


def test_labels_of_rollouts_by_hand(policy):
    right = read(policy, RIGHT)
    a, b, c = right.ends
    begun = [right.token_ids[: end + 1] for end in (a, b)]
    outcomes = {(SPACE.prompt, begun[0]): "0110", (SPACE.prompt, begun[1]): "0000"}
    assert from_rollouts(outcomes, 4, hard=False)(right) == {a: 0.5, b: 0.0, c: 1.0}
    assert from_rollouts(outcomes, 4, hard=True)(right) == {a: 1.0, b: 0.0, c: 1.0}
    assert from_rollouts(outcomes, 1, hard=True)(right) == {a: 0.0, b: 0.0, c: 1.0}


def test_rollouts_estimate_the_exact_probability(policy):
    """From `a op b =` there is one way to end right, whose probability the model itself gives."""
    small, n = Arithmetic(2, high=99), 400
    spaces = [Space(small, problem) for problem in small.problems("val_inputs", 60)]
    chains = [
        read_chain(policy, s, [*encode_text(policy.tokenizer, small.solution_text(s.problem)), 3])
        for s in spaces
    ]
    begun = 5  # <think> a op b =
    chance = [
        math.exp(float(row[begun:].sum()))
        for row in policy.logprobs([s.prompt for s in spaces], [c.token_ids for c in chains])
    ]
    nearest = sorted(range(60), key=lambda i: abs(chance[i] - 0.5))[:4]
    some = [replace(chains[i], ends=(begun - 1, len(chains[i].token_ids) - 1)) for i in nearest]
    outcomes = rolled_out(policy, some, n)
    for i, chain in zip(nearest, some, strict=True):
        row = outcomes[chain.space.prompt, chain.token_ids[:begun]]
        assert len(row) == n
        assert 0.1 < chance[i] < 0.9
        assert row.count("1") / n == pytest.approx(chance[i], abs=0.02 + 4 * 0.5 / n**0.5)
        labels = from_rollouts(outcomes, n, hard=False)(chain)
        assert labels == {begun - 1: row.count("1") / n, chain.ends[1]: 1.0}


def test_rollouts_and_samples_are_made_once(policy, monkeypatch):
    again = sampled(policy, task, "val_inputs", 3, 2)
    monkeypatch.setattr(Policy, "sample", None)
    assert sampled(policy, task, "val_inputs", 3, 2) == again
    with pytest.raises(TypeError):
        sampled(policy, task, "val_inputs", 3, 3)


# --- judges


def test_a_likelihood_is_that_of_the_models_own_forward_pass(policy, chains):
    some = chains[:5]
    for chain, row in zip(some, by_likelihood(policy)(some), strict=True):
        prompt = encode_prompt(policy.tokenizer, chain.space.prompt)
        ids = torch.tensor([[*prompt, *chain.token_ids]])
        with torch.no_grad():
            logprobs = policy.model(input_ids=ids).logits[0].log_softmax(-1)
        written = logprobs[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]
        begun = 0
        for end, p in zip(chain.ends, row, strict=True):
            assert p == pytest.approx(float(written[begun : end + 1].sum().exp()), rel=1e-3)
            begun = end + 1


def test_a_head_is_read_at_the_ends_and_no_chain_twice(policy):
    class Places:
        def score(self, prompts, responses):
            assert len(responses) == 2
            return [[float(t) for t in range(len(ids))] for ids in responses]

    right, slip = read(policy, RIGHT), read(policy, SLIP)
    found = by_head(Places())([right, slip, right])
    assert found == [list(map(float, c.ends)) for c in (right, slip, right)]
    with pytest.raises(ValueError, match="shorter"):
        once(lambda chains: [])([right])


def test_what_a_judge_is_taught(policy, chains):
    right, slip = read(policy, RIGHT), read(policy, SLIP)
    assert claims(slip) == [
        ("judge : compute ( 2 + 3 ) * 4 ; attempt 2 + 3 = 6 left 6 * 4", "2 + 3 = 6 left 6 * 4"),
        ("judge : compute 6 * 4 ; attempt 6 * 4 = 24 left 24", "6 * 4 = 24 left 24"),
        ("judge : compute 24 ; attempt 24", "24"),
    ]
    reply = "<think> 2 + 3 = 5 </think> <answer> no </answer>"
    assert lessons(policy, slip) == [(claims(slip)[0][0], reply, False)]
    assert [ok for _, _, ok in lessons(policy, right)] == [True] * 3
    assert lessons(policy, right)[2][1] == "<think> 20 </think> <answer> yes </answer>"
    for chain in chains:
        taught = lessons(policy, chain)
        assert len(taught) == len(chain.judged)
        for question, worked, ok in taught:
            state = question.split("compute ")[1].split(" ; ")[0]
            step = worked.removeprefix("<think> ").split(" </think>")[0]
            claim = question.split("attempt ")[1]
            assert any(f"{text} ".startswith(f"{step} ") for text in next_texts(state) | {state})
            assert ok == (claim == step) == ("yes" in worked)
            if not ok:  # the last word is the first that differs
                *same, other = step.split()
                said = claim.split()
                assert said[: len(same)] == same
                assert said[len(same) : len(same) + 1] != [other]


def test_a_blind_judge_is_taught_what_it_has_not_seen(policy, chains):
    slip = read(policy, SLIP)
    question = "judge : compute ( 2 + 3 ) * 4 ; attempt 2 + 3 ="
    reply = "<think> 2 + 3 = 5 left 5 * 4 </think>"
    assert lessons(policy, slip, blind=True) == [(question, reply, False)]
    assert claims(slip, blind=True)[2] == ("judge : compute 24 ; attempt ", "24")
    for chain in chains:
        for question, worked, _ in lessons(policy, chain, blind=True):
            state = question.split("compute ")[1].split(" ; ")[0]
            step = worked.removeprefix("<think> ").removesuffix(" </think>")
            assert step == state or step in next_texts(state)


@pytest.mark.parametrize("blind", [False, True])
def test_a_verdict_is_the_probability_of_its_reply(policy, blind):
    """One reply agrees with the claim, one does not, one says nothing."""
    yes, no = ("", "") if blind else ("<answer> yes </answer>", "<answer> no </answer>")
    replies = {
        "2 + 3 =": f"<think> 2 + 3 = 5 left 5 * 4 </think> {yes}",
        "5 * 4 =": f"<think> 5 * 4 = 21 left 21 </think> {no}",
        "20 ": "<think> left",
    }

    class Worker:
        def sample(self, prompts, **options):
            found = []
            for prompt in prompts:
                text = next(v for k, v in replies.items() if k in f"{prompt} ")
                found.append([Response(text, [1, 2, 3], [math.log(0.5), math.log(0.8), 0.0], True)])
            return found

    spent = Counter()
    [row] = by_verdict(Worker(), blind, spent)([read(policy, RIGHT)])
    assert row == pytest.approx([0.4, 0.6, 0.6])
    assert spent == {"questions": 3, "tokens": 9}


# --- choices, by hand


def chain(answer, right):
    return Chain(SPACE, "", (1,), (0,), 1, (1,), answer, right)


def test_aggregations():
    steps = [0.9, 0.5, 0.8]
    assert last(steps) == 0.8
    assert least(steps) == 0.5
    assert math.exp(product(steps)) == pytest.approx(0.36)
    assert product([1e-300, 0.5]) < product([1e-9, 1.0]) > product([1e-300] * 2) > -math.inf


def test_votes_and_the_best():
    group = [chain("7", False), chain(None, False), chain("9", True), chain("7", False)]
    assert vote(group) is group[0]
    assert vote(group, [0.2, 9.0, 0.5, 0.2]) is group[2]  # what has no answer has no vote
    assert vote(group, [0.25, 9.0, 0.5, 0.25]) is group[0]  # the earlier of equals
    assert vote([group[1]] * 2) is group[1]
    assert best(group, [0.1, 0.3, 0.3, 0.2]) is group[1]
    numbers = [[0.1, 0.0, 0.9, 0.2]]
    assert over_n([group], best, numbers) == {1: 0.25, 2: 0.5, 4: 1.0}
    assert over_n([group], vote, numbers) == {1: 0.25, 2: 0.5, 4: 1.0}
    assert over_n([group], vote, [[1.0] * 4]) == {1: 0.25, 2: 0.5, 4: 0.0}
    assert over_n([group, group[:2]], best, [[1.0] * 4, [1.0] * 2]) == {1: 1 / 6, 2: 1 / 3}


# --- the experiment

SMALL = Plan(expressions=8, samples=2, rolled=4, rollouts=2, problems=8, tries=4, tokens=1500)


def test_the_majority_and_the_truth(tmp_path):
    found = {(r["metric"], r.get("step", 0)): r["value"] for r in majority(0, tmp_path, SMALL)}
    groups = candidates(SMALL)
    assert found["pass", 4] == sum(any(c.right for c in g) for g in groups) / 8
    assert found["pass", 1] == found["majority", 1] == sum(c.right for g in groups for c in g) / 32
    exact = {(r["metric"], r["step"]): r["value"] for r in truth(0, tmp_path, SMALL)}
    assert exact["AUC of steps", 0] == 1.0
    sound = sum(any(c.right and c.slip == len(c.token_ids) for c in g) for g in groups) / 8
    assert sound <= exact["best, least", 4] <= found["pass", 4]


def test_judges_are_trained_and_measured(tmp_path):
    _, chains, few = material(SMALL)
    assert len(few) < len(chains) <= 16
    for name, run in {
        "head": head(0, tmp_path / "head", exact_steps, plan=SMALL),
        "writer": writer(0, tmp_path / "writer", mended, plan=SMALL),
    }.items():
        rows = [r for r in run if "tokens" in r]
        assert {r["step"] for r in rows} == {0, 1, 2, 4}, name
        assert all(0 <= r["value"] <= 1 and r["tokens"] >= 1500 for r in rows)
    assert {"ORM", "truth", "few, hard 64"} <= set(EXPERIMENTS["judges"].arms)
