"""Losses, each a function `Rows -> Tensor` that reads like its equation.

A loss gives one number per token, shape (rows, tokens), which `fit` weighs by the mask and sums
with `token_weights`; or one per row or pair, shape (n,), of which it takes the mean. So a batch may
be cut into micro-batches without changing the sum.

Left out on purpose: an entropy bonus (our runs lose no entropy that it would save), sequence-level
ratios.

Used in notebook 04.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from o1lib.learning.completions import Rows

Loss = Callable[[Rows], torch.Tensor]
AVERAGES = ("sequence", "token", "constant")


def clone(rows: Rows) -> torch.Tensor:
    """-log p(token): make what was done likelier (behavior cloning; the roadmap, Eq. 7)."""
    return -rows.logprobs


def reinforce(rows: Rows) -> torch.Tensor:
    """-A log p(token): its gradient is the policy gradient, under fresh samples (Williams 1992)."""
    return -rows.advantages * rows.logprobs


def ppo(clip: tuple[float, float] = (0.2, 0.28)) -> Loss:
    """-min(r A, clamp(r, 1 - low, 1 + high) A), with r the probability now over that when sampled:
    PPO, and GRPO.

    Where the clip is active, r is above 1 + high with A > 0, or below 1 - low with A < 0, and the
    gradient is zero: the share of such tokens is logged as `clipped`.

    Source: Schulman et al. (2017), arXiv 1707.06347, equation 7; the wider upper bound: Yu et al.
    (2025), arXiv 2503.14476.
    """
    low, high = 1 - clip[0], 1 + clip[1]

    def loss(rows: Rows) -> torch.Tensor:
        ratio, advantages = (rows.logprobs - rows.old_logprobs).exp(), rows.advantages
        active = ((ratio > high) & (advantages > 0)) | ((ratio < low) & (advantages < 0))
        rows.report(clipped=active.float(), kl_sampler=k3(rows.old_logprobs, rows.logprobs))
        if rows.entropy is not None:
            rows.report(entropy=rows.entropy)
        return -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)

    return loss


def value_loss(rows: Rows) -> torch.Tensor:
    """(V - R)^2 / 2, with R the returns (advantages + old values): the critic's loss of PPO (arXiv
    1707.06347, equation 9).
    """
    return 0.5 * (rows.values - rows.returns).square()


def bce(rows: Rows) -> torch.Tensor:
    """-y log s - (1 - y) log(1 - s), s the sigmoid of the score at a token, y its label in [0, 1]
    (a row's `rewards`).
    """
    return binary_cross_entropy_with_logits(rows.scores, rows.rewards, reduction="none")


def k3(logprobs: torch.Tensor, ref_logprobs: torch.Tensor) -> torch.Tensor:
    """An unbiased, nonnegative estimate of KL(policy || reference) per token, from samples of the
    policy. For the log only.

    Its *value* has the right mean. Its gradient under fresh samples has not: that is the gradient
    of KL(reference || policy). To learn by, take `kl`, or the KL in the reward
    (`o1lib.learning.collect.kl_in_reward`).

    Source: Schulman (2020), "Approximating KL divergence".
    """
    difference = ref_logprobs - logprobs
    return difference.exp() - difference - 1


def kl(kind: str = "k3") -> Loss:
    """A loss whose gradient is that of KL(policy || reference) at every token, given what was
    written before it.

    * `k3`: r k3, with r the probability now over that when sampled (r is differentiated too): right
      after several minibatches as well;
    * `k2`: (log p - log ref)^2 / 2, under fresh samples only.

    Neither sees that a token also decides what comes after it: `kl_in_reward` does. What was
    dropped from the batch is not held to the reference: `rollouts(..., keep_equal=True)`.

    Source: Tang and Munos (2025), arXiv 2506.09477; TRL's `use_bias_correction_kl` is `k3`.
    """
    if kind not in ("k2", "k3"):
        raise ValueError(f"unknown kind of KL {kind!r}; choose from k2, k3")

    def loss(rows: Rows) -> torch.Tensor:
        estimate = k3(rows.logprobs, rows.ref_logprobs)
        rows.report(kl=estimate)
        if kind == "k2":
            return 0.5 * (rows.logprobs - rows.ref_logprobs).square()
        return (rows.logprobs - rows.old_logprobs).exp() * estimate

    return loss


def _log_ratio(rows: Rows) -> torch.Tensor:
    """log p(completion) - log ref(completion), shape (rows,)."""
    return ((rows.logprobs - rows.ref_logprobs) * rows.mask).sum(1)


def dpo(beta: float = 0.1) -> Loss:
    """-log sigmoid(beta (log ratio of the better - log ratio of the worse)), one number for each
    pair.

    A pair is the two completions of one group with different rewards.

    Source: Rafailov et al. (2023), arXiv 2305.18290, equation 7.
    """

    def loss(rows: Rows) -> torch.Tensor:
        reward = beta * _log_ratio(rows)  # implicit, up to a constant of the prompt
        better, worse = rows.pairs
        return -logsigmoid(reward[better] - reward[worse])

    loss.whole_groups = True
    return loss


def ipo(tau: float = 0.1) -> Loss:
    """(h - 1 / (2 tau))^2, h the log ratio of the better less that of the worse, each the mean over
    its tokens: one number for each pair. Unlike `dpo` it stops at a distance, instead of pushing
    the two apart forever.

    Source: Azar et al. (2023), arXiv 2310.12036, equation 17; the mean over tokens is TRL's form,
    which its authors confirmed.
    """

    def loss(rows: Rows) -> torch.Tensor:
        ratio = _log_ratio(rows) / rows.mask.sum(1).clamp(min=1)
        better, worse = rows.pairs
        return (ratio[better] - ratio[worse] - 1 / (2 * tau)).square()

    loss.whole_groups = True
    return loss


def kto(beta: float = 0.1, baseline: float = 0.0) -> Loss:
    """1 - sigmoid(s (beta log ratio - baseline)), s = +1 for a reward above zero, else -1: one
    number for each completion.

    `baseline` is beta times an estimate of KL(policy || reference), zero as in TRL's form without
    one.

    Source: Ethayarajh et al. (2024), arXiv 2402.01306, equation 8.
    """

    def loss(rows: Rows) -> torch.Tensor:
        wanted = torch.tensor([1.0 if c.reward > 0 else -1.0 for c in rows.completions])
        reward = beta * _log_ratio(rows) - baseline
        return 1 - (wanted.to(reward) * reward).sigmoid()

    return loss


def total(*terms: tuple[float, Loss]) -> Loss:
    """The weighted sum of losses per token: `total((1, ppo()), (0.05, kl()))`."""

    def loss(rows: Rows) -> torch.Tensor:
        return sum(weight * term(rows) for weight, term in terms)

    loss.whole_groups = any(whole_groups(term) for _, term in terms)
    return loss


def whole_groups(loss: Loss) -> bool:
    """Whether the loss compares the rows of a group, so that none may be cut."""
    return getattr(loss, "whole_groups", False)


def token_weights(
    counts: torch.Tensor, average: str = "constant", max_length: int = 512, kept: float = 1.0
) -> torch.Tensor:
    """What a token of each completion weighs in the loss of a batch, (rows,), from the tokens that
    count in each.

    * `sequence`: the mean over completions of their mean over tokens (GRPO as first written: a long
      wrong answer is punished less per token);
    * `token`: the mean over all tokens;
    * `constant`: the sum over rows * max_length, so that a token weighs the same in any batch (Dr.
      GRPO, arXiv 2503.20783).

    `kept` is the share of what was sampled (completions, or for `token` tokens) that these rows
    are: what was dropped counts in the mean as what it is, a zero.
    """
    counts = counts.float()
    if average == "sequence":
        return kept / (counts.clamp(min=1) * len(counts))
    if average == "token":
        return torch.full_like(counts, kept / max(1.0, float(counts.sum())))
    if average == "constant":
        return torch.full_like(counts, kept / (max_length * len(counts)))
    raise ValueError(f"unknown average {average!r}; choose from {', '.join(AVERAGES)}")
