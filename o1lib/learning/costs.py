"""What a method of learning costs: the memory of its models, and the noise of its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from o1lib.learning.completions import Batch
from o1lib.learning.loop import Collector, with_values
from o1lib.learning.updates import Learner, Update


def footprint(learner: Learner) -> dict[str, int]:
    """Bytes of the weights of every role, and of every optimizer's state, measured from their
    tensors.

    A role that is trained also needs its gradients while it learns: as many bytes as its weights.
    """
    found = {}
    for role in learner.models:
        found[role] = sum(p.nbytes for p in learner.network(role).parameters())
    for role, optimizer in learner.optimizers.items():
        kept = [t for state in optimizer.state.values() for t in state.values()]
        found[f"optimizer of the {role}"] = sum(t.nbytes for t in kept if torch.is_tensor(t))
    return found


class _Still:
    """An optimizer that moves nothing and keeps the gradient that it was given."""

    def __init__(self, network: torch.nn.Module):
        self.parameters, self.param_groups, self.gradient = [*network.parameters()], [], None

    def step(self) -> None:
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self.gradient = torch.cat([part.flatten() for part in parts])

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.parameters:
            p.grad = None


def gradient(learner: Learner, batch: Batch, update: Update) -> torch.Tensor:
    """The policy's gradient of one batch as a long vector, zero where the batch is empty; no weight
    moves.

    `update` is a `fit` of the policy without limit to the norm: `clip_norm=float("inf")`.
    """
    network = learner.network("policy")
    still = _Still(network)
    update(replace(learner, optimizers={"policy": still}), with_values(learner, batch))
    if still.gradient is None:
        return torch.zeros(sum(p.numel() for p in still.parameters))
    return still.gradient


def signal_share(gradients: torch.Tensor) -> float:
    """|G|^2 / E|g|^2: how much of a gradient estimate's squared length is the gradient's own, from
    independent estimates g, shape (n, weights), n at least 2. What is left is variance: variance /
    |G|^2 is 1 / share - 1.

    Numerator and denominator are unbiased: |G|^2 is the mean product of two different estimates. So
    the share of pure noise is zero in the mean, and may come out a little below.

    Source: the gradient noise scale, McCandlish et al. (2018), arXiv 1812.06162, appendix A.1.
    """
    n = len(gradients)
    if n < 2:
        raise ValueError(f"the noise of a gradient needs at least two estimates, got {n}")
    own = float(gradients.square().sum())
    products = (float(gradients.sum(0).square().sum()) - own) / (n * (n - 1))
    return products / (own / n) if own else 0.0


def estimates(
    learner: Learner,
    collect: Collector,
    update: Update,
    n: int = 8,
    every: int = 1,
    seen: Callable[[Batch], None] | None = None,
) -> torch.Tensor:
    """`n` independent estimates of the policy's gradient, shape (n, weights), each from a batch of
    its own.

    Args:
        collect: asked as at the steps 0, `every`, 2 `every`, ... of another run: neither the
            learner's weights nor its memory change.
        seen: called with each batch.
    """
    found = []
    for i in range(n):
        other = replace(learner, step=i * every, memory={})
        batch = collect(other)
        if seen:
            seen(batch)
        found.append(gradient(other, batch, update))
    return torch.stack(found)
