"""The exercise about PPO's clipped surrogate: how far may one batch move the policy?"""

from __future__ import annotations

import math

import torch

from o1lib.exercises.check import Exercise, Mistake

# --- the clipped surrogate


def loss_and_gradient(loss, logprobs: torch.Tensor, *others):
    """[loss, gradient in the log-probabilities]; what is no scalar tensor is given back as it
    is.
    """
    found = loss(logprobs.requires_grad_(), *others)
    if not torch.is_tensor(found) or found.numel() > 1:
        return found
    return [found, torch.autograd.grad(found, logprobs)[0]]


def _case(ratios, advantages, mask, low=0.2, high=0.28):
    ratios, mask = torch.tensor(ratios), torch.tensor(mask)
    old = torch.tensor([-1.0, -0.5, -2.0, -0.1]).expand_as(ratios)[:, : ratios.shape[1]]
    return old + ratios.log(), old.clone(), torch.tensor(advantages), mask, low, high


_BATCHES = (
    _case([[1.4, 1.1, 0.9, 0.7]], [[1.0]], [[1.0, 1.0, 1.0, 1.0]]),
    _case([[1.4, 1.1, 0.9, 0.7]], [[-0.5]], [[1.0, 1.0, 1.0, 1.0]]),
    _case(
        [[1.24, 1.5, 0.6, 1.0], [0.75, 1.25, 0.95, 1.3]],
        [[0.75], [-0.25]],
        [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]],
    ),
    _case([[1.05, 1.3, 0.85, 0.95]], [[2.0]], [[1.0, 1.0, 1.0, 0.0]], 0.1, 0.4),
)


def _by_cases(logprobs, old_logprobs, advantages, mask, low, high):
    """Token by token, by the sign of the advantage: a cap above for praise, below for blame."""
    logprobs, old = logprobs.detach(), old_logprobs
    loss, gradient, counted = 0.0, torch.zeros_like(logprobs), float(mask.sum())
    for i, t in mask.nonzero().tolist():
        ratio, advantage = math.exp(logprobs[i, t] - old[i, t]), float(advantages[i, 0])
        outside = ratio > 1 + high if advantage > 0 else ratio < 1 - low
        if outside:
            loss -= (1 + high if advantage > 0 else 1 - low) * advantage / counted
        else:
            loss -= ratio * advantage / counted
            gradient[i, t] = -ratio * advantage / counted
    return [loss, gradient]


def _token_mean(objective, mask):
    return -(objective * mask).sum() / mask.sum()


def _surrogate(
    ratio=lambda now, old: (now - old).exp(),
    bounds=lambda low, high: (1 - low, 1 + high),
    combine=lambda ratio, clipped, advantages: torch.minimum(
        ratio * advantages, clipped * advantages
    ),
    average=_token_mean,
):
    """A way to write the loss; each argument is one decision, right by default."""

    def loss(logprobs, old_logprobs, advantages, mask, low, high):
        r = ratio(logprobs, old_logprobs)
        return average(combine(r, r.clamp(*bounds(low, high)), advantages), mask)

    return loss


def _advantages_clipped(logprobs, old_logprobs, advantages, mask, low, high):
    ratio = (logprobs - old_logprobs).exp()
    clipped = advantages.clamp(1 - low, 1 + high)
    return _token_mean(torch.minimum(ratio * advantages, ratio * clipped), mask)


def _product_clipped(logprobs, old_logprobs, advantages, mask, low, high):
    objective = (logprobs - old_logprobs).exp() * advantages
    return _token_mean(torch.minimum(objective, objective.clamp(1 - low, 1 + high)), mask)


def _each_answer(objective, mask):
    return -((objective * mask).sum(1) / mask.sum(1)).mean()


ppo_loss = Exercise(
    "ppo_loss",
    _BATCHES,
    _by_cases,
    (
        Mistake(
            "max instead of min",
            "you take the larger of the two. The smaller one is the cautious one: it takes away "
            "what would be gained beyond the range, and never hides a loss.",
            (_surrogate(combine=lambda r, c, a: torch.maximum(r * a, c * a)),),
        ),
        Mistake(
            "clip on the advantage",
            "you clip the advantage, or its product with the ratio. Only the *ratio* is clipped; "
            "then it is multiplied by the advantage.",
            (_advantages_clipped, _product_clipped),
        ),
        Mistake(
            "exp forgotten",
            "your ratio is a difference of logarithms. The ratio of two probabilities is `exp` of "
            "it: 1, and not 0, where nothing has moved.",
            (_surrogate(ratio=lambda now, old: now - old),),
        ),
        Mistake(
            "ratio upside down",
            "your ratio is old over new. It should grow as the token becomes likelier.",
            (_surrogate(ratio=lambda now, old: (old - now).exp()),),
        ),
        Mistake(
            "mask ignored",
            "you never use the mask, so padding counts as if it had been written.",
            (_surrogate(average=lambda objective, mask: -objective.mean()),),
        ),
        Mistake(
            "divided by all places",
            "you mask the sum but divide by all places, padding included. Divide by the number of "
            "tokens that count, `mask.sum()`.",
            (_surrogate(average=lambda objective, mask: -(objective * mask).mean()),),
        ),
        Mistake(
            "mean of each answer first",
            "you average over each answer first, and then over answers. That is another loss "
            "(notebook 04 draws its bias in section 2); here every token weighs the same.",
            (_surrogate(average=_each_answer),),
        ),
        Mistake(
            "sum instead of mean",
            "you add the tokens up; divide by the number of those that count.",
            (_surrogate(average=lambda objective, mask: -(objective * mask).sum()),),
        ),
        Mistake(
            "one bound for both sides",
            "you use one bound on both sides, or the two of them swapped. The range goes from "
            "1 - low to 1 + high.",
            (
                _surrogate(bounds=lambda low, high: (1 - low, 1 + low)),
                _surrogate(bounds=lambda low, high: (1 - high, 1 + high)),
                _surrogate(bounds=lambda low, high: (1 - high, 1 + low)),
            ),
        ),
        Mistake(
            "bounds around zero",
            "your bounds are not around 1. A ratio of 1 means that nothing has moved.",
            (
                _surrogate(bounds=lambda low, high: (-low, high)),
                _surrogate(bounds=lambda low, high: (low, high)),
            ),
        ),
        Mistake(
            "min is missing",
            "you use the clipped ratio alone. Then a token that has moved the *wrong* way gets no "
            "gradient either, and nothing brings it back. Take the smaller of the two products.",
            (_surrogate(combine=lambda r, c, a: c * a),),
        ),
        Mistake(
            "no clip",
            "nothing is clipped.",
            (_surrogate(combine=lambda r, c, a: r * a),),
        ),
        Mistake(
            "sign",
            "the minus is missing: a loss is minus what you want more of.",
            (_surrogate(average=lambda objective, mask: (objective * mask).sum() / mask.sum()),),
        ),
        Mistake(
            "no gradient",
            "your loss has no gradient. The old log-probabilities are fixed numbers; the new ones "
            "must not be detached.",
            (_surrogate(ratio=lambda now, old: (now.detach() - old).exp()),),
        ),
    ),
    "gives the loss and the gradient of the rule, taken token by token, on four batches with clips "
    "on both sides and padding",
    loss_and_gradient,
    "loss and gradient ",
)
