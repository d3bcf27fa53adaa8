"""Exercises about the gradient that is estimated from samples, and the baselines beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from statistics import fmean

import torch

from o1lib.exercises.check import Exercise, Mistake


def gradient(loss: Callable, variable: torch.Tensor, *others):
    """The gradient of `loss(variable, *others)` in its first argument; what is no scalar tensor is
    given back as it is.
    """
    found = loss(variable.requires_grad_(), *others)
    if not torch.is_tensor(found) or found.numel() > 1:
        return found
    return torch.autograd.grad(found, variable)[0]


# --- the log-derivative trick

# In each case every arm is pulled exactly as often as the policy does on average, so that the
# estimate has no noise left: it must be the exact gradient.
_EVEN, _THREE_TO_ONE, _ONE_TO_THREE = [0.0, 0.0], [math.log(3), 0.0], [-0.5, math.log(3) - 0.5]
_PULLS = {"even": [0, 1, 1, 0], "three": [0, 0, 1, 0], "one": [1, 0, 1, 1]}


def _case(theta, reference, pulls, rewards, beta):
    reference = torch.tensor(reference).log_softmax(-1)
    pulls = torch.tensor([_PULLS[name] for name in pulls])
    return torch.tensor(theta), reference, pulls, torch.tensor(rewards), beta


_BANDITS = (
    _case([_THREE_TO_ONE], [_EVEN], ["three"], [[0.0, 1.0, 1.0, 0.0]], 0.0),
    _case([_THREE_TO_ONE], [_EVEN], ["three"], [[0.0, 0.0, 1.0, 0.0]], 0.5),
    _case(
        [_THREE_TO_ONE, _EVEN, _ONE_TO_THREE],
        [_EVEN, _ONE_TO_THREE, _THREE_TO_ONE],
        ["three", "even", "one"],
        [[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 1.0, 0.0], [-1.0, 0.5, 0.0, 1.0]],
        0.2,
    ),
)


def _exact_gradient(theta, reference, actions, rewards, beta):
    """Of minus J = the mean over machines of sum_a pi(a) (mean pay of a - beta log-ratio of a),
    from all arms, without a sample of the log-derivative trick.
    """
    theta = theta.detach().double().requires_grad_()
    pi = theta.softmax(1)
    pay = [
        [
            fmean(r for r, a in zip(row, pulled, strict=True) if a == arm)
            for arm in range(theta.shape[1])
        ]
        for row, pulled in zip(rewards.tolist(), actions.tolist(), strict=True)
    ]
    goal = (pi * (torch.tensor(pay).double() - beta * (pi.log() - reference))).sum(1).mean()
    return torch.autograd.grad(-goal, theta)[0]


def _reinforce(dim=1, leash=-1.0, paid=torch.detach, logs=lambda x: x, end=lambda x: -x.mean()):
    """A way to write the loss; each argument is one decision, right by default."""

    def loss(theta, reference, actions, rewards, beta):
        logprobs = theta.log_softmax(dim).gather(1, actions)
        pulled = reference.gather(1, actions)
        return end(paid(rewards + leash * beta * (logprobs - pulled)) * logs(logprobs))

    return loss


def _leash_beside(theta, reference, actions, rewards, beta):
    logprobs = theta.log_softmax(1).gather(1, actions)
    return (beta * (logprobs - reference.gather(1, actions)) - rewards * logprobs).mean()


reinforce_loss = Exercise(
    "reinforce_loss",
    _BANDITS,
    _exact_gradient,
    (
        Mistake(
            "minus is missing",
            "the minus is missing. An optimizer walks *down* the loss, so a loss is minus what you "
            "want more of.",
            (_reinforce(end=torch.mean),),
        ),
        Mistake(
            "reward not detached",
            "your reward holds `logprobs`, and the gradient runs through it as well. The "
            "log-derivative trick takes the reward as a plain number: `.detach()` it.",
            (_reinforce(paid=lambda x: x),),
        ),
        Mistake(
            "the wrong factor detached",
            "no gradient reaches the policy through log pi. Detach the reward, and only the "
            "reward.",
            (
                _reinforce(logs=torch.detach),
                _reinforce(logs=torch.detach, paid=lambda x: x),
            ),
        ),
        Mistake(
            "softmax over the wrong axis",
            "your softmax runs down the machines. Each row of `theta` is a policy of its own, and "
            "its two probabilities must add up to one: use the last axis.",
            (_reinforce(dim=0),),
        ),
        Mistake(
            "mean over one axis",
            "you take the mean over one axis only, and several numbers are left. A loss is a "
            "single number: the mean over all samples of all machines.",
            (
                _reinforce(end=lambda x: -x.mean(1)),
                _reinforce(end=lambda x: -x.mean(0)),
                _reinforce(end=lambda x: -x),
                _reinforce(dim=0, end=lambda x: -x.mean(0)),
            ),
        ),
        Mistake(
            "sum instead of mean",
            "you add up where a mean belongs (over the samples, or over the machines): the step "
            "would grow with the batch.",
            (
                _reinforce(end=lambda x: -x.sum()),
                _reinforce(end=lambda x: -x.sum(1).mean()),
                _reinforce(end=lambda x: -x.sum(0).mean()),
            ),
        ),
        Mistake(
            "pi instead of log pi",
            "you differentiate pi and not *log* pi. What is likely is drawn more often already; "
            "the logarithm makes up for that.",
            (_reinforce(logs=torch.exp),),
        ),
        Mistake(
            "sign of the leash",
            "you pay for moving away from the reference. The log-ratio is a cost: subtract it.",
            (_reinforce(leash=1.0),),
        ),
        Mistake(
            "no leash",
            "the leash does not reach the gradient. Either you left the log-ratio out, or you "
            "added it to the loss by itself: there its gradient is zero on average, because the "
            "mean of the gradient of log pi is zero. It belongs into the reward.",
            (_reinforce(leash=0.0), _leash_beside),
        ),
    ),
    "has the exact gradient on three batches in which every arm is pulled exactly as often as the "
    "policy does on average",
    gradient,
    "the gradient ",
)

# --- two baselines


def _advantages(rewards):
    """Answer by answer, from the definitions."""
    groups = rewards.tolist()
    of_all = [[r - fmean(group) for r in group] for group in groups]
    of_others = [
        [r - fmean(group[:i] + group[i + 1 :]) for i, r in enumerate(group)] for group in groups
    ]
    return of_all, of_others


def _center(rewards):
    return rewards - rewards.mean(1, keepdim=True)


def _leave_one_out(rewards):
    return _center(rewards) * rewards.shape[1] / (rewards.shape[1] - 1)


def _pairs(first: Callable | None = None, second: Callable | None = None) -> tuple:
    """Wrong functions from a wrong way to write the first advantage, the second, or both."""
    firsts = [_center] + [first] * (first is not None)
    seconds = [_leave_one_out] + [second] * (second is not None)
    return tuple(
        lambda rewards, a=a, b=b: (a(rewards), b(rewards))
        for a, b in product(firsts, seconds)
        if (a, b) != (_center, _leave_one_out)
    )


def _scaled(rewards, ddof):
    return _center(rewards) / (rewards.std(1, correction=ddof, keepdim=True) + 1e-8)


two_advantages = Exercise(
    "two_advantages",
    (
        (torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]),),
        (torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.25, 2.0], [-1.0, 1.0, 0.0]]),),
        (torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 2.0]]),),
    ),
    _advantages,
    (
        Mistake(
            "mean over the wrong axis",
            "you average down the columns, over different puzzles. A group is a *row*: the answers "
            "to one puzzle.",
            _pairs(
                lambda r: r - r.mean(0, keepdim=True),
                lambda r: r - (r.sum(0, keepdim=True) - r) / (len(r) - 1),
            )
            + _pairs(None, lambda r: r - (r.sum(0, keepdim=True) - r) / (r.shape[1] - 1)),
        ),
        Mistake(
            "one mean for all",
            "you use one mean for the whole batch. Then a hard puzzle is punished for being hard.",
            _pairs(lambda r: r - r.mean(), lambda r: r - (r.sum() - r) / (r.numel() - 1)),
        ),
        Mistake(
            "keepdim",
            "a mean over axis 1 has one number a row, and torch lays it along the *columns*: with "
            "as many puzzles as answers it does so without a word. Say `keepdim=True`.",
            _pairs(
                lambda r: r - r.mean(1),
                lambda r: r - (r.sum(1) - r) / (r.shape[1] - 1),
            ),
        ),
        Mistake(
            "divided by n",
            "for the second advantage you add up the others, which are n - 1, and divide by n.",
            _pairs(None, lambda r: r - (r.sum(1, keepdim=True) - r) / r.shape[1]),
        ),
        Mistake(
            "own reward among the others",
            "for the second advantage you divide by n - 1 but leave the answer's own reward in the "
            "sum. Take it out first.",
            _pairs(None, lambda r: r - r.sum(1, keepdim=True) / (r.shape[1] - 1)),
        ),
        Mistake(
            "twice the same",
            "both of your advantages are the first one. In the second an answer is compared with "
            "the *others* only.",
            (lambda r: (_center(r), _center(r)),),
        ),
        Mistake(
            "swapped",
            "both are right, but in the other order: the mean of all first, of the others second.",
            (lambda r: (_leave_one_out(r), _center(r)),),
        ),
        Mistake(
            "factor upside down",
            "the second advantage is the *larger* one: n / (n - 1) times the first. Yours is "
            "(n - 1) / n times.",
            _pairs(None, lambda r: _center(r) * (r.shape[1] - 1) / r.shape[1]),
        ),
        Mistake(
            "sign",
            "the sign is turned around: better than the baseline must be positive.",
            (lambda r: (-_center(r), -_leave_one_out(r)),),
        ),
        Mistake(
            "divided by the spread",
            "you also divide by the group's standard deviation. Leave it out here; section 2 of "
            "notebook 04 shows what it does.",
            _pairs(lambda r: _scaled(r, 1), lambda r: _scaled(r, 1))
            + _pairs(lambda r: _scaled(r, 0), lambda r: _scaled(r, 0)),
        ),
        Mistake(
            "the baselines themselves",
            "you give back the baselines. An advantage is the reward *minus* the baseline.",
            (
                lambda r: (
                    (r - _center(r)),
                    (r - _leave_one_out(r)),
                ),
            ),
        ),
    ),
    "agrees with the definitions on three batches, and in every group the second advantage is "
    "n / (n - 1) times the first: 4/3 for four answers, 3/2 for three, 2 for two",
)
