"""What breaks it: every arm is what its name says, held against loops written out by hand."""

import copy
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from o1lib.learning.advantages import group_mean, group_normalized
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.loop import learn
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.recipes import breaks
from o1lib.recipes.breaks import CLIPPED, NO_CLIP, RUNS, Run, no_ratio, stale, with_past
from o1lib.recipes.experiments import EXPERIMENTS
from o1lib.tasks import Countdown

task = Countdown(3)
tokenizer = build_tokenizer()
WRONG = "<answer> 1 </answer>"


def fresh(seed=0):
    return Policy(build_model("nano", seed), tokenizer, bf16=False)


def parity(task):
    """A reward that tells the samples of a model of random weights apart."""
    return lambda problems, responses: [float(sum(map(ord, r)) % 2) for r in responses]


def small(run, seed=0, samples=8):
    return run.collect(task, samples, max_new_tokens=6, seed=seed)


# --- the arms


def changed(run, other):
    return [f.name for f in fields(Run) if getattr(run, f.name) != getattr(other, f.name)]


def test_every_arm_changes_one_thing():
    """Of the baseline, or of another arm (without the ratio: of the same samples with it)."""
    baseline = RUNS["baseline"]
    assert baseline == Run()
    for name, run in RUNS.items():
        if name != "baseline":
            near = [o for o in RUNS.values() if o.epochs == run.epochs and o.lag == run.lag]
            assert min(len(changed(run, o)) for o in [baseline, *near] if o != run) == 1, name
    assert EXPERIMENTS["what_breaks_it"].arms.keys() == RUNS.keys()
    assert not any("," in name for name in RUNS)  # `--arms` has commas between


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_a_step_has_the_same_number_of_samples_whatever_the_group(n):
    batch = small(Run(n=n, reward=parity), samples=16)(Learner.of(fresh()))
    assert batch.sampled == 16
    sizes = [sum(c.group == group for c in batch.rows) for group in {c.group for c in batch.rows}]
    assert set(sizes) == {n}


# --- samples of an older policy


def lever(value=0.0):
    model = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
    torch.nn.init.constant_(model.weight, value)
    return SimpleNamespace(model=model, refresh=lambda: None)


@pytest.mark.parametrize("lag", [1, 4, 8])
def test_samples_are_so_many_steps_old(lag):
    """The weights of step s are s: what is seen at step s is the weights of step s - lag. A step
    that is made again, after an interrupt, sees the same.
    """
    learner = Learner.of(lever(), **with_past(lever, lag))
    seen = []
    collect = stale(lambda one: seen.append(float(one.policy.model.weight)) or Batch([]), lag)
    for step in range(20):
        collect(learner)
        collect(learner)
        assert seen[-2:] == [max(0, step - lag)] * 2
        learner.step += 1
        torch.nn.init.constant_(learner.policy.model.weight, learner.step)


def test_stale_samples_carry_the_old_log_probabilities():
    run, policy = Run(lag=1, reward=parity), fresh()
    start = copy.deepcopy(policy.model)
    learner = run.learner(lambda: Policy(copy.deepcopy(start), tokenizer, bf16=False))
    collect = small(run)
    collect(learner)
    learner.step = 1
    with torch.no_grad():
        for p in learner.policy.model.parameters():
            p.mul_(1.5)
    batch = collect(learner)
    rows = batch.rows
    sampled = torch.tensor([x for c in rows for x in c.logprobs])
    for model, same in ((start, True), (learner.policy.model, False)):
        found = Rows(rows, model)
        found = found.logprobs[found.mask > 0].detach()
        assert torch.allclose(found, sampled, atol=1e-3) == same


def test_a_lag_needs_its_past():
    with pytest.raises(ValueError, match="no past 2 here"):
        stale(lambda one: Batch([]), 2)(Learner.of(lever()))
    with pytest.raises(ValueError, match="from a lag of 1 step on, got 0"):
        stale(lambda one: Batch([]), 0)


def test_a_stale_run_is_resumed_exactly(tmp_path):
    """The past is part of the saved state: interrupted, continued with the models it left, stopped
    again and continued with fresh ones, it comes to the same numbers.
    """
    run = Run(lag=2, reward=parity, lr=1e-3)

    def trained(folder, learner, **options):
        schedule = Schedule(6, run.lr, decay=False)
        return learn(learner, small(run), run.update(), schedule, folder, **options)

    whole = trained(tmp_path / "whole", run.learner(fresh))
    learner = run.learner(fresh)
    trained(tmp_path / "parts", learner, stop_after=3)
    trained(tmp_path / "parts", learner, stop_after=2)
    parts = trained(tmp_path / "parts", run.learner(fresh))
    assert len(set(whole.column("reward"))) > 1
    for name in ("reward", "loss", "grad_norm", "kl_sampler"):
        assert parts.column(name) == pytest.approx(whole.column(name), rel=1e-4)


# --- losses


def batch_of_two():
    """Two answers to one prompt, of three and two tokens, sampled with odd probabilities."""
    ids = [[21, 22, 23], [31, 32]]
    logprobs = [[-1.0, -6.0, -7.5], [-9.0, -6.5]]
    rows = [
        Completion([1, 5], i, lp, rewards=(r,))
        for i, lp, r in zip(ids, logprobs, (1.0, 0.0), strict=True)
    ]
    return Batch(rows)


@pytest.mark.parametrize("clip", [True, False])
def test_four_steps_are_the_loss_written_out_four_times(clip):
    """Without the clip: minus the mean over tokens of ratio times advantage, and nothing else."""
    run, rate = RUNS["4 steps with clip" if clip else "4 steps without clip"], 0.5
    batch, mine, theirs = batch_of_two(), fresh(), fresh()
    learner = Learner.of(mine, reference=fresh())
    learner.rate = rate
    learner.optimizers["policy"] = torch.optim.SGD(mine.model.parameters(), rate)
    found = run.update()(learner, batch)
    assert found["updates"] == 4

    advantages = torch.tensor([0.5] * 3 + [-0.5] * 2)
    old = torch.tensor([x for c in batch.rows for x in c.logprobs])
    optimizer = torch.optim.SGD(theirs.model.parameters(), rate)
    outside = []
    for _ in range(4):
        now = []
        for c in batch.rows:
            ids = torch.tensor([[*c.prompt_ids, *c.completion_ids]])
            every = theirs.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            every = every.gather(1, ids[0, 1:, None])[:, 0]
            now.append(every[len(c.prompt_ids) - 1 :])
        ratio = (torch.cat(now) - old).exp()
        objective = ratio * advantages
        outside.append(float(((ratio - 1).abs() > 0.3).float().mean()))
        if clip:
            objective = torch.minimum(objective, ratio.clamp(0.8, 1.28) * advantages)
        optimizer.zero_grad()
        (-objective.sum() / 5).backward()
        torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), 1.0)
        optimizer.step()
    assert max(outside) > 0.5  # the clip would act
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert (found["clipped"] > 0) == clip


def test_only_the_ratio_makes_old_samples_right():
    """Three levers, samples of another policy, all added up: with the ratio the gradient is the
    exact one of the mean reward, without it another.
    """
    theta = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    old = torch.tensor([-0.5, 1.0, 0.2]).log_softmax(0)
    rewards = torch.tensor([0.0, 0.2, 1.0])
    [exact] = torch.autograd.grad((theta.softmax(0) * rewards).sum(), theta)

    def gradient(loss):
        now = theta.log_softmax(0)[:, None]
        rows = Rows.given(logprobs=now, old_logprobs=old[:, None], advantages=rewards[:, None])
        return -torch.autograd.grad((old.exp() * loss(rows)[:, 0]).sum(), theta)[0]

    torch.testing.assert_close(gradient(NO_CLIP), exact)
    by_hand = sum(
        old[y].exp() * rewards[y] * torch.autograd.grad(theta.log_softmax(0)[y], theta)[0]
        for y in range(3)
    )
    torch.testing.assert_close(gradient(no_ratio), by_hand)
    assert not torch.allclose(by_hand, exact, atol=0.02)


def test_the_kl_costs_what_it_says():
    """In the reward: beta times the log ratio of the whole sample; in the loss of a policy that is
    its own start: nothing, and its gradient is zero.
    """
    policy, start = fresh(), fresh(1)
    learner = Learner.of(policy, reference=start)
    plain = small(Run(reward=parity, kl_loss=0.3))(learner).rows
    costly = small(Run(reward=parity, kl_reward=0.3))(learner).rows
    assert len(plain) == len(costly) == 8  # no group is dropped
    for one, other in zip(plain, costly, strict=True):
        ratio = sum(one.logprobs) - float(Rows([one], start.model).logprobs.detach().sum())
        assert one.reward - other.reward == pytest.approx(0.3 * ratio, abs=1e-3)

    same = Learner.of(policy, reference=Policy(copy.deepcopy(policy.model), tokenizer, bf16=False))
    zero = lambda task: lambda problems, responses: [0.0] * len(responses)  # noqa: E731
    run = Run(reward=zero, kl_loss=0.3)
    found = run.update()(same, small(run)(same))
    assert found["kl"] == pytest.approx(0, abs=1e-6)
    assert found["grad_norm"] == pytest.approx(0, abs=1e-4)


def test_divided_by_std_and_averages_reach_the_update():
    """Their own truth is in test_learning; here: that the arm passes them on."""
    assert RUNS["divided by std"].advantage is group_normalized
    assert RUNS["baseline"].advantage is group_mean
    assert RUNS["baseline"].loss is CLIPPED
    norms = {}
    for average in ("token", "sequence", "constant"):
        learner = Learner.of(fresh(), reference=fresh())
        norms[average] = Run(average=average).update()(learner, batch_of_two())["grad_norm"]
    assert norms["constant"] == pytest.approx(norms["token"] * 5 / (200 * 2), rel=1e-4)
    assert norms["sequence"] != pytest.approx(norms["token"], rel=1e-2)


def test_half_of_the_advantages():
    batch = batch_of_two()
    halves = [RUNS[f"only {kind} answers"].advantage(batch) for kind in ("right", "wrong")]
    assert torch.stack(halves[0]).tolist() == [0.5, 0]
    assert torch.stack(halves[1]).tolist() == [0, -0.5]


# --- rewards


def test_what_words_pay():
    problem = task.problem([2, 4, 6], 16)
    right = "<answer> 4 + 6 * 2 </answer>"
    assert task.verify(problem, right)
    assert len(right.split()) == 7
    for reward, paid in (
        (breaks.bonus_per_word, [1 + 7 * 0.03, 3 * 0.03, 103 * 0.03]),
        (breaks.capped_bonus, [1 + 7 * 0.03, 0, 0]),
        (breaks.cost_per_word, [1 - 0.2 * 7 / 200, 0, 0]),
    ):
        texts = [right, WRONG, "no " * 100 + WRONG]
        assert reward(task)([problem] * 3, texts) == pytest.approx(paid)
    capped = breaks.capped_bonus(task, words=5)
    assert capped([problem], [right]) == pytest.approx([1 + 5 * 0.03])


# --- the experiment


def test_an_arm_yields_tidy_rows(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(breaks, "measured", lambda learner, **o: asked.append(o) or {"a, b": 0.5})
    rows = list(
        breaks.what_breaks_it(0, tmp_path, RUNS["bonus per word"], 2, samples=16, problems=3)
    )
    assert {r["metric"] for r in rows} == {"a, b", *breaks.EVERY_STEP}
    assert [r["step"] for r in rows if r["metric"] == "a, b"] == [0, 1, 2]
    assert {o["problems"] for o in asked} == {3}
    spent = [r["tokens"] for r in rows if r["metric"] == "length"]
    assert 0 < spent[0] < spent[1]
