"""Credits: what a step of a chain is worth, where only the whole is paid.

The *outcome* credits every token with the whole chain's luck. A *process* credit asks at the end of
every step for the value V of what is written, and gives the step what it changed:

    A(step) = V(after the step) - V(before it),    and after the last step stands the outcome,

so that the credits of a chain add up to its outcome - V(start). V is read from a learned head,
estimated by rollouts (VinePPO: Kazemnejad et al. 2024, arXiv 2410.01679), or exact
(`o1lib.reward.winning`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import torch

from o1lib.learning.advantages import leave_one_out
from o1lib.learning.completions import Batch, Completion, Rows, critic_values
from o1lib.learning.loop import Collector
from o1lib.learning.losses import reinforce
from o1lib.learning.updates import Learner
from o1lib.model.policy import Policy
from o1lib.model.requests import Sample
from o1lib.model.tokenizer import encode_text
from o1lib.reward.winning import canonical_reward, exact_values, winning_texts
from o1lib.tasks.space import Space

# (learner, batch, the space of every group) -> for every row one number, or one per token, and how
# many tokens were sampled to find them
Credit = Callable[[Learner, Batch, Sequence[Space]], tuple[list[torch.Tensor], int]]
# the same -> for every row V where each of its steps begins
Values = Callable[[Learner, Batch, Sequence[Space]], tuple[list[list[float]], int]]


def step_starts(policy: Policy, ids: Sequence[int]) -> list[int]:
    """How many tokens of a chain are written where each of its steps begins, its answer included:
    zero, and behind every `;` and `</think>`.
    """
    closing = encode_text(policy.tokenizer, "; </think>")
    return [0] + [t for t in range(1, len(ids)) if ids[t - 1] in closing]


def step_advantages(
    values: Sequence[float], starts: Sequence[int], n: int, outcome: float
) -> torch.Tensor:
    """A_t = V(after the step of token t) - V(before it), shape (n,) for n tokens; after the last
    step stands the outcome.
    """
    change = torch.tensor([*values, outcome]).diff()
    return change.repeat_interleave(torch.tensor([*starts, n]).diff())


def process(values: Values) -> Credit:
    """The credit of steps by the values of what is written."""

    def credit(learner: Learner, batch: Batch, spaces: Sequence[Space]):
        found, tokens = values(learner, batch, spaces)
        return [
            step_advantages(row, _starts(learner, c), len(c.completion_ids), c.reward)
            for row, c in zip(found, batch.rows, strict=True)
        ], tokens

    return credit


def outcome(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """R - mean R of the other samples, for all tokens: n / (n - 1) times the advantage over the
    group's mean, so that its mean is the gradient of J as that of the others is.
    """
    return leave_one_out(batch), 0


def exact_baseline(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """R - V(start), for all tokens: still the outcome, with the best that a baseline can know."""
    starts = [table.get((), 0.0) for table in exact_values(learner.policy, spaces)]
    return [torch.tensor(c.reward - starts[c.group]) for c in batch.rows], 0


def by_exact_values(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """V where each step begins, as it is."""
    tables = exact_values(learner.policy, spaces)
    return [
        [tables[c.group].get(tuple(c.completion_ids[:t]), 0.0) for t in _starts(learner, c)]
        for c in batch.rows
    ], 0


def by_head(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """V where each step begins, as the critic reads it."""
    return [
        [float(values[t]) for t in _starts(learner, c)]
        for c, values in zip(batch.rows, batch.values, strict=True)
    ], 0


def by_rollouts(n: int = 4, max_new_tokens: int = 48) -> Values:
    """V where each step begins: the share of `n` fresh ways to go on that win. What several chains
    have begun alike is asked once.

    Args:
        max_new_tokens: of a whole chain, its beginning included.
    """

    def values(learner: Learner, batch: Batch, spaces: Sequence[Space]):
        texts = [
            [(c.group, tuple(c.completion_ids[:t])) for t in _starts(learner, c)]
            for c in batch.rows
        ]
        asked = list(dict.fromkeys(text for row in texts for text in row))
        requests = [
            Sample(spaces[i].prompt, ids, n, 1.0, max_new_tokens - len(ids)) for i, ids in asked
        ]
        noise = (1 << 30) + learner.step  # not that of the samples themselves
        groups = learner.policy.sample_each(requests, [noise] * len(asked))
        found, tokens = {}, 0
        for (i, ids), group in zip(asked, groups, strict=True):
            reward, problems = canonical_reward(spaces[i].task), [spaces[i].problem] * n
            found[i, ids] = fmean(reward(problems, [response.text for response in group]))
            tokens += sum(len(response.token_ids) for response in group)
        return [[found[text] for text in row] for row in texts], tokens

    return values


def _starts(learner: Learner, completion: Completion) -> list[int]:
    return step_starts(learner.policy, completion.completion_ids)


CREDITS: dict[str, Credit] = {
    "outcome": outcome,
    "exact baseline": exact_baseline,
    "rollouts": process(by_rollouts()),
    "value head": process(by_head),
    "exact": process(by_exact_values),
}


# --- how good is a credit? its gradient against the exact one


def exact_gradient(policy: Policy, spaces: Sequence[Space]) -> torch.Tensor:
    """The gradient of J, the mean over spaces of V(start), in all weights as one vector."""
    wins = [
        Completion(policy.encode(space.prompt), ids)
        for space in spaces
        for ids in winning_texts(policy, space)
    ]
    total = Rows(wins, policy.model).logprobs.sum(1).exp().sum() / len(spaces)
    return _gradient(policy, total)


def credit_gradient(policy: Policy, batch: Batch, advantages) -> torch.Tensor:
    """The policy gradient of a batch, in all weights as one vector: the mean over its rows of
    sum over t of A_t grad log p(token t).
    """
    rows = Rows(batch.rows, policy.model, advantages=advantages)
    return _gradient(policy, -reinforce(rows).sum() / len(batch.rows))


def gradient_quality(
    learner: Learner,
    credits: Mapping[str, Credit],
    collect: Collector,
    spaces: Sequence[Space],
    rounds: Sequence[int] = range(8),
) -> dict[str, float]:
    """For each credit, on the same batches (`collect` at the steps `rounds`, a group for each
    space), of its gradients g beside the exact gradient of J:

    * `cosine`: the mean cosine (that of a gradient of zero, as when no group differs in its
      outcomes, is counted as zero);
    * `variance`: the mean of |g - mean g|^2, over |exact|^2;
    * `bias`: an estimate without bias of |E g - exact|^2, over |exact|^2 (it may be negative).
    """
    policy = learner.policy
    exact = exact_gradient(policy, spaces)
    gradients: dict[str, list[torch.Tensor]] = {name: [] for name in credits}
    for step in rounds:
        here = Learner(learner.models, step=step)
        batch = collect(here)
        if "critic" in learner.models:
            batch = replace(batch, values=critic_values(learner.network("critic"), batch.rows))
        for name, credit in credits.items():
            gradients[name].append(credit_gradient(policy, batch, credit(here, batch, spaces)[0]))
    found, size = {}, float(exact @ exact)
    for name, rows in gradients.items():
        g = torch.stack(rows)
        variance = float(g.var(0).sum())
        off = g.mean(0) - exact
        lengths = g.norm(dim=1).clamp(min=torch.finfo(g.dtype).tiny)
        found |= {
            f"cosine, {name}": float((g @ exact / lengths / exact.norm()).mean()),
            f"variance, {name}": variance / size,
            f"bias, {name}": (float(off @ off) - variance / len(rounds)) / size,
        }
    return found


def _gradient(policy: Policy, objective: torch.Tensor) -> torch.Tensor:
    weights = [p for p in policy.model.parameters() if p.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(objective, weights)])
