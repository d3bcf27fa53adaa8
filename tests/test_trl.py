"""TRL on our data: the same loss on the same documents, and our own samples through its hook."""

import pytest
import torch
from recorder import Recorder

from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts
from o1lib.learning.losses import clone, ppo
from o1lib.learning.updates import Learner, fit
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, judge_part, think_part
from o1lib.policy.traces import Style
from o1lib.recipes.with_trl import SAME, SAME_GRPO, _sft, in_order
from o1lib.reward.outcome import checker_reward
from o1lib.tasks import Countdown

TASK = Countdown(3)


def ours(policy, batch, update):
    """The row of the log and the gradient of one update of ours."""
    learner = Learner.of(policy)
    learner.optimizers["policy"] = Recorder()
    row = update(learner, batch)
    gradient = flat_gradient(policy)
    policy.model.zero_grad()
    return row, gradient


def flat_gradient(policy):
    return torch.cat([p.grad.flatten() for p in policy.model.parameters()])


@pytest.fixture
def policy():
    return Policy(*load("nano-gives-up"), bf16=False)


def test_sft_has_our_loss_and_order(policy, tmp_path):
    """Loss and gradient of both steps of documents with planted slips and of unlike lengths."""
    from o1lib.backends.trl import sft_trainer

    parts = {"think": (4, think_part(3, Style(slip=1.0))), "judge": (1, judge_part)}
    mixture = Mixture(parts, build_tokenizer())
    documents = [mixture.next() for _ in range(8)]
    prompts = [
        ids.index(policy.tokenizer.convert_tokens_to_ids("<assistant>")) for ids, _ in documents
    ]
    assert any(False in mask[n + 1 :] for n, (_, mask) in zip(prompts, documents, strict=True))
    options = {"documents_per_step": 4, "steps": 2, **SAME}
    trainer = sft_trainer(policy.model, policy.tokenizer, documents, tmp_path, **options)
    learner = Learner.of(policy)
    for batch in trainer.get_train_dataloader():
        mine = in_order(documents, 4)(learner)
        row, gradient = ours(policy, mine, fit(clone, average="token", clip_norm=1e9))
        theirs = trainer.compute_loss(trainer.model, batch)
        assert float(theirs.detach()) == pytest.approx(row["loss"], abs=1e-5)
        theirs.backward()
        assert torch.allclose(flat_gradient(policy), gradient, atol=1e-5)
        policy.model.zero_grad()
        learner.step += 1
    assert learner.step == 2


def test_grpo_gets_exactly_our_samples(policy, tmp_path, monkeypatch):
    """At the same step and from the same weights the same tokens, rewards, loss and gradient, also
    after the weights have changed.
    """
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from o1lib.backends.trl import grpo_trainer, our_sampler

    problems, n, limit = TASK.problems("train", 4), 4, 96
    reward = checker_reward(TASK)
    trainer = grpo_trainer(
        policy.model,
        policy.tokenizer,
        TASK,
        problems,
        reward,
        tmp_path,
        n=n,
        prompts_per_step=4,
        max_new_tokens=limit,
        rollout=our_sampler(policy, seed=3),
        **SAME_GRPO,
    )
    asked = [trainer.train_dataset[i] for i in range(4) for _ in range(n)]
    own = Policy(policy.model, policy.tokenizer, bf16=False)
    options = {"max_new_tokens": limit, "seed": 3, "keep_equal": True}
    collect = rollouts(TASK, reward, lambda step: problems, n, **options)
    informative = []
    for step in (0, 7):
        trainer.state.global_step = step
        inputs = trainer._generate_and_score_completions(asked)
        own.refresh()
        learner = Learner.of(own)
        learner.step = step
        batch = collect(learner)
        counts = inputs["completion_mask"].bool()
        theirs = [
            row[kept].tolist() for row, kept in zip(inputs["completion_ids"], counts, strict=True)
        ]
        assert theirs == [list(c.completion_ids) for c in batch.rows]
        assert torch.allclose(inputs["advantages"], torch.stack(group_mean(batch)), atol=1e-6)
        update = fit(ppo(), advantage=group_mean, average="token", clip_norm=1e9)
        row, gradient = ours(own, batch, update)
        loss = trainer._compute_loss(trainer.model, inputs)
        assert float(loss.detach()) == pytest.approx(row["loss"], abs=1e-5)
        loss.backward()
        assert torch.allclose(flat_gradient(policy), gradient, atol=1e-5)
        informative.append(bool(inputs["advantages"].any()))
        with torch.no_grad():
            for p in policy.model.parameters():
                p.mul_(1.02)
        policy.model.zero_grad()
    assert any(informative)


def test_held_out_goals_are_refused(policy, tmp_path):
    from o1lib.backends.trl import grpo_trainer

    problems = TASK.problems("val_targets", 2)
    with pytest.raises(ValueError, match="held out"):
        grpo_trainer(policy.model, policy.tokenizer, TASK, problems, checker_reward(TASK), tmp_path)


def test_three_updates_are_the_same_training(tmp_path):
    """Optimizer, clipping, rate and order: the losses of three updates of the experiment's arms."""
    curves = []
    for by in ("ours", "TRL"):
        rows = _sft(seed=0, by=by, steps=3, folder=str(tmp_path / by))
        curves.append([r["value"] for r in rows if r["metric"] == "loss"])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert curves[0][2] < curves[0][0]
