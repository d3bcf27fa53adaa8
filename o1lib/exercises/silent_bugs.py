"""Two bugs that raise no error: an update whose clip never acts, and a mask without the end."""

from __future__ import annotations

import math

import torch

from o1lib.exercises.check import Exercise, Mistake

LOW, HIGH = 0.8, 1.28

# --- several steps on one batch


def _by_hand(theta, actions, advantages, steps, rate):
    """The gradient written out: a sample pushes by r A ([j = a] - pi_j) / n unless it is clipped,
    with the ratio taken to the policy before the first step.
    """
    theta, actions, advantages = theta.tolist(), actions.tolist(), advantages.tolist()

    def softmax():
        exps = [math.exp(w) for w in theta]
        return [e / sum(exps) for e in exps]

    start = softmax()
    for _ in range(steps):
        pi, push = softmax(), [0.0] * len(theta)
        for a, advantage in zip(actions, advantages, strict=True):
            ratio = pi[a] / start[a]
            if (advantage > 0 and ratio > HIGH) or (advantage < 0 and ratio < LOW):
                continue
            for j in range(len(theta)):
                push[j] += ratio * advantage * ((j == a) - pi[j]) / len(actions)
        theta = [w + rate * p for w, p in zip(theta, push, strict=True)]
    return theta


def _update(old="before", objective=torch.minimum, sign=-1.0):
    """A way to write the update: where the old log-probabilities come from, and what is averaged
    of the two products.
    """

    def update(theta, actions, advantages, steps, rate):
        theta = theta.clone().requires_grad_()
        optimizer = torch.optim.SGD([theta], rate)
        kept = theta.log_softmax(0)[actions]
        kept = kept if old == "attached" else kept.detach()
        for _ in range(steps):
            logprobs = theta.log_softmax(0)[actions]
            then = {"now": logprobs.detach(), "none": torch.zeros(())}.get(old, kept)
            ratio = (logprobs - then).exp()
            clipped = ratio.clamp(LOW, HIGH)
            loss = sign * objective(ratio * advantages, clipped * advantages).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if old == "one behind":
                kept = logprobs.detach()
        return theta.detach()

    return update


def _case(theta, actions, advantages, steps, rate=1.0):
    return torch.tensor(theta), torch.tensor(actions), torch.tensor(advantages), steps, rate


mended_update = Exercise(
    "mended_update",
    (
        _case([0.0, 0.0, 0.0], [0, 0, 1, 2], [0.5, 0.5, -0.5, -0.5], 1),
        _case([0.0, 0.0, 0.0], [0, 0, 1, 2], [0.5, 0.5, -0.5, -0.5], 3),
        _case([0.0, 0.0, 0.0], [0, 0, 1, 2], [0.5, 0.5, -0.5, -0.5], 20),
        _case([1.0, 0.0, -1.0], [0, 1, 0, 2], [-0.25, 0.75, -0.25, -0.25], 12),
        # The strong push on arm 0 takes arm 1, which is praised too, below the range.
        _case([0.0, 0.0, 0.0], [0, 0, 0, 1], [1.0, 1.0, 1.0, 0.125], 6),
    ),
    _by_hand,
    (
        Mistake(
            "unchanged",
            "the ratio is still 1 in every step, so the clip never acts. With one step nobody can "
            "tell; look at what changes, and what should not change, from the second step on.",
            (_update("now"),),
        ),
        Mistake(
            "old log-probabilities not detached",
            "the gradient runs through the old log-probabilities as well. They are fixed numbers: "
            "`.detach()` them.",
            (_update("attached"),),
        ),
        Mistake(
            "one step behind",
            "your old log-probabilities are those of the step before. The ratio asks how far the "
            "policy has moved since it *sampled* the batch, not since the last step.",
            (_update("one behind"),),
        ),
        Mistake(
            "no old log-probabilities",
            "without the old log-probabilities this is no ratio but a probability.",
            (_update("none"),),
        ),
        Mistake(
            "no clip",
            "nothing stops the policy any more: you have taken the clip away.",
            (_update(objective=lambda ratio, clipped: ratio),),
        ),
        Mistake(
            "min is missing",
            "you use the clipped ratio alone; keep `torch.minimum` as it was.",
            (_update(objective=lambda ratio, clipped: clipped),),
        ),
        Mistake(
            "max instead of min",
            "you exchanged the minimum for the maximum; keep it as it was.",
            (_update(objective=torch.maximum),),
        ),
        Mistake(
            "sign",
            "your update walks downhill; keep the minus as it was.",
            (_update(sign=1.0),),
        ),
    ),
    "takes the same steps as the gradient written out by hand, on five batches, and stops where "
    "the clip says",
)

# --- what counts in the loss


def _read(ids, prompt_lengths, end):
    """As a person reads a row: the answer begins after the prompt, and the first `end` ends it."""
    found = []
    for row, start in zip(ids.tolist(), prompt_lengths.tolist(), strict=True):
        stop = row.index(end, start) + 1 if end in row[start:] else len(row)
        found.append([float(start <= t < stop) for t in range(1, len(row))])
    return found


def _mask(
    first=-1,
    real=lambda ids, end: (ids[:, :-1] == end).cumsum(1) == 0,
    prompt=True,
):
    """A way to write the mask: which place is the first, and what is real before the padding."""

    def mask(ids, prompt_lengths, end):
        places = torch.arange(ids.shape[1] - 1)
        answer = places >= prompt_lengths[:, None] + first
        return ((answer if prompt else True) & real(ids, end)).float()

    return mask


def _not_shifted(ids, prompt_lengths, end):
    answer = torch.arange(ids.shape[1]) >= prompt_lengths[:, None]
    return (answer & ((ids == end).cumsum(1) - (ids == end).int() == 0)).float()


mended_mask = Exercise(
    "mended_mask",
    (
        (torch.tensor([[7, 5, 3, 4, 0, 0, 0], [7, 5, 6, 2, 2, 2, 0]]), torch.tensor([2, 3]), 0),
        (torch.tensor([[7, 0, 0, 0], [8, 5, 6, 2]]), torch.tensor([1, 2]), 0),
        (torch.tensor([[7, 5, 1, 9, 9]]), torch.tensor([1]), 9),
    ),
    _read,
    (
        Mistake(
            "unchanged",
            "the end token still counts nothing, so no reward ever reaches it. The first end token "
            "of a row was written by the policy; only those after it are padding.",
            (_mask(real=lambda ids, end: ids[:, 1:] != end),),
        ),
        Mistake(
            "padding counts",
            "now everything after the prompt counts, the padding too: the policy is paid for "
            "tokens that it never wrote.",
            (
                _mask(real=lambda ids, end: torch.tensor(True)),
                _mask(real=lambda ids, end: torch.ones_like(ids[:, 1:], dtype=torch.bool)),
            ),
        ),
        Mistake(
            "one token of padding",
            "you count one end token too many: the policy wrote the first one, and the next is "
            "padding already.",
            (
                _mask(real=lambda ids, end: (ids[:, :-1] == end).cumsum(1) <= 1),
                _mask(real=lambda ids, end: (ids[:, 1:] == end).cumsum(1) <= 2),
            ),
        ),
        Mistake(
            "only the end",
            "now the end token counts, but the answer before it does not.",
            (_mask(real=lambda ids, end: (ids[:, 1:] == end).cumsum(1) == 1),),
        ),
        Mistake(
            "first token of the answer missing",
            "the first token of the answer is left out. Place t holds the token at t + 1, so the "
            "answer begins at place `prompt_length - 1`; that part of the suspect was right.",
            (
                _mask(first=0),
                _mask(first=0, real=lambda ids, end: ids[:, 1:] != end),
            ),
        ),
        Mistake(
            "prompt counted",
            "tokens of the prompt count. The policy did not write them, so no reward is theirs.",
            (
                _mask(first=-2),
                _mask(prompt=False),
            ),
        ),
        Mistake(
            "not shifted",
            "your mask has a place for every token. The first token of a row is predicted by "
            "nothing, so there is one place less: place t stands for the token at t + 1.",
            (_not_shifted,),
        ),
    ),
    "marks the answer with its end token, and neither prompt nor padding, on three batches (with "
    "an empty answer, and one that was cut off)",
)
