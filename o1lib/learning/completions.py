"""What is learned from: completions, batches of them, and their rows as tensors.

A `Completion` is one prompt with one reply, sampled or written. A `Batch` is what one round of
collecting kept, with the numbers that say how much was sampled for it. `Rows` are some completions
laid side by side as tensors, and each tensor is computed when a loss first asks for it: a loss that
never mentions the reference costs no forward pass of it.

Used in notebook 04.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from o1lib.model.batching import like_lengths, padded


@dataclass(frozen=True)
class Completion:
    """One completion to learn from.

    Args:
        prompt_ids, completion_ids: token ids.
        logprobs: of the completion's tokens under the policy that sampled them (nats); empty when
            it was not sampled.
        loss_mask: what each token of the completion weighs in the loss: 0 or 1, or for a label the
            number of rollouts behind it; empty for all.
        rewards: one for the whole, or one for each token; empty for none.
        group: completions of one group (samples of one prompt, a pair) share this number.

    Raises `ValueError` where the lengths do not fit.
    """

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    logprobs: Sequence[float] = ()
    loss_mask: Sequence[float] = ()
    rewards: Sequence[float] = ()
    group: int = 0

    def __post_init__(self):
        n = len(self.completion_ids)
        for name, allowed in (("logprobs", (0, n)), ("loss_mask", (0, n)), ("rewards", (0, 1, n))):
            if len(getattr(self, name)) not in allowed:
                raise ValueError(f"{len(getattr(self, name))} {name} for {n} tokens")

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def counted(self) -> float:
        """How many tokens the loss counts (the sum of the mask)."""
        return sum(self.loss_mask) if len(self.loss_mask) else len(self.completion_ids)

    @property
    def reward(self) -> float:
        """The sum of the rewards."""
        return float(sum(self.rewards))


@dataclass(frozen=True)
class Batch:
    """What one round of collecting found.

    Args:
        rows: the completions kept.
        stats: numbers for the log (mean reward, lengths, ...).
        sampled, sampled_tokens: how many completions, and tokens of them that count, there were
            before any was dropped. The losses divide by these, so that a token weighs the same
            whatever was dropped beside it.
        values: for each row the critic's values before each of its tokens (`learn` adds them where
            there is a critic).
    """

    rows: Sequence[Completion]
    stats: dict[str, float] = field(default_factory=dict)
    sampled: int | None = None
    sampled_tokens: float | None = None
    values: Sequence[torch.Tensor] = ()

    def __post_init__(self):
        if self.sampled is None:
            object.__setattr__(self, "sampled", len(self.rows))
        if self.sampled_tokens is None:
            object.__setattr__(self, "sampled_tokens", sum(c.counted for c in self.rows))


class Rows:
    """Completions as tensors of shape (rows, length - 1): one place for every next token, zero off
    the completion.

    Args:
        completions: the rows.
        model: what is trained: a language model, or a network with one number a token.
        length: the length to pad the rows to; by default the longest.
        reference: the frozen model of `ref_logprobs`.
        advantages: one tensor per row, one number for each of its tokens or for all.
        values: one tensor per row: the critic's values before this update.
        bf16: autocast to bfloat16.

    Every tensor may also be given by hand: `Rows.given(logprobs=..., old_logprobs=...,
    advantages=...)`.
    """

    def __init__(
        self,
        completions: Sequence[Completion],
        model: torch.nn.Module,
        length: int | None = None,
        *,
        reference: torch.nn.Module | None = None,
        advantages: Sequence[torch.Tensor] | None = None,
        values: Sequence[torch.Tensor] = (),
        bf16: bool = False,
    ):
        self.completions, self.model, self.bf16 = completions, model, bf16
        self.length = length or max(map(len, completions))
        self._reference, self._advantages, self._values = reference, advantages, values
        self.columns: dict[str, tuple[float, float]] = {}

    @classmethod
    def given(cls, **tensors) -> Rows:
        """Rows of tensors (rows, tokens) given by hand; all tokens count unless there is a
        `mask`.
        """
        rows = cls.__new__(cls)
        rows.columns = {}
        if "mask" not in tensors:
            tensors["mask"] = torch.ones_like(next(iter(tensors.values())))
        rows.__dict__.update({"entropy": None} | tensors)
        return rows

    def report(self, where: torch.Tensor | None = None, **columns: torch.Tensor) -> None:
        """Log the mean of some (rows, tokens) tensors over the tokens that count (or over
        `where`).
        """
        where = (self.mask if where is None else where).detach()
        for name, values in columns.items():
            self.columns[name] = (float((values.detach() * where).sum()), float(where.sum()))

    def _laid(self, rows: Sequence[Sequence], fill=0.0) -> torch.Tensor:
        """One list a completion, laid where its tokens are."""
        before = [[fill] * (len(c.prompt_ids) - 1) for c in self.completions]
        rows = [b + list(row) for b, row in zip(before, rows, strict=True)]
        return padded(rows, self.length - 1, fill).to(self.ids.device)

    @cached_property
    def ids(self) -> torch.Tensor:
        rows = [[*c.prompt_ids, *c.completion_ids] for c in self.completions]
        return padded(rows, self.length, 0).to(next(self.model.parameters()).device)

    @cached_property
    def mask(self) -> torch.Tensor:
        """What each token weighs; zero on prompts and padding."""
        masks = [
            c.loss_mask if len(c.loss_mask) else [1.0] * len(c.completion_ids)
            for c in self.completions
        ]
        return self._laid([[float(x) for x in mask] for mask in masks])

    @cached_property
    def _places(self) -> tuple[torch.Tensor, ...]:
        return (self.mask > 0).nonzero(as_tuple=True)

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        """Numbers of the tokens that count, back in their places."""
        shape = self.mask.shape
        return torch.zeros(shape, device=values.device).index_put(self._places, values)

    def _token_logprobs(self, model) -> torch.Tensor:
        """All log-probabilities at the places that count (most of a batch is prompt and
        padding).
        """
        with torch.autocast(self.ids.device.type, torch.bfloat16, enabled=self.bf16):
            logits = model(input_ids=self.ids[:, :-1], use_cache=False).logits
        return logits[self._places].float().log_softmax(-1)

    @cached_property
    def _all_logprobs(self) -> torch.Tensor:
        return self._token_logprobs(self.model)

    def _chosen(self, all_logprobs: torch.Tensor) -> torch.Tensor:
        targets = self.ids[:, 1:][self._places]
        return self._spread(all_logprobs.gather(-1, targets[:, None])[:, 0])

    @cached_property
    def logprobs(self) -> torch.Tensor:
        """Log-probabilities of the tokens that count under the model that is trained (nats;
        differentiable).
        """
        return self._chosen(self._all_logprobs)

    @cached_property
    def entropy(self) -> torch.Tensor:
        """The entropy of the distribution that each token was drawn from (nats; not
        differentiable).
        """
        with torch.no_grad():
            return self._spread(-(self._all_logprobs.exp() * self._all_logprobs).sum(-1))

    @cached_property
    def old_logprobs(self) -> torch.Tensor:
        """What the sampler reported. Raises `ValueError` for a completion that was not sampled."""
        for c in self.completions:
            if len(c.logprobs) != len(c.completion_ids):
                raise ValueError(
                    "this loss needs the log-probabilities with which completions were sampled, "
                    "and one has none; what was written, not sampled, is learned by `clone`"
                )
        return self._laid([c.logprobs for c in self.completions])

    @cached_property
    def ref_logprobs(self) -> torch.Tensor:
        """Log-probabilities under the reference. Raises `ValueError` without one."""
        if self._reference is None:
            raise ValueError("this loss needs a reference: Learner.of(policy, reference=...)")
        with torch.no_grad():
            return self._chosen(self._token_logprobs(self._reference))

    @cached_property
    def advantages(self) -> torch.Tensor:
        if self._advantages is None:
            raise ValueError("this loss needs advantages: fit(..., advantage=group_mean)")
        sizes = [len(c.completion_ids) for c in self.completions]
        spread = [a.expand(n).tolist() for a, n in zip(self._advantages, sizes, strict=True)]
        return self._laid(spread)

    @cached_property
    def rewards(self) -> torch.Tensor:
        """The rewards at the tokens they belong to; that of the whole at the last."""
        rows = []
        for c in self.completions:
            n = len(c.completion_ids)
            given = list(c.rewards) or [0.0]
            rows.append(given if len(given) == n else [0.0] * (n - 1) + given if n else [])
        return self._laid(rows)

    @cached_property
    def _readings(self) -> torch.Tensor:
        with torch.autocast(self.ids.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model(input_ids=self.ids, use_cache=False).logits[..., 0].float()

    @property
    def values(self) -> torch.Tensor:
        """A critic's value of the state *before* each token (differentiable)."""
        return self._readings[:, :-1]

    @property
    def scores(self) -> torch.Tensor:
        """The number that is read *at* each token, once it is written (a logit; differentiable)."""
        return self._readings[:, 1:]

    @cached_property
    def old_values(self) -> torch.Tensor:
        if not len(self._values):
            raise ValueError("this loss needs a critic: Learner.of(policy, critic=...)")
        return self._laid([v.tolist() for v in self._values])

    @cached_property
    def returns(self) -> torch.Tensor:
        """What the critic should have said: advantages + old values."""
        return self.advantages + self.old_values

    @cached_property
    def pairs(self) -> tuple[list[int], list[int]]:
        """Rows (better, worse) of each group of two. Raises `ValueError` for another group."""
        groups: dict[int, list[int]] = {}
        for i, c in enumerate(self.completions):
            groups.setdefault(c.group, []).append(i)
        better, worse = [], []
        for rows in groups.values():
            one, *others = sorted(rows, key=lambda i: -self.completions[i].reward)
            if (
                len(others) != 1
                or self.completions[one].reward == self.completions[others[0]].reward
            ):
                raise ValueError("a pair is two completions of one group with different rewards")
            better.append(one)
            worse.append(others[0])
        return better, worse


@torch.no_grad()
def critic_values(
    model: torch.nn.Module, completions: Sequence[Completion], max_tokens: int = 4096
) -> list[torch.Tensor]:
    """For each completion the critic's value before each of its tokens, shape (tokens,)."""
    found: list = [None] * len(completions)
    for chosen, length in like_lengths([len(c) for c in completions], max_tokens):
        rows = Rows([completions[i] for i in chosen], model, length)
        for row, i in zip(rows.values, chosen, strict=True):
            start, n = len(completions[i].prompt_ids) - 1, len(completions[i].completion_ids)
            found[i] = row[start : start + n].cpu()
    return found
