"""Updates: what a batch does to the weights. An *update* is a function `(learner, batch) -> numbers
for the log`.

`fit` makes one from a loss and an advantage; `both` does several on the same batch, so PPO with a
critic is `both(fit(ppo(), advantage=gae()), fit(value_loss, advantage=gae(), model="critic"))`.

Left out on purpose: several processes; optimizers other than AdamW.

Used in notebook 04.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from o1lib.learning.advantages import Advantage
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.losses import Loss, token_weights, whole_groups
from o1lib.model.batching import like_lengths, make_optimizer


@dataclass
class Learner:
    """What is trained, and where the training is.

    Args:
        models: by role: `policy`, `critic`, `reward`, `reference`. Each has a `.model` (the
            network), and `.refresh()`, to be called when its weights have changed.
        optimizers: by role; made when a model is first trained.
        step, tokens: rounds done, and tokens learned from.
        rate: the learning rate of this round.
        memory: what collectors keep between rounds (JSON), part of the saved state.
    """

    models: dict[str, object]
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    step: int = 0
    tokens: int = 0
    rate: float = 0.0
    memory: dict = field(default_factory=dict)

    @classmethod
    def of(cls, policy, **others) -> Learner:
        """A learner from a policy and, by name, a `critic`, a `reward` model and a `reference`."""
        return cls({"policy": policy} | others)

    @property
    def policy(self):
        return self.models["policy"]

    def network(self, name: str) -> torch.nn.Module:
        """The network of a role. Raises `ValueError` when there is none."""
        if name not in self.models:
            raise ValueError(f"there is no {name} here, only {', '.join(self.models)}")
        return self.models[name].model

    def optimizer(self, name: str, weight_decay: float = 0.0) -> torch.optim.Optimizer:
        """The optimizer of a role, made when it is first asked for."""
        if name not in self.optimizers:
            self.optimizers[name] = make_optimizer(self.network(name), 1.0, weight_decay)
        return self.optimizers[name]

    def refresh(self) -> None:
        for model in self.models.values():
            model.refresh()


Update = Callable[[Learner, Batch], dict]


def fit(
    loss: Loss,
    *,
    advantage: Advantage | None = None,
    model: str = "policy",
    average: str = "constant",
    max_length: int = 512,
    epochs: int = 1,
    minibatches: int = 1,
    minibatch_tokens: int | None = None,
    micro_tokens: int = 1024,
    clip_norm: float = 1.0,
    lr_scale: float = 1.0,
    weight_decay: float = 0.0,
    bf16: bool | None = None,
) -> Update:
    """An update that follows the gradient of a loss. A batch without rows changes nothing.

    Args:
        loss: see `o1lib.learning.losses`. Columns of another model than the policy are logged under
            its name.
        model: the role that is trained.
        average, max_length: what a token weighs (`token_weights`); what was dropped from the batch
            counts in the mean.
        epochs, minibatches: passes over the batch, and optimizer steps of each: minibatches of like
            mix of lengths.
        minibatch_tokens: instead, minibatches of about so many tokens each, in the batch's own
            order, last first.
        micro_tokens: tokens of one forward pass; changes nothing but memory. A loss that compares
            the rows of a group gets whole groups.
        lr_scale: this model's learning rate, as a multiple of the schedule's.
        bf16: autocast to bfloat16; by default as the model's wrapper says.

    Raises:
        ValueError: for a batch that lacks what the loss needs.
        FloatingPointError: when a gradient is not a number; the weights are then unchanged since
            the last minibatch.
    """
    if epochs < 1 or minibatches < 1:
        raise ValueError(f"need epochs and minibatches of at least 1, got {epochs}, {minibatches}")

    def update(learner: Learner, batch: Batch) -> dict:
        network, optimizer = learner.network(model), learner.optimizer(model, weight_decay)
        reference = learner.models.get("reference")
        half = getattr(learner.models[model], "bf16", False) if bf16 is None else bf16
        advantages = advantage(batch) if advantage else None
        units = _units(batch.rows, whole_groups(loss))
        kept = _kept(batch, average)
        log, norms, tokens = _Means(), [], 0.0
        for group in optimizer.param_groups:
            group["lr"] = learner.rate * lr_scale
        for _ in range(epochs):
            for part in _minibatches(batch.rows, units, minibatches, minibatch_tokens):
                size = sum(map(len, part))
                at = [i for unit in part for i in unit]
                counts = torch.tensor([batch.rows[i].counted for i in at])
                weights = dict(
                    zip(at, token_weights(counts, average, max_length, kept), strict=True)
                )
                part_loss = 0.0
                for chosen, length in _micro_batches(batch.rows, part, micro_tokens):
                    rows = Rows(
                        [batch.rows[i] for i in chosen],
                        network,
                        length,
                        reference=reference and reference.model,
                        advantages=advantages and [advantages[i] for i in chosen],
                        values=[batch.values[i] for i in chosen] if len(batch.values) else (),
                        bf16=half,
                    )
                    losses = loss(rows)
                    if losses.ndim == 2:
                        each = torch.stack([weights[i] for i in chosen])[:, None].to(losses)
                        value = (losses * rows.mask * each).sum()
                    else:
                        value = losses.mean() * (len(chosen) / size)
                    value.backward()
                    part_loss += float(value.detach())
                    log.add(rows.columns)
                weight = float(counts.sum()) if average == "token" else len(at)
                log.add({"loss": (part_loss * weight, weight)})
                tokens += float(counts.sum())
                norms.append(_step(network, optimizer, clip_norm, learner.step + 1))
        found = {"loss": 0.0, "grad_norm": max(norms, default=0.0), "learned_tokens": int(tokens)}
        found |= {"updates": len(norms)} | log.means()
        prefix = "" if model == "policy" else f"{model}_"
        return {prefix + name: value for name, value in found.items()}

    return update


def both(*updates: Update) -> Update:
    """Several updates on the same batch, one after the other. Raises `ValueError` where two log the
    same column.
    """

    def update(learner: Learner, batch: Batch) -> dict:
        row: dict = {}
        for one in updates:
            new = one(learner, batch)
            if twice := row.keys() & new.keys():
                raise ValueError(f"two updates log {sorted(twice)[0]!r}: train different models")
            row |= new
        return row

    return update


def on(choose: Callable[[Batch], Batch], update: Update) -> Update:
    """Another update, on what `choose` (`o1lib.learning.choices`) takes of a batch."""
    return lambda learner, batch: update(learner, choose(batch))


def restarted(update: Update, base: str = "reference") -> Update:
    """Another update of the policy that begins anew from the weights of a frozen role, with a fresh
    optimizer: what one round learned lives on only in the data of the next (STaR).

    Source: Zelikman et al. (2022), arXiv 2203.14465, algorithm 1.
    """

    def anew(learner: Learner, batch: Batch) -> dict:
        learner.network("policy").load_state_dict(learner.network(base).state_dict())
        learner.optimizers.pop("policy", None)
        return update(learner, batch)

    return anew


def _kept(batch: Batch, average: str) -> float:
    """The share of what was sampled that the batch holds: of its tokens, or of its completions."""
    if average == "token":
        return sum(c.counted for c in batch.rows) / max(1e-9, batch.sampled_tokens)
    return len(batch.rows) / max(1, batch.sampled)


class _Means:
    """Weighted means of columns over the micro-batches."""

    def __init__(self):
        self.sums: dict[str, list[float]] = {}

    def add(self, columns: dict[str, tuple[float, float]]) -> None:
        for name, (value, weight) in columns.items():
            entry = self.sums.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += weight

    def means(self) -> dict[str, float]:
        return {name: value / weight for name, (value, weight) in self.sums.items() if weight}


def _units(rows: list[Completion], grouped: bool) -> list[list[int]]:
    """What may not be cut: single rows, or the rows of each group."""
    if not grouped:
        return [[i] for i in range(len(rows))]
    groups: dict[int, list[int]] = {}
    for i, c in enumerate(rows):
        groups.setdefault(c.group, []).append(i)
    return list(groups.values())


def _minibatches(
    rows: list[Completion], units: list[list[int]], n: int, tokens: int | None
) -> Iterator[list[list[int]]]:
    """Units in minibatches: `n` of like total length and like mix of lengths, or of at least
    `tokens` tokens each.
    """
    lengths = {id(unit): max(len(rows[i]) for i in unit) for unit in units}
    if tokens is None:
        order = sorted(units, key=lambda unit: lengths[id(unit)], reverse=True)
        yield from (part for part in (order[i::n] for i in range(n)) if part)
        return
    todo = list(units)
    while todo:
        part, size = [], 0
        while todo and size < tokens:
            part.append(todo.pop())
            size += sum(len(rows[i]) for i in part[-1])
        yield part


def _micro_batches(
    rows: list[Completion], part: list[list[int]], limit: int
) -> Iterator[tuple[list[int], int]]:
    """Rows of like length that fit `limit` tokens together, no unit cut, with the length to pad
    them to.
    """
    lengths = [max(len(rows[i]) for i in unit) for unit in part]
    most = max(map(len, part))
    for chosen, length in like_lengths(lengths, max(1, limit // most)):
        yield [i for unit in chosen for i in part[unit]], length


def _step(network, optimizer, clip_norm: float, step: int) -> float:
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    if not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise FloatingPointError(
            f"the gradient is {float(norm)} at update {step}; the state saved last is kept"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)
