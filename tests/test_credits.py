"""Credits of steps: exact values against the enumerated tree, gradients against the exact one."""

import math

import numpy as np
import pytest
import torch

from o1lib.learning.completions import Batch, Completion, critic_values
from o1lib.learning.credits import (
    CREDITS,
    by_exact_values,
    by_head,
    by_rollouts,
    credit_gradient,
    exact_gradient,
    gradient_quality,
    process,
    step_advantages,
    step_starts,
)
from o1lib.learning.loop import learn
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.recipes.credits import chains, credited
from o1lib.reward.exact import enumerate_values
from o1lib.reward.winning import canonical_reward, exact_values, winning_texts
from o1lib.tasks import Countdown
from o1lib.tasks.space import Space

task = Countdown(3)


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-think", bf16=False)


@pytest.fixture(scope="module")
def space(policy):
    """A puzzle that is won about as often as lost."""
    spaces = [Space(task, problem) for problem in task.problems("train", 40)]
    tables = exact_values(policy, spaces)
    return min(zip(spaces, tables, strict=True), key=lambda pair: abs(pair[1].get((), 0) - 0.5))[0]


@pytest.fixture(scope="module")
def batch(policy, space):
    return chains(task, lambda step: [space.problem], 400)(Learner.of(policy))


def test_values_are_those_of_the_whole_tree(policy, space):
    """Every node of the enumerated tree, winning or not, has the value of its text."""
    [table] = exact_values(policy, [space])
    [nodes] = enumerate_values(policy, task, [space.problem])
    for valued in nodes:
        ids = encode_text(policy.tokenizer, valued.node.prefix)
        assert table.get(tuple(ids), 0.0) == pytest.approx(valued.value, rel=1e-3, abs=1e-6)
    assert sum(valued.value > 0 for valued in nodes) > 2


def test_canonical_chains_are_paid_and_no_others(policy, space):
    reward = canonical_reward(task)
    [text, *_] = [policy.decode(ids) for ids in winning_texts(policy, space)]
    other = Countdown(3).problem([3, 5, 7], 15)
    assert task.verify(space.problem, text)
    assert reward([space.problem], [text]) == [1.0]
    answer = text[text.index("<answer>") :]
    assert task.verify(space.problem, answer)  # right, for the checker, with no steps at all
    assert reward([space.problem] * 2, [answer, text.split(" <answer>")[0]]) == [0.0, 0.0]
    assert reward([space.problem], [text.replace(" left", "", 1)]) == [0.0]
    assert reward([other], [text]) == [0.0]


def test_rewards_are_one_exactly_for_the_winning_texts(policy, space, batch):
    wins = set(winning_texts(policy, space))
    rewards = [c.reward for c in batch.rows]
    assert rewards == [float(tuple(c.completion_ids) in wins) for c in batch.rows]
    [table] = exact_values(policy, [space])
    error = math.sqrt(table[()] * (1 - table[()]) / len(rewards))
    assert abs(np.mean(rewards) - table[()]) < 4 * error


def test_steps_begin_behind_semicolons_and_the_end_of_thinking(policy):
    text = "<think> 2 + 3 = 5 left 4 5 ; 5 * 4 = 20 left 20 </think> <answer> 4 </answer> <eos>"
    ids = encode_text(policy.tokenizer, text)
    starts = step_starts(policy, ids)
    assert [policy.decode(ids[:t]).split()[-1:] for t in starts] == [[], [";"], ["</think>"]]
    assert step_starts(policy, ids[: starts[1]]) == [0]  # nothing follows: no step begins


def test_the_credits_of_a_chain_add_up_to_its_outcome_minus_the_start():
    found = step_advantages([0.5, 0.25, 1.0], [0, 2, 5], 6, 1.0)
    assert found.tolist() == [-0.25, -0.25, 0.75, 0.75, 0.75, 0.0]


@pytest.mark.parametrize("values", [by_exact_values, by_rollouts(2), by_head])
def test_credits_telescope_on_sampled_chains(policy, space, batch, values):
    learner = Learner.of(policy, critic=ValueHead.from_policy(policy))
    torch.nn.init.normal_(learner.network("critic").score.weight, 0, 0.02)
    rows = batch.rows[:20]
    some = Batch(rows, values=critic_values(learner.network("critic"), rows))
    before, _ = values(learner, some, [space])
    advantages, _ = process(values)(learner, some, [space])
    for row, v, a in zip(rows, before, advantages, strict=True):
        starts = step_starts(policy, row.completion_ids)
        assert len(a) == len(row.completion_ids)
        assert float(a[starts].sum()) == pytest.approx(row.reward - v[0], abs=1e-5)
        for here, there in zip(starts, [*starts[1:], len(a)], strict=True):
            assert len(set(a[here:there].tolist())) == 1  # one number for a step


def test_rollouts_estimate_the_exact_values(policy, space, batch):
    """At every beginning that was asked, and nothing is asked twice."""
    n, some = 60, Batch(batch.rows[:10])
    learner = Learner.of(policy)
    exact, _ = by_exact_values(learner, some, [space])
    found, tokens = by_rollouts(n)(learner, some, [space])
    for mine, row in zip(found, exact, strict=True):
        for estimate, v in zip(mine, row, strict=True):
            assert abs(estimate - v) <= 4.5 * math.sqrt(v * (1 - v) / n) + 1e-6
    texts = {tuple(c.completion_ids[:t]) for c in some.rows for t in
             step_starts(policy, c.completion_ids)}  # fmt: skip
    assert 0 < tokens <= len(texts) * n * 48


@pytest.mark.parametrize("name", ["outcome", "exact baseline", "exact"])
def test_gradients_are_the_exact_one_in_the_mean(policy, space, batch, name):
    """A z-test along the exact gradient itself, and along random directions."""
    exact = exact_gradient(policy, [space])
    axes = torch.stack([exact / exact.norm(), *_random(3, len(exact))])
    advantages, _ = CREDITS[name](Learner.of(policy), batch, [space])
    parts = torch.stack(
        [axes @ credit_gradient(policy, *piece) for piece in _pieces(batch, advantages, 8)]
    )
    error = parts.std(0) / math.sqrt(len(parts))
    z = (parts.mean(0) - axes @ exact) / error
    assert z.abs().max() < 4.5
    assert float(axes[0] @ exact / error[0]) > 4.5  # the test could tell it from nothing


def _random(n, size):
    rows = torch.randn(n, size, generator=torch.Generator().manual_seed(0))
    return rows / rows.norm(dim=1, keepdim=True)


def _pieces(batch, advantages, size):
    for i in range(0, len(batch.rows), size):
        yield Batch(batch.rows[i : i + size]), advantages[i : i + size]


def test_the_first_step_is_credited_with_less_noise(policy, space, batch):
    """Given the first step, the mean of the outcome's credit R - V(start) is the exact credit
    Q - V(start) (that is what Q means), and its score is the same: by Rao and Blackwell the exact
    credit's gradient of the first step has no larger variance, in all its directions, whatever the
    policy. The difference is E |score|^2 Q (1 - Q).

    For a whole chain there is no such law (the scores of different steps may be correlated).
    """
    learner = Learner.of(policy)
    starts = [step_starts(policy, c.completion_ids) for c in batch.rows]
    rows = [c for c, s in zip(batch.rows, starts, strict=True) if len(s) > 1][:60]
    values, _ = by_exact_values(learner, Batch(rows), [space])
    scores = []
    for c, (_, end, *_) in zip(rows, (s for s in starts if len(s) > 1), strict=False):
        mask = [t < end for t in range(len(c.completion_ids))]
        alone = Batch([Completion(c.prompt_ids, c.completion_ids, loss_mask=mask, rewards=[0])])
        scores.append(float(credit_gradient(policy, alone, [torch.ones(())]).square().sum()))
    outcomes, _ = CREDITS["exact baseline"](learner, Batch(rows), [space])
    credits, _ = CREDITS["exact"](learner, Batch(rows), [space])
    by_outcome = np.array([s * float(a) ** 2 for s, a in zip(scores, outcomes, strict=True)])
    by_step = np.array([s * float(a[0]) ** 2 for s, a in zip(scores, credits, strict=True)])
    due = np.array([s * v[1] * (1 - v[1]) for s, v in zip(scores, values, strict=True)])
    assert by_step.mean() < by_outcome.mean()
    saved = by_outcome - by_step
    chance = 4 * (saved - due).std() / math.sqrt(len(due))
    # What is rare (a sure step that fails after all) may be missing among so few samples.
    assert abs((saved - due).mean()) < chance + 0.05 * by_outcome.mean()


def test_the_quality_of_a_credit(policy, space):
    """Twice the advantage has the same direction, four times the variance, and is off by the exact
    gradient itself.
    """

    def twice(learner, batch, spaces):
        advantages, tokens = CREDITS["exact"](learner, batch, spaces)
        return [2 * a for a in advantages], tokens

    def nothing(learner, batch, spaces):
        return [torch.tensor(0.0) for _ in batch.rows], 0

    credits = {"once": CREDITS["exact"], "twice": twice, "nothing": nothing}
    collect = chains(task, lambda step: [space.problem], 32)
    found = gradient_quality(Learner.of(policy), credits, collect, [space])
    assert 0 < found["cosine, once"] < 1
    assert found["cosine, twice"] == pytest.approx(found["cosine, once"], rel=1e-4)
    assert found["variance, twice"] == pytest.approx(4 * found["variance, once"], rel=1e-4)
    assert found["bias, once"] < found["bias, twice"]
    assert (found["cosine, nothing"], found["variance, nothing"]) == (0, 0)
    assert found["bias, nothing"] == pytest.approx(1)


def test_dead_ends_are_blamed_where_they_begin(policy):
    """Two chains with the same outcome, zero: the step that threw the puzzle away is blamed, and
    what comes after it is not.
    """
    space = Space(task, task.problem([2, 3, 5], 30))
    dead, alive = "3 + 2 = 5 left 5 5 ; 5 + 5 = 10 left 10", "3 * 2 = 6 left 5 6 ; 6 - 5 = 1 left 1"
    rows = []
    for body, answer in ((dead, "( 3 + 2 ) + 5"), (alive, "( 3 * 2 ) - 5")):
        text = f"<think> {body} </think> <answer> {answer} </answer> <eos>"
        ids = encode_text(policy.tokenizer, text)
        rows.append(Completion(policy.encode(space.prompt), ids, rewards=(0.0,)))
    credits, _ = CREDITS["exact"](Learner.of(policy), Batch(rows), [space])
    [table] = exact_values(policy, [space])
    [first, second] = [
        [float(a[t]) for t in step_starts(policy, c.completion_ids)]
        for a, c in zip(credits, rows, strict=True)
    ]
    chain = rows[1].completion_ids
    v, q = table[()], table[tuple(chain[: step_starts(policy, chain)[1]])]
    assert first == pytest.approx([-v, 0, 0])
    assert second == pytest.approx([q - v, -q, 0])
    assert q > v > 0


def test_every_credit_learns(policy, tmp_path):
    """Two rounds of the loop by each: finite numbers, weights that move, rollouts that cost."""
    problems = lambda step: task.problems("train", 2)  # noqa: E731
    for name, credit in CREDITS.items():
        mine = Policy.load("nano-think", bf16=False)
        others = {"critic": ValueHead.from_policy(mine)} if name == "value head" else {}
        update = credited(credit, task, problems)
        log = learn(
            Learner.of(mine, **others), chains(task, problems, 4), update, Schedule(2, 1e-4),
            tmp_path / name,
        )  # fmt: skip
        assert len(log.rows) == 2
        assert all(math.isfinite(row["loss"]) for row in log.rows)
        assert max(log.column("grad_norm")) > 0  # equal outcomes teach the outcome's credit nothing
        assert (log.rows[0]["credit_tokens"] > 0) == (name == "rollouts")
