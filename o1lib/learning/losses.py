"""Losses and advantages as pure functions of tensors. Each reads like its equation.

Every loss is written per token, shape (rows, tokens), and summed with the weights that `token_weights` gives: so a
batch may be cut into micro-batches anywhere and the sum stays the same.

Used in notebook 04, section 2.
"""

from __future__ import annotations

import torch

AVERAGES = ("sequence", "token", "constant")


def group_advantages(rewards: torch.Tensor, scale: bool = False) -> torch.Tensor:
    """How much better each completion is than its group: (groups, n) rewards to (groups, n) advantages.

    `scale` divides by the group's standard deviation, as GRPO was first written; it weighs prompts of
    middling difficulty less than very easy and very hard ones. Raises `ValueError` for a reward that is not finite.

    Source: Shao et al. (2024), arXiv 2402.03300, section 4.1; without `scale` Liu et al. (2025), arXiv 2503.20783.
    """
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is not a finite number")
    advantages = rewards - rewards.mean(1, keepdim=True)
    if scale:
        spread = rewards.std(1, keepdim=True) if rewards.shape[1] > 1 else torch.zeros(1, 1)
        advantages = advantages / (spread + 1e-4)
    return advantages


def clipped_surrogate(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    clip: tuple[float, float] = (0.2, 0.28),
) -> torch.Tensor:
    """The clipped objective of PPO and GRPO, negated: (rows, tokens) losses.

    Args:
        logprobs, old_logprobs: (rows, tokens) under the present weights and under those that sampled.
        advantages: (rows, 1) or (rows, tokens).
        clip: how far the ratio may fall below and rise above one.

    Source: Schulman et al. (2017), arXiv 1707.06347, equation 7; the wider upper bound: Yu et al. (2025), arXiv 2503.14476.
    """
    ratio = (logprobs - old_logprobs).exp()
    clipped = ratio.clamp(1 - clip[0], 1 + clip[1])
    return -torch.minimum(ratio * advantages, clipped * advantages)


def kl_penalty(logprobs: torch.Tensor, ref_logprobs: torch.Tensor) -> torch.Tensor:
    """An unbiased, nonnegative estimate of KL(policy || reference) per token, from samples of the policy.

    Source: Schulman (2020), "Approximating KL divergence", estimator k3; used by GRPO.
    """
    difference = ref_logprobs - logprobs
    return difference.exp() - difference - 1


def negative_log_likelihood(logprobs: torch.Tensor) -> torch.Tensor:
    """Behavior cloning (roadmap, Eq. 7): make what was done likelier."""
    return -logprobs


def token_weights(
    lengths: torch.Tensor, average: str = "constant", max_length: int = 512
) -> torch.Tensor:
    """What every token of a completion weighs in the loss of a batch, (rows,), from the lengths of all completions.

    * `sequence`: the mean over completions of their mean over tokens (GRPO as first written: a long wrong answer is
      punished less per token);
    * `token`: the mean over all tokens;
    * `constant`: the sum over rows * max_length, so that a token weighs the same in any batch (Dr. GRPO, arXiv 2503.20783).
    """
    lengths = lengths.float()
    if average == "sequence":
        return 1 / (lengths.clamp(min=1) * len(lengths))
    if average == "token":
        return torch.full_like(lengths, 1 / max(1.0, float(lengths.sum())))
    if average == "constant":
        return torch.full_like(lengths, 1 / (max_length * len(lengths)))
    raise ValueError(f"unknown average {average!r}; choose from {', '.join(AVERAGES)}")
