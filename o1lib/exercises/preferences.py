"""The exercise about preferences: scores from pairs of which one was liked better."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import logsigmoid

from o1lib.exercises.check import Exercise, Mistake


def loss_and_gradients(loss, chosen: torch.Tensor, rejected: torch.Tensor):
    """[loss, gradient in the chosen scores, gradient in the rejected]; what is no scalar tensor is
    given back as it is.
    """
    found = loss(chosen.requires_grad_(), rejected.requires_grad_())
    if not torch.is_tensor(found) or found.numel() > 1:
        return found
    return [found, *torch.autograd.grad(found, (chosen, rejected))]


def _by_hand(chosen, rejected):
    """Pair by pair: log(1 + e^-d), and what the formula's derivative says."""
    loss, push = 0.0, []
    for better, worse in zip(chosen.tolist(), rejected.tolist(), strict=True):
        d = better - worse
        small = math.exp(-abs(d))
        loss += max(0.0, -d) + math.log1p(small)
        push.append((small if d > 0 else 1.0) / (1 + small) / len(chosen))
    return [loss / len(chosen), [-p for p in push], push]


def _of(end):
    return lambda chosen, rejected: end(chosen - rejected)


preference_loss = Exercise(
    "preference_loss",
    (
        (torch.tensor([1.0, 0.5, -2.0]), torch.tensor([0.0, 1.5, -2.5])),
        (torch.tensor([0.0, 3.0]), torch.tensor([0.0, -1.0])),
        (torch.tensor([100.0, -100.0, 0.25]), torch.tensor([-100.0, 100.0, 0.0])),
    ),
    _by_hand,
    (
        Mistake(
            "minus is missing",
            "the minus is missing: an optimizer walks down the loss, and so away from what people "
            "liked.",
            (_of(lambda d: logsigmoid(d).mean()),),
        ),
        Mistake(
            "the wrong way round",
            "your loss makes the *rejected* score the higher one. The difference is chosen minus "
            "rejected.",
            (_of(lambda d: -logsigmoid(-d).mean()),),
        ),
        Mistake(
            "log of a rounded sigmoid",
            "the formula is right, but not for a computer: the sigmoid of -200 is rounded to 0, "
            "and its logarithm is infinite. Adding a small number only hides it, since no gradient "
            "is left. `torch.nn.functional.logsigmoid` does both steps in one.",
            (
                _of(lambda d: -d.sigmoid().log().mean()),
                _of(lambda d: (1 + (-d).exp()).log().mean()),
                _of(lambda d: -(1 / (1 + (-d).exp())).log().mean()),
                _of(lambda d: -(d.sigmoid() + 1e-8).log().mean()),
                _of(lambda d: -d.sigmoid().clamp(min=1e-8).log().mean()),
            ),
        ),
        Mistake(
            "sum instead of mean",
            "you add up where a mean belongs: the step would grow with the number of pairs.",
            (_of(lambda d: -logsigmoid(d).sum()),),
        ),
        Mistake(
            "no logarithm",
            "you use the chance itself and not its logarithm. Its gradient vanishes just where "
            "the scores are most wrong.",
            (_of(lambda d: -d.sigmoid().mean()), _of(lambda d: (1 - d.sigmoid()).mean())),
        ),
        Mistake(
            "no sigmoid",
            "without the sigmoid the loss can fall for ever, by pushing one pair further and "
            "further apart.",
            (_of(lambda d: -d.mean()),),
        ),
        Mistake(
            "each score by itself",
            "you judge each score by itself. People only said which of two they like better, so "
            "only the difference may count.",
            (
                lambda c, r: -(logsigmoid(c) + logsigmoid(-r)).mean(),
                lambda c, r: -logsigmoid(c).mean(),
                lambda c, r: -(logsigmoid(c) - logsigmoid(r)).mean(),
            ),
        ),
        Mistake(
            "means first",
            "you average the scores before you compare them. Compare pair by pair.",
            (lambda c, r: -logsigmoid(c.mean() - r.mean()),),
        ),
    ),
    "has the value and the gradient of the formula on three batches, one of them with a score that "
    "is wrong by 200",
    loss_and_gradients,
    "the loss and its two gradients ",
)
