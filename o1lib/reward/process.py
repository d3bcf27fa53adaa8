"""A process reward model: a value head on the policy's backbone, trained from Monte-Carlo rollouts.

Nobody labels steps by hand: from every partial solution the policy goes on several times, and the share that ends right
is the label (Math-Shepherd, Wang et al. 2023, arXiv 2312.08935, soft estimation). What is learned is thus the
*value* of a step under this policy, which is neither whether the step is valid nor whether the state is alive.

The network is transformers' `LlamaForTokenClassification` with one label, so a checkpoint loads with `from_pretrained`.

Used in notebook 02, sections 3 and 4.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm.auto import tqdm
from transformers import LlamaForTokenClassification

from o1lib.lab.paths import outputs_dir
from o1lib.model import attention, checkpoints
from o1lib.model.batching import like_lengths, make_optimizer, padded
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_prompt, encode_text
from o1lib.tasks.base import refuse_held_out
from o1lib.tasks.countdown import Countdown
from o1lib.tasks.space import Node, Space


@dataclass(frozen=True)
class Label:
    """A partial solution with the share of `n` rollouts from it that ended right."""

    space: Space
    node: Node
    value: float
    n: int


def visited(
    policy: Policy, task, problems: Sequence, n: int = 4, seed: int = 0, instruction: str = "solve"
) -> list[Label]:
    """Every distinct partial solution that `n` sampled responses to each problem go through, as far as they are legal,
    labeled with the share of these responses that ended right (on-policy Monte-Carlo values, at no further cost).
    """
    spaces = [Space(task, problem, instruction) for problem in problems]
    groups = policy.sample([s.prompt for s in spaces], n, seed=seed)
    counts: dict[tuple, list] = {}
    for space, group in zip(spaces, groups, strict=True):
        for sample in group:
            right = bool(task.verify(space.problem, sample.text))
            for node in space.read(sample.text):
                entry = counts.setdefault((space.problem, node), [space, node, 0, 0])
                entry[2] += 1
                entry[3] += right
    return [Label(space, node, right / n, n) for space, node, n, right in counts.values()]


def rollout_values(
    policy: Policy, nodes: Sequence[tuple[Space, Node]], n: int = 8, seed: int = 0
) -> list[Label]:
    """The Monte-Carlo value of each partial solution: `n` rollouts, checked. Its standard error is sqrt(v (1 - v) / n)."""
    if n < 1:
        raise ValueError(f"need at least one rollout, got {n}")
    groups = policy.sample(
        [space.prompt for space, _ in nodes],
        n,
        seed=seed,
        prefixes=[node.prefix for space, node in nodes],
    )
    labels = []
    for (space, node), group in zip(nodes, groups, strict=True):
        right = sum(bool(space.task.verify(space.problem, s.text)) for s in group)
        labels.append(Label(space, node, right / n, n))
    return labels


class ValueModel:
    """Values of partial solutions in (0, 1): a process reward, and a guidance for search.

    Args:
        model: a token classifier with one label.
        tokenizer: the policy's.
    """

    def __init__(self, model: LlamaForTokenClassification, tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def from_policy(cls, policy: Policy, seed: int = 0) -> ValueModel:
        """A fresh head on a copy of the policy's backbone."""
        config = type(policy.model.config)(
            **policy.model.config.to_dict() | {"id2label": {0: "value"}, "label2id": {"value": 0}}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LlamaForTokenClassification(config)
        model.model.load_state_dict(policy.model.model.state_dict())
        torch.nn.init.zeros_(model.score.weight)
        return cls(model.to(next(policy.model.parameters()).device), policy.tokenizer)

    @classmethod
    def load(cls, name: str | Path) -> ValueModel:
        """A value model from a checkpoint's name or folder. Raises `ValueError` as `Policy.load` does."""
        return cls(*checkpoints.load(name, kind=LlamaForTokenClassification))

    def encode(self, space: Space, node: Node) -> list[int]:
        return encode_prompt(self.tokenizer, space.prompt, node.prefix)

    def scored_tokens(self, space: Space, node: Node) -> int:
        """The tokens of the prefix (the prompt is not counted)."""
        return len(encode_text(self.tokenizer, node.prefix))

    @torch.inference_mode()
    def values(
        self, spaces: Sequence[Space], nodes: Sequence[Node], max_tokens: int = 16_384
    ) -> list[float]:
        """The value of each partial solution, read at its last token."""
        rows = [self.encode(s, n) for s, n in zip(spaces, nodes, strict=True)]
        results = [0.0] * len(rows)
        device = next(self.model.parameters()).device
        for chosen, length in like_lengths([len(r) for r in rows], max_tokens):
            ids = padded([rows[i] for i in chosen], length, 0).to(device)
            logits = self.model(input_ids=ids, use_cache=False).logits[..., 0].float()
            for row, i in enumerate(chosen):
                results[i] = float(logits[row, len(rows[i]) - 1].sigmoid())
        return results


def train_value(
    value: ValueModel,
    labels: Sequence[Label],
    *,
    epochs: int = 2,
    lr: float = 5e-4,
    batch_tokens: int = 2048,
    clip_norm: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Fit the head and its backbone to soft labels by binary cross-entropy; returns the loss of every update (nats).

    A label weighs as much as the rollouts behind it. Labels on one chain are learned from together: one row of
    tokens, a target at the end of each step. Raises `ValueError`
    for no labels, for one that is not in [0, 1], and for a problem with a held-out goal.
    """
    rows = _rows(value, labels)
    rng, losses = random.Random(seed), []
    model = value.model
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, lr)
    if device.type == "cpu":
        model.set_attn_implementation(attention.NAME)
    total = epochs * sum(len(ids) for ids, _ in rows)
    bar = tqdm(
        total=total, unit="tok", unit_scale=True, desc="value", disable=not progress, leave=False
    )
    seen = 0
    for _ in range(epochs):
        order = rows[:]
        rng.shuffle(order)
        while order:
            part, size = [], 0
            while order and size < batch_tokens:
                part.append(order.pop())
                size += len(part[-1][0])
            count = sum(n for _, targets in part for _, n in targets.values())
            loss_sum = 0.0
            for chosen, length in like_lengths([len(ids) for ids, _ in part], batch_tokens):
                some = [part[i] for i in chosen]
                ids = padded([ids for ids, _ in some], length, 0).to(device)
                places = [(r, at) for r, (_, targets) in enumerate(some) for at in targets]
                wanted, n = torch.tensor([v for _, targets in some for v in targets.values()]).T
                logits = model(input_ids=ids, use_cache=False).logits[..., 0].float()
                r, at = torch.tensor(places).T
                loss = binary_cross_entropy_with_logits(
                    logits[r, at], wanted.to(logits), n.to(logits), reduction="sum"
                )
                (loss / count).backward()
                loss_sum += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            done = seen / total
            for group in optimizer.param_groups:  # a short warm-up, then linear to zero
                group["lr"] = lr * min(1.0, (done + 0.01) / 0.05) * (1 - done)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss_sum / count)
            seen += size
            bar.update(size)
    bar.close()
    model.set_attn_implementation("sdpa")
    return losses


def _rows(
    value: ValueModel, labels: Sequence[Label]
) -> list[tuple[list[int], dict[int, tuple[float, float]]]]:
    """Labels joined by chain: token ids, and position -> (target, weight). A node that is a beginning of a longer one shares its row."""
    if not labels:
        raise ValueError("there are no labels to train on")
    by_ids: dict[tuple[int, ...], tuple[float, float]] = {}
    for label in labels:
        if hasattr(label.space.problem, "target"):
            refuse_held_out(label.space.problem.target)
        if not 0 <= label.value <= 1:
            raise ValueError(f"a label must be in [0, 1], got {label.value}")
        by_ids[tuple(value.encode(label.space, label.node))] = (label.value, float(label.n))
    rows, covered = [], set()
    for ids in sorted(by_ids, key=len, reverse=True):
        if ids in covered:
            continue
        targets = {}
        for end in range(1, len(ids) + 1):
            if ids[:end] in by_ids and ids[:end] not in covered:
                targets[end - 1] = by_ids[ids[:end]]
                covered.add(ids[:end])
        rows.append((list(ids), targets))
    return rows


VALUE_RECIPES = {
    # name: (policy, numbers, training problems, samples of each, learning rate)
    "nano-value": ("nano-think", 3, 48_000, 4, 1e-3),
}


def make_value(name: str, out: str | Path | None = None) -> Path:
    """Train a named value model on what its policy visits on training problems (one pass), and save it with its card."""
    parent, numbers, n_problems, n, lr = VALUE_RECIPES[name]
    begun = time.monotonic()
    policy, task = Policy.load(parent), Countdown(numbers)
    labels: list[Label] = []
    for start in tqdm(range(0, n_problems, 500), desc=f"{name}: rollouts", leave=False):
        some = [task.train_problem(i) for i in range(start, min(n_problems, start + 500))]
        labels += visited(policy, task, some, n)
    value = ValueModel.from_policy(policy)
    losses = train_value(value, labels, epochs=1, lr=lr, batch_tokens=1024)
    card = checkpoints.new_card(
        name,
        value.model,
        parent,
        {"problems": n_problems, "samples": n, "lr": lr, "labels": len(labels)},
        (time.monotonic() - begun) / 60,
        updates=len(losses),
        loss=round(sum(losses[-100:]) / len(losses[-100:]), 4),
    )
    return checkpoints.save(value.model, out or outputs_dir() / "checkpoints" / name, card)
