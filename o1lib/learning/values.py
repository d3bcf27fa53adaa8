"""Training a value head: labels of partial solutions, binary cross-entropy at the ends of steps,
the one loop.

Labels on one chain are learned from together: one row of tokens, a target at the end of each step,
weighed by the rollouts behind it.

Used in notebook 02.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from o1lib.lab.runlog import RunLog
from o1lib.learning.completions import Batch, Completion
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import bce
from o1lib.learning.schedules import Linear
from o1lib.learning.updates import Learner, fit
from o1lib.model.tokenizer import encode_prompt
from o1lib.reward.process import Label
from o1lib.reward.steps import Chain, Labeling
from o1lib.tasks.base import refuse_held_out


def train_value(head, labels: Sequence[Label], run_dir: str | Path, **options) -> RunLog:
    """Fit a head and its backbone to soft labels, in place, and return the run's log (column
    `reward_loss`, nats).

    `options` are those of `train_rows`. Raises `ValueError` for no labels, for one that is not in
    [0, 1], and for a problem with a held-out goal; otherwise as `learn` does.
    """
    return train_rows(head, label_rows(head.tokenizer, labels), run_dir, **options)


def train_rows(
    head,
    rows: Sequence[Completion],
    run_dir: str | Path,
    *,
    epochs: int = 2,
    lr: float = 5e-4,
    batch_tokens: int = 2048,
    seed: int = 0,
    **options,
) -> RunLog:
    """The same for rows whose `rewards` are labels of tokens and whose `loss_mask` says what each
    weighs; `options` are those of `learn`.
    """
    update = fit(bce, model="reward", average="token", micro_tokens=batch_tokens)
    schedule = Linear(epochs * sum(map(len, rows)), lr)
    collect = labeled(rows, epochs, batch_tokens, seed)
    learner = Learner({"reward": head})
    return learn(learner, collect, update, schedule, run_dir, **({"label": "value"} | options))


def labeled(rows: Sequence[Completion], epochs: int, batch_tokens: int, seed: int = 0) -> Collector:
    """Each row once an epoch, in random order, at least `batch_tokens` tokens a step."""
    rng, batches = random.Random(seed), []
    for _ in range(epochs):
        order = list(range(len(rows)))
        rng.shuffle(order)
        while order:
            batches.append([])
            while order and sum(len(rows[i]) for i in batches[-1]) < batch_tokens:
                batches[-1].append(order.pop())

    return lambda learner: Batch([rows[i] for i in batches[learner.step]])


def chain_rows(tokenizer, chains: Sequence[Chain], labeling: Labeling) -> list[Completion]:
    """A row for every chain, up to the last token that a labeling has a label for."""
    rows = []
    for chain in chains:
        labels = labeling(chain)
        ids = chain.token_ids[: max(labels) + 1]
        values = [labels.get(t, 0.0) for t in range(len(ids))]
        mask = [float(t in labels) for t in range(len(ids))]
        prompt = encode_prompt(tokenizer, chain.space.prompt)
        rows.append(Completion(prompt, ids, loss_mask=mask, rewards=values))
    return rows


def label_rows(tokenizer, labels: Sequence[Label]) -> list[Completion]:
    """Labels joined by chain; a node that is a beginning of a longer one shares its row.

    A row's `rewards` are the labels and its `loss_mask` the rollouts behind them, zero where there
    is no label.
    """
    if not labels:
        raise ValueError("there are no labels to train on")
    by_ids: dict[tuple[int, ...], tuple[float, float]] = {}
    for label in labels:
        if hasattr(label.space.problem, "target"):
            refuse_held_out(label.space.problem.target)
        if not 0 <= label.value <= 1:
            raise ValueError(f"a label must be in [0, 1], got {label.value}")
        ids = encode_prompt(tokenizer, label.space.prompt, label.node.prefix)
        by_ids[tuple(ids)] = (label.value, float(label.n))
    rows, covered = [], set()
    for ids in sorted(by_ids, key=len, reverse=True):
        if ids in covered:
            continue
        values, weights = [0.0] * len(ids), [0.0] * len(ids)
        for end in range(1, len(ids) + 1):
            if ids[:end] in by_ids and ids[:end] not in covered:
                values[end - 1], weights[end - 1] = by_ids[ids[:end]]
                covered.add(ids[:end])
        rows.append(Completion(ids[:1], ids[1:], loss_mask=weights[1:], rewards=values[1:]))
    return rows
