"""Choices: what a method learns from, of all that was sampled. Samples may be the same and the
methods differ in this alone: what is right (expert iteration), the best of each group
(distillation), the best against the worst (preferences), what passes a rising bar (ReST), and how
each ended (a verifier).

A choice is a function `Batch -> Batch`. What it leaves out no longer counts in any mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from o1lib.learning.advantages import Advantage, no_baseline
from o1lib.learning.completions import Batch, Completion

Choice = Callable[[Batch], Batch]


def groups_of(rows) -> list[list[Completion]]:
    """Completions by group, in order."""
    groups: dict[int, list[Completion]] = {}
    for completion in rows:
        groups.setdefault(completion.group, []).append(completion)
    return list(groups.values())


def above(threshold: float = 0.0, score: Advantage = no_baseline) -> Choice:
    """The completions whose score is above a threshold: D = {y : score(y) > tau}. The default keeps
    every right one.

    Args:
        score: an advantage, one number a completion: the reward, or how far it is above its group
            (`group_mean`), which favors right answers to hard prompts.

    Source: the filter of ReST, Gulcehre et al. (2023), arXiv 2308.08998, section 3.
    """

    def choose(batch: Batch) -> Batch:
        scores = score(batch) if len(batch.rows) else []
        kept = zip(batch.rows, scores, strict=True)
        return Batch([c for c, s in kept if float(s) > threshold], batch.stats)

    return choose


def best(batch: Batch) -> Batch:
    """The completion of each group with the highest reward, between equals the first: what
    best-of-n would answer. All-equal groups count too.
    """
    return Batch([max(g, key=lambda c: c.reward) for g in groups_of(batch.rows)], batch.stats)


def best_and_worst(batch: Batch) -> Batch:
    """A pair of each group whose rewards differ: for `dpo`, `ipo` and `kto`."""
    rows = []
    for group in groups_of(batch.rows):
        pair = [max(group, key=lambda c: c.reward), min(group, key=lambda c: c.reward)]
        rows += pair if pair[0].reward > pair[1].reward else []
    return Batch(rows, batch.stats)


def endings(batch: Batch) -> Batch:
    """Every completion with its outcome as the label of its last token, which alone counts: what a
    verifier learns from by `bce`, right answers and wrong ones.

    Source: V-STaR, Hosseini et al. (2024), arXiv 2402.06457 (there the verifier is trained by
    `dpo`: `on(best_and_worst, fit(dpo(), model="verifier"))`).
    """
    rows = []
    for c in batch.rows:
        if n := len(c.completion_ids):
            last = [0.0] * (n - 1)
            rows.append(replace(c, loss_mask=[*last, 1.0], rewards=[*last, c.reward]))
    return Batch(rows, batch.stats)
