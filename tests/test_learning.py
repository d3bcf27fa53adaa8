"""Learning: advantages and losses against TRL's numbers, gradients against the exact one, exact
resume, odd batches.
"""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from recorder import Recorder

from o1lib.lab.paths import file_hash
from o1lib.lab.runlog import read_log
from o1lib.learning.advantages import (
    gae,
    greedy_baseline,
    group_advantages,
    group_mean,
    group_normalized,
    leave_one_out,
    reward_to_go,
    whitened,
)
from o1lib.learning.collect import (
    as_completion,
    expert_iteration,
    kl_in_reward,
    pairs,
    rollouts,
    training_problems,
)
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.corrections import corrected
from o1lib.learning.loop import learn
from o1lib.learning.losses import (
    clone,
    dpo,
    ipo,
    k3,
    kl,
    kto,
    ppo,
    reinforce,
    token_weights,
    total,
    value_loss,
)
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, both, fit
from o1lib.model.checkpoints import find
from o1lib.model.heads import ValueHead
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import traces
from o1lib.policy.corpus import Document, Mixture, encode, think_part
from o1lib.recipes import checkpoints as recipes
from o1lib.recipes import stages
from o1lib.reward.exact import enumerate_values
from o1lib.reward.outcome import checker_reward, length_penalized
from o1lib.tasks import Countdown
from o1lib.tasks.space import Space

task = Countdown(3)
tokenizer = build_tokenizer()


def fresh(bf16=False):
    return Policy(build_model("nano"), tokenizer, bf16=bf16)


# --- losses, against TRL


PAIRS = [("sequence", "grpo"), ("token", "bnpo"), ("constant", "dr_grpo")]


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize(("average", "loss_type"), PAIRS)
@pytest.mark.parametrize(("normalize", "beta"), [(False, 0.0), (True, 0.05)])
def test_grpo_equals_trl(average, loss_type, normalize, beta, dropped, tmp_path, monkeypatch):
    """Advantages, loss and gradient of one batch: completions of different lengths, ratios inside
    and outside of the clip range, and with `dropped` two of five groups whose rewards are all
    equal, which our batch does not hold at all.
    """
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from o1lib.backends.trl import grpo_trainer

    rng, n, limit = random.Random(0), 4, 24
    problems = task.problems("train", 5)
    fixed = {}  # completions and rewards
    for i in range(len(problems)):
        for j in range(n):
            ids = [rng.randint(20, 900) for _ in range(rng.randint(1, limit))]
            equal = dropped and i in (1, 3)
            fixed[i, j] = (ids, float(i == 1) if equal else (0.0, 0.3, 1.0, 1.0)[j])
    policy, reference = fresh(), Policy(build_model("nano", seed=1), tokenizer, bf16=False)
    prompts = [policy.encode(task.prompt(p)) for p in problems]
    # Old log-probabilities near the present ones, some of them outside of the clip range.
    plain = [Completion(prompts[i], ids) for (i, _), (ids, _) in fixed.items()]
    rows = Rows(plain, policy.model)
    noise = torch.randn(rows.mask.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    old = (rows.logprobs + noise).detach()
    assert 0.05 < float(((noise.abs() > 0.3) * rows.mask).sum() / rows.mask.sum()) < 0.5
    old = [row[m > 0].tolist() for row, m in zip(old, rows.mask, strict=True)]

    def rollout(asked, trainer):
        assert len(asked) == len(fixed)
        return {
            "prompt_ids": [prompts[i] for i, _ in fixed],
            "completion_ids": [ids for ids, _ in fixed.values()],
            "logprobs": old,
        }

    trainer = grpo_trainer(
        policy.model,
        tokenizer,
        task,
        problems,
        lambda asked, texts: [r for _, r in fixed.values()],
        tmp_path,
        n=n,
        prompts_per_step=len(problems),
        max_new_tokens=limit,
        rollout=rollout,
        loss_type=loss_type,
        beta=0.0,
        scale_rewards="group" if normalize else "none",
        epsilon=0.2,
        epsilon_high=0.28,
        use_bias_correction_kl=True,
    )
    trainer.model.eval()
    asked = [trainer.train_dataset[i] for i in range(len(problems)) for _ in range(n)]
    inputs = trainer._generate_and_score_completions(asked)

    every = [
        Completion(prompts[i], ids, logprobs, rewards=(r,), group=i)
        for ((i, _), (ids, r)), logprobs in zip(fixed.items(), old, strict=True)
    ]
    advantage = group_normalized if normalize else group_mean
    found = torch.stack(advantage(Batch(every)))
    assert torch.allclose(inputs["advantages"], found, atol=1e-5)
    kept = [c for c in every if not (dropped and c.group in (1, 3))]
    # TRL adds the KL of what we drop; it is held against the reference only where nothing is
    # dropped.
    beta = 0.0 if dropped else beta
    loss = total((1.0, ppo()), (beta, kl("k3"))) if beta else ppo()
    learner = Learner.of(policy, reference=reference)
    learner.optimizers["policy"] = Recorder()
    options = {"average": average, "max_length": limit, "micro_tokens": 60, "clip_norm": 1e9}
    batch = Batch(kept, {}, len(every), sum(len(c.completion_ids) for c in every))
    row = fit(loss, advantage=advantage, **options)(learner, batch)
    mine = flat_gradient(policy)
    policy.model.zero_grad()

    width = inputs["completion_ids"].shape[1]

    def as_trl(values):
        return torch.stack([torch.tensor(v + [0.0] * (width - len(v))) for v in values])

    ref = Rows(every, reference.model)
    ref = [r[m > 0].tolist() for r, m in zip(ref.logprobs.detach(), ref.mask, strict=True)]
    trainer.beta = beta
    inputs["old_per_token_logps"], inputs["ref_per_token_logps"] = as_trl(old), as_trl(ref)
    theirs = trainer._compute_loss(trainer.model, inputs)
    assert row["loss"] == pytest.approx(float(theirs.detach()), abs=1e-5)
    theirs.backward()
    assert torch.allclose(mine, flat_gradient(policy), atol=1e-5)


def rewarded(*rewards, group=0):
    return [Completion([2, 5], [60, 61], [-7.0, -7.0], rewards=(r,), group=group) for r in rewards]


def test_what_is_dropped_counts():
    """FINDINGS 1.4: a token weighs the same whether equal groups are kept or dropped, by every
    average.
    """
    informative, equal = rewarded(1.0, 0.0), rewarded(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, group=1)
    for average in ("constant", "token", "sequence"):
        found = []
        for batch in (Batch([*informative, *equal]), Batch(informative, {}, 8, 16)):
            policy = fresh()
            learner = Learner.of(policy)
            learner.optimizers["policy"] = Recorder()
            fit(ppo(), advantage=group_mean, average=average, clip_norm=1e9)(learner, batch)
            found.append(flat_gradient(policy))
        assert torch.allclose(*found, atol=1e-7)
        assert found[0].abs().max() > 1e-6
    one = lambda step: [PROBLEM, PROBLEM]  # noqa: E731
    collected = rollouts(task, checker_reward(task), one, 2)(scripted([RIGHT, RIGHT]))
    assert collected.rows == []
    assert (collected.sampled, collected.sampled_tokens) == (4, 4 * len(TOKENS(RIGHT)))


def test_group_advantages():
    equal = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert not group_advantages(equal).any()
    assert not group_advantages(equal, normalize=True).any()
    assert group_advantages(torch.tensor([[0.0, 1.0]])).tolist() == [[-0.5, 0.5]]
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            group_advantages(torch.tensor([[0.0, bad]]))
    with pytest.raises(ValueError, match="unknown average"):
        token_weights(torch.tensor([1, 2]), "median")
    assert token_weights(torch.tensor([0, 4]), "sequence").tolist() == [0.5, 0.125]
    assert token_weights(torch.tensor([2, 2]), "token", kept=0.5).tolist() == [0.125, 0.125]


def test_advantages_by_hand():
    batch = Batch([*rewarded(1.0, 0.0, 0.0), *rewarded(1.0, 3.0, group=1)])
    near = lambda values: pytest.approx(values, abs=1e-4)  # noqa: E731
    assert [float(a) for a in group_mean(batch)] == near([2 / 3, -1 / 3, -1 / 3, -1, 1])
    assert [float(a) for a in leave_one_out(batch)] == near([1, -0.5, -0.5, -2, 2])
    found = [float(a) for a in group_normalized(batch)]
    assert found == near([1.1545, -0.5773, -0.5773, -0.7071, 0.7071])
    twin = Completion([2, 5], [60], [-1.0], [0], (0.25,), 0)
    batch = Batch([*rewarded(1.0, 0.0), twin])
    assert [float(a) for a in greedy_baseline(batch)] == near([0.75, -0.25, 0.0])
    with pytest.raises(ValueError, match="greedy twin"):
        greedy_baseline(Batch(rewarded(1.0, 0.0)))
    with pytest.raises(ValueError, match="at least two"):
        leave_one_out(Batch(rewarded(1.0)))
    with pytest.raises(ValueError, match="missing"):
        group_mean(Batch([Completion([2], [60])]))
    row = Completion([2, 5], [60, 61, 62], rewards=(1.0, 0.0, 2.0))
    assert reward_to_go(0.5)(Batch([row]))[0].tolist() == [1.5, 1.0, 2.0]
    scaled = torch.cat(whitened(reward_to_go(0.5))(Batch([row])))
    assert float(scaled.mean()) == near(0.0)
    assert float(scaled.std()) == near(1.0)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.0), (0.9, 1.0), (0.97, 0.5)])
def test_gae_equals_its_definition(gamma, lam):
    """Against the double sum of the paper, episodes of several lengths."""
    rng, rows, values = random.Random(0), [], []
    for n in (1, 2, 7):
        rewards = [rng.gauss(0, 1) for _ in range(n)]
        rows.append(Completion([2], [60] * n, rewards=rewards))
        values.append(torch.tensor([rng.gauss(0, 1) for _ in range(n)]))
    found = gae(gamma, lam)(Batch(rows, values=values))
    for row, v, advantages in zip(rows, values, found, strict=True):
        v = [*v.tolist(), 0.0]
        delta = [r + gamma * v[t + 1] - v[t] for t, r in enumerate(row.rewards)]
        for t in range(len(delta)):
            direct = sum((gamma * lam) ** k * d for k, d in enumerate(delta[t:]))
            assert float(advantages[t]) == pytest.approx(direct, abs=1e-5)
    with pytest.raises(ValueError, match="needs a critic"):
        gae()(Batch(rows))


def test_clipped_counts_the_active_side_only():
    """FINDINGS 1.14: the share of tokens whose gradient the clip makes zero, by autograd."""
    ratio = torch.tensor([[0.5, 0.9, 1.1, 1.6], [0.5, 0.9, 1.1, 1.6]])
    logprobs = ratio.log().requires_grad_()
    advantages = torch.tensor([[1.0], [-1.0]]).expand(2, 4)
    rows = Rows.given(logprobs=logprobs, old_logprobs=torch.zeros(2, 4), advantages=advantages)
    ppo()(rows).sum().backward()
    value, count = rows.columns["clipped"]
    assert value == float((logprobs.grad == 0).sum()) == 2
    assert count == 8


# --- preferences


def test_dpo_and_kto_equal_their_equations():
    """The implicit rewards by hand, and TRL's own DPO trainer's losses where it offers them as
    functions.
    """
    policy, reference = fresh(), build_model("nano", seed=1)
    rng, rows = random.Random(0), []
    for group in range(3):
        for reward in (0.0, 1.0):
            ids = [rng.randint(20, 900) for _ in range(rng.randint(2, 20))]
            rows.append(Completion([2, 4, 60, 5], ids, rewards=(reward,), group=group))
    made = Rows(rows, policy.model, reference=reference)
    log_ratio = []
    for c in rows:
        ids = torch.tensor([[*c.prompt_ids, *c.completion_ids]])
        one = [
            float(
                m(ids).logits.detach()[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[3:].sum()
            )
            for m in (policy.model, reference)
        ]
        log_ratio.append(one[0] - one[1])
    better, worse = torch.tensor(log_ratio[1::2]), torch.tensor(log_ratio[::2])
    wanted = -torch.nn.functional.logsigmoid(0.3 * (better - worse))
    assert torch.allclose(dpo(0.3)(made), wanted, atol=1e-4)
    signs = torch.tensor([-1.0, 1.0] * 3)
    wanted = 1 - (signs * (0.3 * torch.tensor(log_ratio) - 0.1)).sigmoid()
    assert torch.allclose(kto(0.3, baseline=0.1)(made), wanted, atol=1e-4)


@pytest.mark.parametrize(("loss", "loss_type"), [(dpo(0.3), "sigmoid"), (ipo(0.3), "ipo")])
def test_dpo_and_ipo_equal_trl(loss, loss_type, tmp_path, monkeypatch):
    """The loss and the gradient of TRL's own DPO trainer, on the same pairs."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, reference = fresh(), Policy(build_model("nano", seed=1), tokenizer, bf16=False)
    rng, rows, examples = random.Random(0), [], []
    for group in range(3):
        prompt = [2, 4, *(rng.randint(20, 900) for _ in range(group + 2)), 5]
        better, worse = (
            [rng.randint(20, 900) for _ in range(rng.randint(2, 20))] for _ in range(2)
        )
        rows += [Completion(prompt, worse, rewards=(0.2,), group=group)]
        rows += [Completion(prompt, better, rewards=(0.7,), group=group)]
        examples.append({"prompt_ids": prompt, "chosen_ids": better, "rejected_ids": worse})
    learner = Learner.of(policy, reference=reference)
    learner.optimizers["policy"] = Recorder()
    row = fit(loss, micro_tokens=60, clip_norm=1e9)(learner, Batch(rows))
    mine = flat_gradient(policy)
    policy.model.zero_grad()
    config = DPOConfig(
        str(tmp_path),
        beta=0.3,
        loss_type=loss_type,
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    text = {"prompt": "think", "chosen": "yes", "rejected": "no"}
    trainer = DPOTrainer(
        policy.model,
        reference.model,
        config,
        train_dataset=Dataset.from_list([text]),
        processing_class=tokenizer,
    )
    theirs = trainer.compute_loss(policy.model, trainer.data_collator(examples))
    assert row["loss"] == pytest.approx(float(theirs.detach()), abs=1e-5)
    theirs.backward()
    assert torch.allclose(mine, flat_gradient(policy), atol=1e-5)


def test_a_micro_batch_never_cuts_a_pair():
    rng, rows = random.Random(0), []
    for group in range(4):
        for reward in (1.0, 0.0):
            ids = [rng.randint(20, 900) for _ in range(rng.randint(2, 40))]
            rows.append(Completion([2, 4, 60, 5], ids, rewards=(reward,), group=group))
    rng.shuffle(rows)
    gradients = []
    for micro in (1, 100, 10_000):
        policy = fresh()
        reference = Policy(build_model("nano", seed=1), tokenizer)
        learner = Learner.of(policy, reference=reference)
        learner.optimizers["policy"] = Recorder()
        fit(dpo(), micro_tokens=micro, clip_norm=1e9)(learner, Batch(rows))
        gradients.append(flat_gradient(policy))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)
    assert torch.allclose(gradients[0], gradients[2], atol=1e-6)
    with pytest.raises(ValueError, match="a pair is two completions"):
        fit(dpo())(learner, Batch(rows[:-1]))
    with pytest.raises(ValueError, match="needs a reference"):
        fit(dpo())(Learner.of(fresh()), Batch(rows))


def test_what_was_not_sampled_has_no_ratio():
    """FINDINGS 1.7."""
    written = Batch([Completion([2, 4, 60, 5], [70], rewards=(r,)) for r in (0.0, 1.0)])
    for loss in (ppo(), kl("k3")):
        learner = Learner.of(fresh(), reference=fresh())
        with pytest.raises(ValueError, match="log-probabilities with which"):
            fit(loss, advantage=group_mean)(learner, written)
    with pytest.raises(ValueError, match="needs advantages"):
        fit(reinforce)(Learner.of(fresh()), written)
    with pytest.raises(ValueError, match="1 logprobs for 2 tokens"):
        Completion([2], [60, 61], [-1.0])


# --- KL, against the exact gradient by enumeration

WORDS = 4


def tiny_policy(seed):
    """A softmax policy of two tokens: logits of the first, and of the second given the first."""
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(WORDS + WORDS * WORDS, generator=noise, dtype=torch.float64)


def tables(theta):
    first = theta[:WORDS].log_softmax(0)
    return first, theta[WORDS:].view(WORDS, WORDS).log_softmax(1)


def sequences(theta):
    """Log-probabilities of both tokens of all sequences, (WORDS * WORDS, 2)."""
    first, second = tables(theta)
    return torch.stack((first[:, None].expand(WORDS, WORDS), second), -1).view(-1, 2)


def exact_kls(theta, ref):
    """KL(policy || reference) of the first token, and of whole sequences."""
    (p, p2), (q, q2) = tables(theta), tables(ref)
    first = (p.exp() * (p - q)).sum()
    return first, first + (p.exp() * (p2.exp() * (p2 - q2)).sum(1)).sum()


@pytest.mark.parametrize("kind", ["k2", "k3"])
def test_kl_losses_have_the_exact_gradient(kind):
    """In the mean over all sequences: of KL(policy || reference) at each token, given what came
    before.
    """
    ref, theta = tiny_policy(1), tiny_policy(0).requires_grad_()
    logprobs = sequences(theta)
    old = logprobs.detach()
    rows = Rows.given(logprobs=logprobs, old_logprobs=old, ref_logprobs=sequences(ref))
    expected = old.sum(1).exp()[:, None] * kl(kind)(rows)
    [mine] = torch.autograd.grad(expected.sum(), theta)
    one, _ = exact_kls(theta, ref)
    (_, p2), (_, q2) = tables(theta), tables(ref)
    prefix = tables(theta)[0].detach().exp()
    exact = one + (prefix * (p2.exp() * (p2 - q2)).sum(1)).sum()
    torch.testing.assert_close(mine, torch.autograd.grad(exact, theta)[0])
    with pytest.raises(ValueError, match="unknown kind"):
        kl("k1")


def test_the_k3_loss_is_right_after_several_minibatches():
    """Its samples may come from other weights than those that are trained: its mean is still the
    KL of these.
    """
    ref, theta = tiny_policy(1), tiny_policy(0).requires_grad_()
    old = sequences(tiny_policy(2))[::WORDS, :1]
    rows = Rows.given(
        logprobs=sequences(theta)[::WORDS, :1],
        old_logprobs=old,
        ref_logprobs=sequences(ref)[::WORDS, :1],
    )
    mean = (old.exp() * kl("k3")(rows)).sum()
    exact, _ = exact_kls(theta, ref)
    assert float(mean.detach()) == pytest.approx(float(exact.detach()))
    [found] = torch.autograd.grad(mean, theta)
    torch.testing.assert_close(found, torch.autograd.grad(exact, theta)[0])


def test_k3_differentiated_is_another_gradient():
    """FINDINGS 1.6: its value is KL(policy || reference), its gradient that of KL(reference ||
    policy).
    """
    ref, theta = tiny_policy(1), tiny_policy(0).requires_grad_()
    logprobs = sequences(theta)[::WORDS, 0]
    value = logprobs.detach().exp() * k3(logprobs, sequences(ref)[::WORDS, 0])
    forward, _ = exact_kls(theta, ref)
    backward, _ = exact_kls(ref, theta)
    assert float(value.sum().detach()) == pytest.approx(float(forward.detach()))
    [found] = torch.autograd.grad(value.sum(), theta)
    torch.testing.assert_close(found, torch.autograd.grad(backward, theta)[0])
    assert not torch.allclose(found, torch.autograd.grad(forward, theta)[0], atol=1e-2)


@pytest.mark.parametrize("advantage", [reward_to_go(), "whole"])
def test_kl_in_the_reward_has_the_exact_gradient_of_sequences(advantage):
    """k1 in the reward, through our own reward-to-go and REINFORCE: minus the gradient of beta
    KL(policy || reference).
    """
    ref, theta, beta = tiny_policy(1), tiny_policy(0).requires_grad_(), 0.7
    logprobs, reference = sequences(theta), sequences(ref)
    costs = (-beta * (logprobs - reference)).detach()
    rows = [Completion([0], [1, 1], rewards=row.tolist()) for row in costs]
    if advantage == "whole":
        advantages = costs.sum(1, keepdim=True).expand(-1, 2)
    else:
        advantages = torch.stack(advantage(Batch(rows))).double()
    loss = reinforce(Rows.given(logprobs=logprobs, advantages=advantages))
    expected = (logprobs.detach().sum(1).exp()[:, None] * loss).sum()
    [mine] = torch.autograd.grad(expected, theta)
    _, whole = exact_kls(theta, ref)
    exact = torch.autograd.grad(beta * whole, theta)[0]
    torch.testing.assert_close(mine, exact, atol=1e-6, rtol=1e-5)


def test_kl_in_the_reward_is_what_the_models_say():
    policy, reference = fresh(), Policy(build_model("nano", seed=1), tokenizer, bf16=False)
    problems = training_problems(task, 2)
    options = {"max_new_tokens": 12, "keep_equal": True}
    plain = rollouts(task, checker_reward(task), problems, 2, **options)
    learner = Learner.of(policy, reference=reference)
    before, after = plain(learner), kl_in_reward(plain, 0.5)(learner)
    for one, two in zip(before.rows, after.rows, strict=True):
        ids = torch.tensor([[*one.prompt_ids, *one.completion_ids]])
        ref = reference.model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        ref = ref[len(one.prompt_ids) - 1 :, 0].detach()
        wanted = -0.5 * (torch.tensor(one.logprobs) - ref)
        wanted[-1] += one.reward
        assert torch.allclose(torch.tensor(two.rewards), wanted, atol=1e-4)
    dropping = kl_in_reward(rollouts(task, checker_reward(task), problems, 2), 0.5)
    with pytest.raises(ValueError, match="keep_equal"):
        dropping(learner)


# --- gradients, against the exact one


def test_policy_gradient_points_where_the_exact_gradient_points():
    """The gradient of V by enumeration, differentiated, against the mean of GRPO's gradients over
    many samples.
    """
    policy = Policy.load("nano-think", bf16=False)
    problem = max(task.problems("train", 20), key=lambda p: -abs(root_value(policy, p) - 0.4))
    space = Space(task, problem)
    exact = torch.zeros(sum(p.numel() for p in policy.model.parameters()))
    winning = []
    for solution in task.solutions(problem):
        node = space.root
        for step in solution:
            node = space.child(node, step)
        ids = tokenizer.encode(space.response(node), add_special_tokens=False)
        winning.append(Completion(policy.encode(space.prompt), [*ids, tokenizer.eos_token_id]))
    value = Rows(winning, policy.model).logprobs.sum(1).exp().sum()
    assert float(value.detach()) == pytest.approx(root_value(policy, problem), rel=1e-3)
    value.backward()
    exact = flat_gradient(policy)

    n, mean = 64, torch.zeros_like(exact)
    collect = rollouts(
        task,
        checker_reward(task),
        lambda step: [problem],
        n,
        instruction="solve",
        max_new_tokens=64,
    )
    update = fit(ppo(), advantage=leave_one_out, max_length=1, clip_norm=1e9)
    repeats, learner = 30, Learner.of(policy)
    learner.optimizers["policy"] = Recorder()
    for step in range(repeats):
        learner.step = step
        update(learner, collect(learner))
        mean -= flat_gradient(policy) / repeats  # the loss is the negative objective
        policy.model.zero_grad()
    found = mean
    cosine = float(found @ exact / found.norm() / exact.norm())
    assert cosine > 0.9
    assert float(found @ exact / exact.norm() ** 2) == pytest.approx(1.0, abs=0.25)


def flat_gradient(policy):
    return torch.cat([p.grad.flatten() for p in policy.model.parameters()])


def root_value(policy, problem):
    return enumerate_values(policy, task, [problem])[0][0].value


def test_micro_batches_and_masks_change_nothing():
    """The same gradient however the batch is cut; tokens that do not count have none."""
    gradients = []
    rng = random.Random(1)
    rows = []
    for i in range(6):
        ids = [rng.randint(20, 900) for _ in range(rng.randint(3, 30))]
        mask = [rng.random() < 0.7 for _ in ids]
        rows.append(Completion([2, 4, 50 + i, 5], ids, [-7.0] * len(ids), mask, (i,), i % 2))
    for micro in (1, 100, 10_000):
        for loss in (ppo(), clone):
            policy = fresh()
            learner = Learner.of(policy)
            learner.optimizers["policy"] = Recorder()
            update = fit(loss, advantage=group_mean, micro_tokens=micro, clip_norm=1e9)
            update(learner, Batch(rows))
            gradients.append(flat_gradient(policy))
    for first, other in ((0, 2), (0, 4), (1, 3), (1, 5)):
        assert torch.allclose(gradients[first], gradients[other], atol=1e-6)
    made = Rows(rows, fresh().model, 64)
    assert made.mask.sum().item() == sum(sum(c.loss_mask) for c in rows)
    assert not made.logprobs[made.mask == 0].any()


def test_logprobs_equal_the_policys():
    policy = fresh()
    prompts = [task.prompt(p) for p in task.problems("train", 3)]
    groups = policy.sample(prompts, 2, max_new_tokens=20)
    rows = [
        Completion(policy.encode(p), s.token_ids, s.logprobs)
        for p, g in zip(prompts, groups, strict=True)
        for s in g
    ]
    made = Rows(rows, policy.model, max(map(len, rows)) + 5)
    for row, old, m, h in zip(
        made.logprobs, made.old_logprobs, made.mask, made.entropy, strict=True
    ):
        assert torch.allclose(row.detach(), old, atol=1e-4)
        assert (h[m > 0] > 0).all()


def test_a_critic_learns_its_returns(tmp_path):
    """PPO with a critic: values before each token by the model's own forward pass, both losses go
    down the same batch.
    """
    policy = fresh()
    critic = ValueHead.from_policy(policy)
    torch.nn.init.normal_(critic.model.score.weight, std=0.1)
    rows = [
        Completion([2, 4, 60, 5], [70, 71, 72], [-7.0] * 3, rewards=(1.0,)),
        Completion([2, 4, 61, 5], [73], [-7.0], rewards=(0.0,), group=1),
    ]
    update = both(
        fit(ppo(), advantage=whitened(gae())),
        fit(value_loss, advantage=gae(), model="critic", average="token", lr_scale=3.0),
    )
    seen = []

    def recorded(learner, batch):
        seen.append(batch.values)
        return update(learner, batch)

    before = ValueHead.from_policy(policy)
    before.model.load_state_dict(critic.model.state_dict())
    learner = Learner.of(policy, critic=critic)
    schedule = Schedule(40, 1e-3, decay=False)
    log = learn(learner, lambda learner: Batch(rows), recorded, schedule, tmp_path)
    readings = before.model(torch.tensor([[*rows[0].prompt_ids, *rows[0].completion_ids]])).logits
    assert torch.allclose(seen[0][0], readings[0, 3:6, 0].detach(), atol=1e-5)
    losses = log.column("critic_loss")
    assert losses[-1] < 0.1 * losses[0]
    assert {"loss", "critic_grad_norm", "entropy", "clipped"} <= set(log.rows[0])
    assert learner.optimizers["critic"].param_groups[0]["lr"] == pytest.approx(3e-3)
    assert abs(float(seen[-1][0][0]) - 1) < 0.3
    with pytest.raises(ValueError, match="two updates log"):
        both(fit(clone), fit(clone))(learner, Batch(rows))
    with pytest.raises(ValueError, match="there is no critic here"):
        fit(value_loss, model="critic")(Learner.of(policy), Batch(rows))


# --- collectors


class Scripted:
    """A policy that gives the same responses to every prompt."""

    tokenizer = tokenizer

    def __init__(self, responses):
        self.responses = responses

    def encode(self, prompt):
        return [2, 4, *tokenizer.encode(prompt, add_special_tokens=False), 5]

    def sample(self, prompts, n=1, **options):
        from o1lib.model.policy import Response

        group = []
        for text in self.responses[:n]:
            ids = tokenizer.encode(text, add_special_tokens=False) if text else []
            group.append(Response(text, ids, [-0.1] * len(ids), bool(text)))
        return [group for _ in prompts]


def scripted(responses):
    return Learner.of(Scripted(responses))


def TOKENS(text):
    return tokenizer.encode(text, add_special_tokens=False)


PROBLEM = task.problem([3, 5, 7], 26)
RIGHT, LONGER = "<answer> 3 * 7 + 5 </answer>", "<think> so </think> <answer> 7 * 3 + 5 </answer>"
WRONG = "<answer> 3 + 5 + 7 </answer>"


def test_groups_with_equal_rewards_are_dropped():
    one = lambda step: [PROBLEM]  # noqa: E731
    for responses in ([RIGHT, LONGER], [WRONG, WRONG], ["", "x " * 600]):
        batch = rollouts(task, checker_reward(task), one, 2)(scripted(responses))
        assert batch.rows == []
        assert batch.stats["informative_share"] == 0
        kept = rollouts(task, checker_reward(task), one, 2, keep_equal=True)(scripted(responses))
        assert len(kept.rows) == 2
    batch = rollouts(task, checker_reward(task), one, 3)(scripted([RIGHT, WRONG, ""]))
    assert [round(float(a), 3) for a in group_mean(batch)] == [0.667, -0.333, -0.333]
    assert batch.stats["reward"] == pytest.approx(1 / 3)
    twins = rollouts(task, checker_reward(task), one, 2, greedy_twin=True)
    batch = twins(scripted([RIGHT, WRONG]))
    assert [float(a) for a in greedy_baseline(batch)] == [0.0, -1.0, 0.0]
    assert batch.rows[-1].counted == 0
    assert batch.sampled == 2


def test_pairs_are_the_best_and_the_worst():
    one = lambda step: [PROBLEM, PROBLEM]  # noqa: E731
    batch = pairs(task, checker_reward(task), one, 3)(scripted([WRONG, RIGHT, ""]))
    assert [(c.group, c.reward) for c in batch.rows] == [(0, 1.0), (0, 0.0), (1, 1.0), (1, 0.0)]
    assert pairs(task, checker_reward(task), one, 2)(scripted([RIGHT, LONGER])).rows == []


def test_batches_without_anything_change_nothing():
    policy = fresh()
    before = [p.clone() for p in policy.model.parameters()]
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1.0)
    learner = Learner.of(policy)
    learner.optimizers["policy"] = optimizer
    for loss in (ppo(), clone):
        row = fit(loss, advantage=group_mean)(learner, Batch([]))
        assert row["grad_norm"] == row["loss"] == 0
    # An empty completion beside a real one: it has no tokens to learn from.
    rows = [
        Completion([2, 4, 60, 5], [], rewards=(1.0,)),
        Completion([2, 4, 60, 5], [70], [-7.0], rewards=(0.0,)),
    ]
    learner.optimizers["policy"] = Recorder()
    row = fit(ppo(), advantage=group_mean)(learner, Batch(rows))
    assert torch.isfinite(torch.tensor(row["loss"]))
    for a, b in zip(before, policy.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rewards_that_are_no_numbers_stop_the_run():
    reward = lambda problems, responses: [0.0, float("nan")]  # noqa: E731
    with pytest.raises(ValueError, match=r"the reward for 'make 26 from 3 5 7' is nan"):
        rollouts(task, reward, lambda step: [PROBLEM], 2)(scripted([RIGHT, WRONG]))


def test_held_out_goals_are_refused():
    held_out = lambda step: [task.problem([2, 3, 4], 24)]  # noqa: E731
    for collect in (
        rollouts(task, checker_reward(task), held_out, 2),
        expert_iteration(task, held_out, 2),
    ):
        with pytest.raises(ValueError, match="goal 24 is held out"):
            collect(scripted([RIGHT, WRONG]))
    with pytest.raises(ValueError, match="at least two"):
        rollouts(task, checker_reward(task), held_out, 1)


def test_expert_iteration_keeps_the_shortest_and_corrects_the_wrong():
    one = lambda step: [PROBLEM]  # noqa: E731
    batch = expert_iteration(task, one, 3, keep="shortest")(scripted([LONGER, WRONG, RIGHT]))
    assert RIGHT in [tokenizer.decode(e.completion_ids) for e in batch.rows]
    assert LONGER not in [tokenizer.decode(e.completion_ids) for e in batch.rows]
    assert batch.stats["corrected"] == 1
    batch = expert_iteration(task, one, 3, keep="all", corrections=False)(
        scripted([LONGER, WRONG, RIGHT])
    )
    assert len(batch.rows) == 2
    failed = (
        "<think> use 3 5 7 for 26 want 26 7 get 33 19 182 : 3 5 get 8 2 15 no want 26 3 get 29 : 1"
    )
    batch = expert_iteration(task, one, 2)(scripted([WRONG, failed]))
    [e] = batch.rows
    text = tokenizer.decode(e.completion_ids)
    assert task.verify(PROBLEM, text.split("<assistant> ")[1].removesuffix("<eos>"))
    assert "want 26 7 get 33 19 182 : 3 5 get 8 2 15 no want 26 3 get 29 23 78 :" in text
    assert sum(e.loss_mask) < len(e.loss_mask)  # the prompt does not count
    assert batch.stats["corrected"] == 1
    batch = expert_iteration(task, one, 2, corrections=False)(scripted([WRONG, failed]))
    assert batch.rows == []
    unsolvable = lambda step: [task.problem([1, 1, 1], 100)]  # noqa: E731
    assert expert_iteration(task, unsolvable, 2)(scripted([WRONG, failed])).rows == []


def test_old_data_is_a_share_of_the_tokens():
    def old():
        return Mixture({"think": (1.0, think_part(3))}, tokenizer, 5)

    problems = training_problems(task, 20)
    collect = expert_iteration(task, problems, 1, replay=old, replay_share=0.5)
    batch = collect(scripted([WRONG]))
    lengths = [len(e) for e in batch.rows]
    corrected = round(batch.stats["corrected"] * 20)
    assert len(batch.rows) > corrected
    assert sum(lengths) < 2.4 * sum(lengths) / len(lengths) * corrected
    again = collect(scripted([WRONG]))
    assert [e.completion_ids for e in again.rows] == [e.completion_ids for e in batch.rows]
    learner = scripted([WRONG])
    learner.step = 1
    other = collect(learner)
    assert [e.completion_ids for e in other.rows] != [e.completion_ids for e in batch.rows]


@pytest.mark.parametrize("n_numbers", [3, 4])
def test_corrections_agree_up_to_the_first_mistake(n_numbers):
    """A writer's chain with a word changed: the correction is right, and the same before the
    change.
    """
    rng, world = random.Random(0), Countdown(n_numbers)
    for problem in world.problems("train", 25):
        pieces = traces.think(problem, rng, traces.Style(slip=0.0))
        if pieces is None:
            continue
        words = " ".join(text for text, _ in pieces).split()
        place = rng.randrange(8, len(words))
        fixed = corrected(problem, " ".join([*words[:place], "dead", *words[place:]]), rng)
        text = " ".join(t for t, _ in fixed)
        assert world.verify(problem, text)
        assert text.split()[:place] == words[:place]


def test_recipes_run_end_to_end(tmp_path, monkeypatch):
    """A tiny recipe of reinforcement learning, stopped in between: one checkpoint with its card and
    its log.
    """
    tiny = replace(recipes.RECIPES["nano-rl"], steps=2, prompts=6, lr=1e-3, max_new_tokens=90)
    monkeypatch.setitem(recipes.RECIPES, "nano-rl", tiny)
    monkeypatch.setattr(stages, "scores", lambda *_: {"val_inputs": 0.5})
    assert recipes.make("nano-rl", tmp_path / "run", stop_after=1) == tmp_path / "run"
    folder = recipes.make("nano-rl", tmp_path / "run", tmp_path / "made")
    card = json.loads((folder / "card.json").read_text())
    assert card["parent"] == "nano-think"
    assert card["parent_hash"] == file_hash(find("nano-think") / "model.safetensors")
    assert card["config"]["steps"] == 2
    assert [r["step"] for r in read_log(folder / "log.csv")] == [0, 1, 2]
    start, made = Policy.load("nano-think"), Policy.load(folder)
    moved = [
        float((a - b).abs().max())
        for a, b in zip(start.model.parameters(), made.model.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.05
    # FINDINGS 2.1: the same folder with another parent is refused, never old weights under a new
    # parent's hash.
    monkeypatch.setitem(recipes.RECIPES, "nano-rl", replace(tiny, parent="nano-rl"))
    with pytest.raises(ValueError, match="differs in weights > policy"):
        recipes.make("nano-rl", tmp_path / "run", tmp_path / "made")


def test_a_false_yes_is_noticed_and_corrected():
    failed = (
        "<think> use 3 5 7 for 26 want 26 7 get 33 19 182 : 3 5 get 8 2 15 yes "
        "so 5 * 3 = 15 , 15 + 7 = 26 "
        "</think> <answer> ( 5 * 3 ) + 7 </answer>"
    )
    pieces = corrected(PROBLEM, failed, random.Random(0))
    text = " ".join(t for t, _ in pieces)
    assert "3 5 get 8 2 15 yes so 5 * 3 = 15 , 15 + 7 = 22 wait 3 5 get 8 2 15 no want" in text
    assert task.verify(PROBLEM, text)
    loss_on = " ".join(t for t, counts in pieces if counts)
    assert "yes so 5" not in loss_on
    assert "22 wait 3 5 get 8 2 15 no" in loss_on
    # A wrong operation in the conclusion.
    failed = (
        "<think> use 3 5 7 for 26 want 26 5 get 31 21 130 : 3 7 get 10 4 21 yes "
        "so 7 * 3 = 21 , 21 - 5 = 26"
    )
    text = " ".join(t for t, _ in corrected(PROBLEM, failed, random.Random(0)))
    assert "yes so 7 * 3 = 21 , 21 - 5 = 16 wait so 7 * 3 = 21 , 21 + 5 = 26 </think>" in text
    assert task.verify(PROBLEM, text)
    # Nonsense after a false yes cannot be worked out: the mistake is replaced.
    failed = "<think> use 3 5 7 for 26 want 26 7 get 33 19 182 : 3 5 get 8 2 15 yes so 5 / 3 = 2"
    assert "wait" not in " ".join(t for t, _ in corrected(PROBLEM, failed, random.Random(0)))
    # Four numbers, every kind of line.
    world, rng, mended = Countdown(4), random.Random(1), 0
    for problem in world.problems("train", 12):
        chain = " ".join(t for t, _ in traces.think(problem, rng, traces.Style(slip=0.0)))
        for part in range(1, chain.count(" no ") + 1):
            head = " no ".join(chain.split(" no ")[:part])
            failed = f"{head} yes so 4 - 3 = 1 , 2 + 1 = {problem.target} </think>"
            text = " ".join(t for t, _ in corrected(problem, failed, rng))
            assert text.startswith(f"{head} yes so 4 - 3 = 1 , 2 + 1 = 3 wait")
            assert world.verify(problem, text)
            mended += 1
    assert mended > 50


# --- the loop


def settings(tmp_path, name, **options):
    collect = rollouts(
        task, checker_reward(task), training_problems(task, 4, seed=1), 4, max_new_tokens=120
    )
    return {
        "collect": collect,
        "update": fit(ppo(), advantage=group_mean, minibatches=2),
        "schedule": Schedule(4, 1e-4, warmup_steps=2),
        "run_dir": tmp_path / name,
    } | options


def numbers(run_dir):
    return [
        {k: v for k, v in row.items() if not k.startswith("seconds")}
        for row in read_log(run_dir / "log.csv")
    ]


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    whole = Policy.load("nano-think")
    learn(Learner.of(whole), **settings(tmp_path, "whole"))
    for stop in (1, 2, None):
        halves = Policy.load("nano-think")
        learn(Learner.of(halves), **settings(tmp_path, "halves"), stop_after=stop)
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "halves")
    assert any(row["learned_tokens"] for row in numbers(tmp_path / "whole"))
    for a, b in zip(whole.model.parameters(), halves.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not list((tmp_path / "halves").glob("*.part"))


def test_a_run_refuses_what_does_not_fit(tmp_path):
    learn(Learner.of(fresh()), **settings(tmp_path, "run"), stop_after=1)
    with pytest.raises(ValueError, match="differs in schedule > steps"):
        learn(Learner.of(fresh()), **settings(tmp_path, "run", schedule=Schedule(9, 1e-4, 2)))
    path = tmp_path / "run" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        learn(Learner.of(fresh()), **settings(tmp_path, "run"))
    with pytest.raises(ValueError, match="need steps"):
        Schedule(-1, 1e-4)


def test_a_finished_run_is_never_passed_off_as_another(tmp_path):
    """FINDINGS 2.1: another reward, other problems, another parent, another loss: refused, with
    what differs.
    """
    given = {"max_new_tokens": 20}
    problems = training_problems(task, 2)
    reward = checker_reward(task)

    def run(policy=None, reward=reward, problems=problems, update=None):
        policy = policy or fresh()
        collect = rollouts(task, reward, problems, 2, **given)
        update = update or fit(ppo(), advantage=group_mean)
        return policy, learn(Learner.of(policy), collect, update, Schedule(2, 1e-3), tmp_path)

    half = {"value": 0.5}
    mine = lambda problems, responses: [half["value"] * len(r) for r in responses]  # noqa: E731
    first, log = run(reward=mine)
    again, same = run(reward=mine)
    assert same.rows == read_log(log.path)
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)  # a finished run brings its weights back
    other = Policy(build_model("nano", seed=1), tokenizer, bf16=False)
    for options, what in (
        ({}, "collect > reward"),
        ({"reward": length_penalized(mine)}, "collect > reward"),
        ({"reward": mine, "problems": training_problems(task, 2, seed=1)}, "problems > seed"),
        ({"reward": mine, "policy": other}, "weights > policy > weights"),
        ({"reward": mine, "update": fit(ppo((0.1, 0.1)), advantage=group_mean)}, "loss > high"),
        ({"reward": mine, "update": fit(ppo(), advantage=leave_one_out)}, "update > advantage"),
    ):
        with pytest.raises(ValueError, match=f"holds another run.*{what}"):
            run(**options)
    half["value"] = 0.25  # what a function has closed over
    with pytest.raises(ValueError, match="collect > reward > half"):
        run(reward=mine)


def test_what_cannot_be_identified_is_refused(tmp_path):
    class Nameless:
        def __call__(self, problems, responses):
            return [0.0] * len(responses)

    collect = rollouts(task, Nameless(), training_problems(task, 1), 2)
    with pytest.raises(ValueError, match=r"cannot be identified.*Nameless"):
        learn(Learner.of(fresh()), collect, fit(clone), Schedule(1, 1e-3), tmp_path)


def test_two_runs_in_one_folder(tmp_path):
    """The second refuses, in this process and in another one; a dead one holds nothing."""
    tried = []

    def nested(learner):
        with pytest.raises(ValueError, match="another run is at work"):
            learn(Learner.of(fresh()), **settings(tmp_path, "run"))
        tried.append(learner.step)
        return {}

    options = settings(tmp_path, "run", schedule=Schedule(1, 1e-4))
    learn(Learner.of(fresh()), **options, callback=nested)
    assert tried == [0, 1]
    code = (
        "import os, sys; from pathlib import Path; from o1lib.lab.state import only_run\n"
        "with only_run(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read(1); os._exit(9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(ValueError, match="another run is at work"):
            learn(Learner.of(fresh()), **options)
        other.stdin.write(b"x")
        other.stdin.flush()
        other.wait()
    learn(Learner.of(fresh()), **options)


def interrupt(log):
    if len(log.rows) == 2:
        raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_with_the_same_call(tmp_path):
    """The state is saved, and the models that the run has changed are taken for its own."""
    whole, policy = fresh(), fresh()
    learn(Learner.of(whole), **settings(tmp_path, "whole"))
    with pytest.raises(KeyboardInterrupt):
        learn(Learner.of(policy), **settings(tmp_path, "run"), on_row=interrupt)
    assert policy.model.config._attn_implementation == "sdpa"
    learn(Learner.of(policy), **settings(tmp_path, "run"))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "run")


def test_an_interrupt_waits_for_the_update(tmp_path, request):
    """A Ctrl-C in the middle of an update, where weights are half changed: the step is finished,
    logged and saved.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    whole, policy = fresh(), fresh()
    update = settings(tmp_path, "run")["update"]

    def struck(learner, batch):
        row = update(learner, batch)
        if strike and learner.step == 1:
            signal.raise_signal(signal.SIGINT)
            strike.clear()
        return row

    strike: list = []
    learn(Learner.of(whole), **settings(tmp_path, "whole", update=struck))
    strike.append(True)
    options = settings(tmp_path, "run", update=struck)
    with pytest.raises(KeyboardInterrupt):
        learn(Learner.of(policy), **options)
    assert [row["step"] for row in numbers(tmp_path / "run")] == [1, 2]
    strike.append(True)  # what the function has closed over is part of the run
    learn(Learner.of(policy), **options)
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "run")


def test_a_gradient_that_is_no_number_stops_the_run(tmp_path):
    update, states = fit(ppo(), advantage=group_mean), []

    def poisoned(learner):
        states.append((tmp_path / "state.safetensors").read_bytes())
        if learner.step == 1:
            with torch.no_grad():
                learner.policy.model.model.norm.weight.fill_(float("nan"))
        return Batch(rewarded(1.0, 0.0))

    learner = Learner.of(fresh())
    with pytest.raises(FloatingPointError, match="gradient is nan at update 2; the state saved"):
        learn(learner, poisoned, update, Schedule(3, 1e-3), tmp_path, save_minutes=-1)
    assert states[0] != states[1] == (tmp_path / "state.safetensors").read_bytes()


def test_cloning_one_chain_makes_it_likely(tmp_path):
    policy = fresh()
    document = Document(task.prompt(PROBLEM), [(RIGHT, True)])
    collect = lambda learner: Batch([as_completion(tokenizer, document)])  # noqa: E731
    rows = learn(
        Learner.of(policy),
        collect,
        fit(clone, average="token"),
        Schedule(60, 3e-3, decay=False),
        tmp_path / "run",
        callback=lambda learner: {"seen": learner.step},
        callback_every=25,
    ).rows
    assert [row.get("seen") for row in rows if row.get("seen") is not None] == [0, 25, 50, 60]
    assert rows[-1]["loss"] < 0.05
    [[chain]] = policy.sample([task.prompt(PROBLEM)], temperature=0)
    assert chain.text == RIGHT
    ids, _ = encode(tokenizer, document)
    assert chain.token_ids == ids[-len(chain.token_ids) :]
