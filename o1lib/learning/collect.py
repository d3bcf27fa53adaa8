"""Collectors: what a round of the loop learns from. Samples in groups (policy gradients), what was
best among them and what an exact searcher makes of the failures (expert iteration with
corrections), pairs (preferences), documents (supervised).

A collector is a function `learner -> Batch`. Every collector refuses problems with held-out goals,
and follows from the learner alone: its weights, the number of the step, its memory.

Used in notebook 04.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from o1lib.learning.choices import best_and_worst
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.corrections import corrected
from o1lib.learning.loop import Collector
from o1lib.learning.updates import Learner
from o1lib.model.batching import like_lengths
from o1lib.model.policy import Policy, Response
from o1lib.policy.corpus import Document, Mixture, encode
from o1lib.reward.outcome import Reward, finite
from o1lib.tasks.base import refuse_held_out

Problems = Callable[[int], Sequence]  # the problems of a step


def training_problems(task, n: int, seed: int = 0) -> Problems:
    """`n` fresh training problems for every step."""
    return lambda step: [task.train_problem(step * n + i, seed) for i in range(n)]


def allowed(problems: Sequence) -> Sequence:
    """The problems, unless one has a held-out goal: then `ValueError`."""
    for problem in problems:
        if hasattr(problem, "target"):
            refuse_held_out(problem.target)
    return problems


def _rewarded(reward: Reward, problems: Sequence, groups) -> list[list[float]]:
    """The rewards of groups of responses, in one call."""
    asked = [p for p, g in zip(problems, groups, strict=True) for _ in g]
    flat = iter(finite(reward(asked, [s.text for g in groups for s in g]), asked))
    return [[next(flat) for _ in g] for g in groups]


def rollouts(
    task,
    reward: Reward,
    problems: Problems,
    n: int = 8,
    *,
    instruction: str = "think",
    max_new_tokens: int = 512,
    keep_equal: bool = False,
    greedy_twin: bool = False,
    seed: int = 0,
) -> Collector:
    """`n` samples of every problem, a group each. A completion cut at the length limit is judged
    like any other.

    Args:
        keep_equal: keep groups whose rewards are all equal. They have no advantage over their own
            mean, so they are dropped by default; the losses still count them as sampled. An
            advantage that has another baseline than the group's (`gae`, `reward_to_go`,
            `greedy_baseline`, `kl_in_reward`) needs them.
        greedy_twin: add to each group its greedy response, which is not learned from (for
            `greedy_baseline`); keeps all groups.
    """
    if n < 2 and not keep_equal and not greedy_twin:
        raise ValueError(f"a group needs at least two samples, got n={n}")

    def collect(learner: Learner) -> Batch:
        policy, step = learner.policy, learner.step
        asked = allowed(problems(step))
        prompts = [task.prompt(p, instruction) for p in asked]
        groups = policy.sample(prompts, n, max_new_tokens=max_new_tokens, seed=(seed << 20) + step)
        rewards = _rewarded(reward, asked, groups)
        kept = []
        for i, (prompt, group, row) in enumerate(zip(prompts, groups, rewards, strict=True)):
            if keep_equal or greedy_twin or max(row) - min(row) > 1e-6:
                ids = policy.encode(prompt)
                kept += [
                    Completion(ids, s.token_ids, s.logprobs, rewards=(r,), group=i)
                    for s, r in zip(group, row, strict=True)
                ]
        samples, tokens = (
            [s for g in groups for s in g],
            sum(len(s.token_ids) for g in groups for s in g),
        )
        share = len(kept) / max(1, len(samples))
        stats = {"reward": _mean(r for row in rewards for r in row), "informative_share": share}
        if greedy_twin:
            kept += _twins(policy, prompts, asked, reward, max_new_tokens)
        return Batch(kept, stats | _shape(samples), len(samples), tokens)

    return collect


def _twins(policy: Policy, prompts, asked, reward: Reward, max_new_tokens: int) -> list[Completion]:
    """The greedy response of each prompt, with its reward and a loss mask that counts no token."""
    groups = policy.sample(prompts, temperature=0.0, max_new_tokens=max_new_tokens)
    rewards = _rewarded(reward, asked, groups)
    return [
        Completion(policy.encode(prompt), s.token_ids, s.logprobs, [0] * len(s.token_ids), (r,), i)
        for i, (prompt, [s], [r]) in enumerate(zip(prompts, groups, rewards, strict=True))
    ]


def kl_in_reward(collect: Collector, beta: float, max_tokens: int = 4096) -> Collector:
    """Another collector, each of whose tokens costs beta (log p - log ref): its policy gradient is
    that of R - beta KL(policy || reference), of whole sequences, exactly in the mean.

    Raises `ValueError` when the other dropped groups (their rewards are no longer equal):
    `rollouts(..., keep_equal=True)`.

    Source: Ziegler et al. (2019), arXiv 1909.08593, equation 2; as "k1 in the reward": Tang and
    Munos (2025), arXiv 2506.09477.
    """

    def penalized(learner: Learner) -> Batch:
        batch, network = collect(learner), learner.network("reference")
        if batch.sampled > len(batch.rows):
            raise ValueError("kl_in_reward needs all groups: rollouts(..., keep_equal=True)")
        rows, spent = list(batch.rows), []
        for chosen, length in like_lengths([len(c) for c in rows], max_tokens):
            with torch.no_grad():
                ref = Rows([rows[i] for i in chosen], network, length).logprobs.cpu()
            for row, i in zip(ref, chosen, strict=True):
                c, start = rows[i], len(rows[i].prompt_ids) - 1
                n = len(c.completion_ids)
                if len(c.logprobs) != n:
                    raise ValueError("kl_in_reward needs sampled completions")
                costs = [
                    beta * (p - float(q)) for p, q in zip(c.logprobs, row[start:], strict=False)
                ]
                given = c.rewards if len(c.rewards) == n else [0.0] * (n - 1) + [c.reward]
                spent.append(sum(costs))
                if n:
                    rewards = [r - cost for r, cost in zip(given, costs, strict=True)]
                    rows[i] = replace(c, rewards=rewards)
        return replace(batch, rows=rows, stats=batch.stats | {"kl_cost": _mean(spent)})

    return penalized


def expert_iteration(
    task,
    problems: Problems,
    n: int = 4,
    *,
    max_new_tokens: int = 512,
    keep: str = "random",
    corrections: bool = True,
    replay: Callable[[], Mixture] | None = None,
    replay_share: float = 1 / 3,
    seed: int = 0,
) -> Collector:
    """Sample, keep what was right, and let the exact writer correct what was wrong.

    For every problem one right chain is kept (at random, the shortest, or all of them), and one
    failed chain, if there is any, is corrected (`o1lib.learning.corrections`).

    Args:
        keep: `random`, `shortest` or `all`; the shortest tends to be the hastiest.
        replay: a mixture of older data, of which `replay_share` of the round's tokens are drawn
            against forgetting.
    """
    if keep not in ("shortest", "random", "all"):
        raise ValueError(f"unknown keep {keep!r}; choose from shortest, random, all")

    def collect(learner: Learner) -> Batch:
        policy, step = learner.policy, learner.step
        asked, rng = allowed(problems(step)), random.Random(f"{seed} {step}")
        prompts = [task.prompt(p) for p in asked]
        groups = policy.sample(prompts, n, max_new_tokens=max_new_tokens, seed=(seed << 20) + step)
        rows, solved, fixed, right = [], 0, 0, 0
        for problem, prompt, group in zip(asked, prompts, groups, strict=True):
            good = [s for s in group if task.verify(problem, s.text)]
            right += len(good)
            solved += bool(good)
            for sample in _chosen(good, keep, rng):
                rows.append(Completion(policy.encode(prompt), sample.token_ids, sample.logprobs))
            failed = [s for s in group if s not in good]
            if failed and corrections:
                pieces = corrected(problem, failed[0].text, rng)
                if pieces is not None:
                    fixed += 1
                    rows.append(as_completion(policy.tokenizer, Document(prompt, pieces)))
        if replay:
            mixture, tokens = replay(), sum(map(len, rows)) * replay_share / (1 - replay_share)
            mixture.seed = f"{mixture.seed} {seed} {step}"
            while tokens > 0:
                rows.append(_written(*mixture.next()))
                tokens -= len(rows[-1])
        rng.shuffle(rows)
        samples = [s for g in groups for s in g]
        stats = {
            "reward": right / max(1, len(samples)),
            "solved": solved / max(1, len(asked)),
            "corrected": fixed / max(1, len(asked)),
        }
        return Batch(rows, stats | _shape(samples))

    return collect


def pairs(
    task,
    reward: Reward,
    problems: Problems,
    n: int = 4,
    *,
    instruction: str = "think",
    max_new_tokens: int = 512,
    seed: int = 0,
) -> Collector:
    """The best and the worst of `n` samples of every problem, where they differ: for `dpo` (a group
    each) and `kto`.
    """
    sampled = rollouts(
        task,
        reward,
        problems,
        n,
        instruction=instruction,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )

    return lambda learner: best_and_worst(sampled(learner))


def documents(mixture: Mixture, tokens: int) -> Collector:
    """At least `tokens` tokens of documents a step; how far the mixture has been read is kept in
    the learner's memory.
    """

    def collect(learner: Learner) -> Batch:
        mixture.state = learner.memory.get("mixture") or mixture.fresh_state()
        rows = [_written(*document) for document in mixture.batch(tokens)]
        learner.memory["mixture"] = mixture.state
        return Batch(rows)

    return collect


def as_completion(tokenizer, document: Document) -> Completion:
    """A document to clone (its held-out goals are refused)."""
    return _written(*encode(tokenizer, document))


def _written(ids: list[int], loss_mask: list[bool]) -> Completion:
    """A document's tokens: the first is the prompt, so that every later one may count."""
    return Completion(ids[:1], ids[1:], loss_mask=loss_mask[1:])


def _chosen(good: list[Response], keep: str, rng: random.Random) -> list[Response]:
    if not good or keep == "all":
        return good
    if keep == "random":
        return [rng.choice(good)]
    return [min(good, key=lambda s: len(s.token_ids))]


def _mean(values) -> float:
    values = list(values)
    return sum(values) / max(1, len(values))


def _shape(samples: list[Response]) -> dict[str, float]:
    return {
        "length": _mean(len(s.token_ids) for s in samples),
        "finished": _mean(s.finished for s in samples),
        "sampled_tokens": sum(len(s.token_ids) for s in samples),
    }
