"""Exercises of 04: their truths agree with the library, and the bugs are where the text says."""

import json

import pytest
import torch

from o1lib.exercises import learning
from o1lib.exercises.check import CheckFailed, same
from o1lib.exercises.generate import SOLUTIONS
from o1lib.learning.advantages import gae, group_mean, leave_one_out
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.losses import ppo


@pytest.fixture(scope="module")
def names() -> dict:
    """What the solution notebook defines, without its checks and demonstrations."""
    found: dict = {}
    cells = json.loads((SOLUTIONS / "04_learning.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code" and cell["id"] not in ("z", "length"):
            exec("".join(cell["source"]), found)
    return found


def z_of(found: torch.Tensor, truth: torch.Tensor) -> float:
    """How many standard errors the mean over batches is from the truth, at most."""
    return float(((found.mean(0) - truth) / (found.std(0) / len(found) ** 0.5)).abs().max())


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_estimate_is_unbiased(names, beta):
    """A z-test against the exact gradient, over many batches with real noise."""
    assert z_of(names["estimates"](20000, 8, beta), names["exact_gradient"](beta)) < 4


def test_a_reward_that_is_not_detached_is_biased(names, monkeypatch):
    """On average too, so the check's examples are no accident; without the leash nothing shows."""
    [mistake] = [m for m in learning.reinforce_loss.mistakes if m.name == "reward not detached"]
    monkeypatch.setitem(names, "reinforce_loss", mistake.functions[0])
    assert z_of(names["estimates"](20000, 8, 0.0), names["exact_gradient"](0.0)) < 4
    assert z_of(names["estimates"](20000, 8, 0.5), names["exact_gradient"](0.5)) > 20


def test_the_two_advantages_are_those_of_the_library():
    for (rewards,) in learning.two_advantages.cases:
        rows = [
            Completion([1], [1], rewards=[reward], group=group)
            for group, row in enumerate(rewards.tolist())
            for reward in row
        ]
        first, second = map(torch.tensor, learning.two_advantages.truth(rewards))
        for ours, theirs in ((first, group_mean), (second, leave_one_out)):
            assert same(ours.flatten(), torch.stack(theirs(Batch(rows))))
        n = rewards.shape[1]
        assert same(second, n / (n - 1) * first)


def test_the_clipped_loss_is_that_of_the_library():
    for logprobs, old, advantages, mask, low, high in learning.ppo_loss.cases:
        now = logprobs.clone().requires_grad_()
        rows = Rows.given(
            logprobs=now, old_logprobs=old, advantages=advantages.expand_as(now), mask=mask
        )
        loss = (ppo((low, high))(rows) * mask).sum() / mask.sum()
        [gradient] = torch.autograd.grad(loss, now)
        truth = learning.ppo_loss.truth(logprobs, old, advantages, mask, low, high)
        assert same(truth, [loss.detach(), gradient])


def test_both_sides_of_the_clip_act():
    """Tokens without a gradient above the range and below it, and with one outside it."""
    seen = set()
    for case in learning.ppo_loss.cases:
        ratio = (case[0] - case[1]).exp()
        outside = (ratio > 1 + case[5]).int() - (ratio < 1 - case[4]).int()
        _, gradient = learning.ppo_loss.truth(*case)
        for where, push, counts in zip(
            outside.flatten(), gradient.flatten(), case[3].flatten(), strict=True
        ):
            seen.add((int(where), bool(push), bool(counts)))
    assert {(1, False, True), (-1, False, True), (1, True, True), (-1, True, True)} <= seen


def test_gae_is_that_of_the_library():
    for rewards, values, gamma, lam in learning.gae.cases:
        if rewards:
            row = Completion([1], [1] * len(rewards), rewards=rewards)
            batch = Batch([row], values=[torch.tensor(values)])
            assert same(learning.gae.truth(rewards, values, gamma, lam), gae(gamma, lam)(batch)[0])


def test_the_mask_is_that_of_the_library():
    """A completion holds what was written, its end token too; `Rows` lays the mask."""
    for ids, prompt_lengths, end in learning.mended_mask.cases:
        rows = []
        for row, start in zip(ids.tolist(), prompt_lengths.tolist(), strict=True):
            answer = row[start:]
            stop = answer.index(end) + 1 if end in answer else len(answer)
            rows.append(Completion(row[:start], answer[:stop]))
        mask = Rows(rows, torch.nn.Linear(1, 1), ids.shape[1]).mask
        assert same(learning.mended_mask.truth(ids, prompt_lengths, end), mask)


@pytest.mark.parametrize("part", ["update", "mask"])
def test_the_suspect_of_the_notebook_is_the_known_bug(names, part):
    with pytest.raises(CheckFailed) as caught:
        getattr(learning, f"mended_{part}")(names[f"suspect_{part}"])
    assert caught.value.mistake == "unchanged"


def test_one_step_does_not_show_the_bug_of_the_update(names):
    one, *more = learning.mended_update.cases
    assert one[3] == 1
    assert same(names["suspect_update"](*one), learning.mended_update.truth(*one))
    for case in more:
        assert not same(names["suspect_update"](*case), learning.mended_update.truth(*case))


def test_the_gradient_shows_the_bug_of_the_mask(names):
    """With the suspect no gradient reaches the place where the end token was chosen."""
    ids, prompt_lengths, end = learning.mended_mask.cases[0]
    for name, reached in (("suspect_mask", False), ("mended_mask", True)):
        logprobs = torch.zeros(ids[:, 1:].shape, requires_grad=True)
        (-logprobs * names[name](ids, prompt_lengths, end)).sum().backward()
        first_end = [row.index(end) - 1 for row in ids.tolist()]
        assert all(bool(logprobs.grad[i, t]) == reached for i, t in enumerate(first_end))


def test_the_symptoms_are_as_told(names, capsys):
    """Answers get longer with the suspect although the loss falls, shorter with the mended mask."""

    def last_and_first(name):
        names["play"](names[name])
        lines = capsys.readouterr().out.splitlines()
        words = [float(line.split()[-2]) for line in lines]
        losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
        return words, losses

    words, losses = last_and_first("suspect_mask")
    assert words[-1] > 2 * words[0]
    assert losses[-1] < losses[0]
    words, losses = last_and_first("mended_mask")
    assert words[-1] < 1 < words[0]
    start, actions = torch.zeros(3), torch.tensor([0, 0, 1, 2])
    advantages = torch.tensor([0.5, 0.5, -0.5, -0.5])
    gone = names["suspect_update"](start, actions, advantages, 160, 0.1).softmax(0)
    kept = names["mended_update"](start, actions, advantages, 160, 0.1).softmax(0)
    assert gone[0] > 0.95
    # The other two arms are pushed down to 0.8 / 3 each; the last step may go a little beyond.
    assert 1 - 2 * 0.8 / 3 < kept[0] < 1 - 2 * 0.8 / 3 + 0.01
