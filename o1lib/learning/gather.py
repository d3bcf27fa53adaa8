"""Collectors that gather in another way than a round of samples: from a search, until a batch is
full, and once for several rounds of learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from o1lib.learning.advantages import Advantage, no_baseline
from o1lib.learning.choices import above, groups_of
from o1lib.learning.collect import Problems, allowed, as_completion
from o1lib.learning.completions import Batch, Completion
from o1lib.learning.loop import Collector
from o1lib.learning.updates import Learner
from o1lib.policy.documents import Document
from o1lib.search.budget import Budget
from o1lib.search.driver import search_all
from o1lib.search.parts import Part
from o1lib.search.registry import reads_steps


def from_search(
    strategy: Part,
    task,
    problems: Problems,
    *,
    instruction: str | None = None,
    role: str = "policy",
    right_only: bool = True,
    budget: Budget = Budget(),
    seed: int = 0,
) -> Collector:
    """What a search finds, to be cloned: its response to every problem where that is right, and of
    `sample(n)`, which prefers none, every right one.

    Args:
        strategy: any search, such as `beam(...)`; see `o1lib.search.registry`.
        instruction: by default as `evaluate` asks: `solve` for a search over the task's own steps,
            `think` for one over whole responses.
        role: who searches. With `reference` it is the policy as it was at the start: best-of-n
            distillation, for `best_of_n(n)`.
        right_only: leave out what is wrong.
    """
    instruction = instruction or ("solve" if reads_steps(strategy) else "think")

    def collect(learner: Learner) -> Batch:
        policy, asked = learner.models[role], allowed(problems(learner.step))
        found = search_all(
            strategy,
            policy,
            task,
            asked,
            instruction=instruction,
            budget=budget,
            seed=(seed << 20) + learner.step,
        )
        rows, offered, solved = [], 0, 0
        for i, result in enumerate(found):
            texts = [result.response] if result.response else []
            if strategy.name == "sample":
                texts = [response.text for response in result.samples]
            verdicts = [task.verify(result.problem, text).correct for text in texts]
            offered, solved = offered + len(texts), solved + any(verdicts)
            for text, right in zip(texts, verdicts, strict=True):
                if right or not right_only:
                    document = Document(task.prompt(result.problem, instruction), [(text, True)])
                    written = as_completion(policy.tokenizer, document)
                    rows.append(replace(written, rewards=(float(right),), group=i))
        stats = {
            "solved": solved / max(1, len(found)),
            "reward": sum(c.reward > 0 for c in rows) / max(1, offered),
            "sampled_tokens": sum(result.cost.generated for result in found),
            "scored_tokens": sum(result.cost.scored for result in found),
            "checks": sum(result.cost.checks for result in found),
        }
        return Batch(rows, stats)

    return collect


def refilled(collect: Collector, groups: int, most: int = 4) -> Collector:
    """Another collector, asked again until it has `groups` groups that teach something, or `most`
    times: dynamic sampling. No group of the batch is without an advantage, and none that was
    dropped counts in its means.

    Source: Yu et al. (2025), DAPO, arXiv 2503.14476, equation 11.
    """
    if groups < 1 or most < 1:
        raise ValueError(f"need groups and most of at least 1, got {groups} and {most}")

    def filled(learner: Learner) -> Batch:
        found: list[list[Completion]] = []
        stats: list[dict] = []
        while len(stats) < most and len(found) < groups:
            batch = collect(replace(learner, step=most * learner.step + len(stats)))
            found += groups_of(batch.rows)
            stats.append(batch.stats)
        rows = [replace(c, group=i) for i, group in enumerate(found[:groups]) for c in group]
        totals = {name: sum(s[name] for s in stats) for name in stats[0]}
        means = {n: v if n.endswith("_tokens") else v / len(stats) for n, v in totals.items()}
        return Batch(rows, means | {"asked": len(stats)})

    return filled


def grow_and_improve(
    collect: Collector, thresholds: Sequence[float], score: Advantage = no_baseline
) -> Collector:
    """Another collector, asked once for every `len(thresholds)` rounds of learning (grow); each
    round then learns from what is above the next threshold (improve): ReST.

    What was grown is kept in the learner's memory, without log-probabilities: it is to be cloned.

    Args:
        thresholds: rising, one for each round.
        score: what is compared with them (`o1lib.learning.choices.above`).

    Raises `ValueError` for thresholds that do not rise. Source: Gulcehre et al. (2023), arXiv
    2308.08998, algorithm 1.
    """
    if not thresholds or list(thresholds) != sorted(set(thresholds)):
        raise ValueError(f"thresholds must rise, got {list(thresholds)}")

    def improve(learner: Learner) -> Batch:
        round_, stats = learner.step % len(thresholds), {}
        if round_ == 0:
            batch = collect(learner)
            stats = batch.stats
            learner.memory["grown"] = {
                "sampled": batch.sampled,
                "rows": [
                    [list(c.prompt_ids), list(c.completion_ids), list(c.rewards), c.group]
                    for c in batch.rows
                ],
            }
        grown = learner.memory["grown"]
        rows = [Completion(p, c, rewards=r, group=g) for p, c, r, g in grown["rows"]]
        chosen = above(thresholds[round_], score)(Batch(rows, stats, grown["sampled"]))
        return replace(chosen, stats=stats | {"chosen": len(chosen.rows)})

    return improve
