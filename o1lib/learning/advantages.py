"""Advantages: how much better than expected a completion, or one of its tokens, was. Each reads
like its equation.

An advantage is a function `Batch -> list[Tensor]`: for every row one number (for all its tokens),
or one per token. A row's reward R is the sum of its rewards; a group is the samples of one prompt.

Used in notebook 04.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from o1lib.learning.completions import Batch

Advantage = Callable[[Batch], list[torch.Tensor]]


def _groups(batch: Batch) -> list[list[int]]:
    """Row numbers of each group. Raises `ValueError` for a row without a finite reward."""
    groups: dict[int, list[int]] = {}
    for i, c in enumerate(batch.rows):
        if not len(c.rewards) or not torch.isfinite(torch.tensor(c.reward)):
            raise ValueError("a reward is missing, or is not a finite number")
        groups.setdefault(c.group, []).append(i)
    return list(groups.values())


def _by_group(batch: Batch, advantages_of) -> list[torch.Tensor]:
    """`advantages_of(rewards)` of every group, back in the order of the rows."""
    found: list = [None] * len(batch.rows)
    for rows in _groups(batch):
        rewards = torch.tensor([batch.rows[i].reward for i in rows])
        for i, advantage in zip(rows, advantages_of(rewards), strict=True):
            found[i] = advantage
    return found


def group_advantages(rewards: torch.Tensor, normalize: bool = False) -> torch.Tensor:
    """A_i = R_i - mean(R), over the last dimension; with `normalize` divided by std(R) + 1e-4.

    Dividing weighs prompts of middling difficulty less than very easy and very hard ones. Raises
    `ValueError` for a reward that is not finite.

    Source: Shao et al. (2024), arXiv 2402.03300, section 4.1; without the division Liu et al.
    (2025), arXiv 2503.20783.
    """
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is not a finite number")
    advantages = rewards - rewards.mean(-1, keepdim=True)
    if normalize:
        many = rewards.shape[-1] > 1
        advantages = advantages / (rewards.std(-1, keepdim=True) + 1e-4 if many else 1e-4)
    return advantages


def group_mean(batch: Batch) -> list[torch.Tensor]:
    """A_i = R_i - mean of the group (GRPO without the division: Dr. GRPO, arXiv 2503.20783)."""
    return _by_group(batch, group_advantages)


def group_normalized(batch: Batch) -> list[torch.Tensor]:
    """A_i = (R_i - mean) / std of the group (GRPO as first written, arXiv 2402.03300, section
    4.1).
    """
    return _by_group(batch, lambda rewards: group_advantages(rewards, normalize=True))


def no_baseline(batch: Batch) -> list[torch.Tensor]:
    """A_i = R_i: the reward as it is (REINFORCE; Williams 1992). Unbiased, and right answers alone
    count where a wrong one is paid nothing.

    Raises `ValueError` where groups were dropped: `rollouts(..., keep_equal=True)`.
    """
    if batch.sampled > len(batch.rows):
        raise ValueError("this advantage needs all groups: rollouts(..., keep_equal=True)")
    return _by_group(batch, lambda rewards: rewards)


def batch_mean(batch: Batch) -> list[torch.Tensor]:
    """A_i = R_i - mean of the whole batch: one baseline for easy prompts and hard ones. Its mean is
    (N - 1) / N of the gradient, for N rows.

    Raises `ValueError` where groups were dropped. Source: Williams (1992), section 4, reinforcement
    comparison.
    """
    rewards = no_baseline(batch)
    return [r - sum(rewards) / len(rewards) for r in rewards]


def leave_one_out(batch: Batch) -> list[torch.Tensor]:
    """A_i = R_i - mean of the *others* of the group: n / (n - 1) times `group_mean`, and unbiased
    (RLOO).

    Source: Kool et al. (2019), "Buy 4 REINFORCE samples, get a baseline for free"; Ahmadian et al.
    (2024), arXiv 2402.14740.
    """

    def advantages(rewards: torch.Tensor) -> torch.Tensor:
        if len(rewards) < 2:
            raise ValueError("leave_one_out needs groups of at least two")
        return rewards - (rewards.sum() - rewards) / (len(rewards) - 1)

    return _by_group(batch, advantages)


def greedy_baseline(batch: Batch) -> list[torch.Tensor]:
    """A_i = R_i - R of the greedy twin of the group (ReMax): the one row whose loss mask counts no
    token.

    `rollouts(..., greedy_twin=True)` adds it. Raises `ValueError` for a group without one.

    Source: Li et al. (2023), arXiv 2310.10505.
    """
    found: list = [torch.zeros(())] * len(batch.rows)
    for rows in _groups(batch):
        twins = [i for i in rows if batch.rows[i].counted == 0 and len(batch.rows[i].loss_mask)]
        if len(twins) != 1:
            raise ValueError("greedy_baseline needs one greedy twin in every group")
        for i in rows:
            found[i] = torch.tensor(batch.rows[i].reward - batch.rows[twins[0]].reward)
    return found


def token_rewards(completion) -> list[float]:
    """The rewards of a completion's tokens; a reward of the whole stands at the last."""
    n, rewards = len(completion.completion_ids), list(completion.rewards)
    if not rewards:
        raise ValueError("a completion has no reward")
    return rewards if len(rewards) == n else ([0.0] * (n - 1) + rewards if n else [])


def gae(gamma: float = 1.0, lam: float = 0.95) -> Advantage:
    """A_t = sum over k of (gamma lam)^k delta_(t+k), with delta_t = r_t + gamma V(s_(t+1)) -
    V(s_t), and V zero at the end.

    Needs a critic. `lam` 1 trusts the rewards alone (no bias), 0 the critic alone (little
    variance).

    Source: Schulman et al. (2015), arXiv 1506.02438, equation 16.
    """

    def advantage(batch: Batch) -> list[torch.Tensor]:
        if len(batch.values) != len(batch.rows):
            raise ValueError("gae needs a critic: Learner.of(policy, critic=...)")
        found = []
        for completion, values in zip(batch.rows, batch.values, strict=True):
            rewards, following, running, row = token_rewards(completion), 0.0, 0.0, []
            for reward, value in zip(reversed(rewards), reversed(values.tolist()), strict=True):
                running = reward + gamma * following - value + gamma * lam * running
                following = value
                row.append(running)
            found.append(torch.tensor(row[::-1]))
        return found

    return advantage


def reward_to_go(gamma: float = 1.0) -> Advantage:
    """A_t = sum over k of gamma^k r_(t+k): no baseline, only what comes after a token is credited
    to it.
    """

    def advantage(batch: Batch) -> list[torch.Tensor]:
        found = []
        for completion in batch.rows:
            running, row = 0.0, []
            for reward in reversed(token_rewards(completion)):
                running = reward + gamma * running
                row.append(running)
            found.append(torch.tensor(row[::-1]))
        return found

    return advantage


def whitened(advantage: Advantage) -> Advantage:
    """Another advantage with mean zero and deviation one over all tokens of the batch (PPO's
    habit).
    """

    def scaled(batch: Batch) -> list[torch.Tensor]:
        rows = advantage(batch)
        sizes = [len(c.completion_ids) for c in batch.rows]
        spread = [a.expand(n) for a, n in zip(rows, sizes, strict=True)]
        every = torch.cat([s for s in spread if len(s)]) if any(sizes) else torch.zeros(1)
        deviation = every.std() if len(every) > 1 else torch.ones(())
        return [(s - every.mean()) / (deviation + 1e-8) for s in spread]

    return scaled
