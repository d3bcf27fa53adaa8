"""Collectors: what a round of the loop learns from. Plain samples in groups (GRPO), or what was best among them and what
an exact searcher makes of the failures (expert iteration with corrections).

Every collector refuses problems with held-out goals, and follows from the number of the step alone.

Used in notebook 04, sections 3 to 5.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch

from o1lib.learning.corrections import corrected
from o1lib.learning.loop import Batch, Collector, Experience
from o1lib.learning.losses import group_advantages
from o1lib.model.policy import Policy, Response
from o1lib.policy.corpus import Document, Mixture, encode
from o1lib.reward.outcome import Reward, finite
from o1lib.tasks.base import refuse_held_out

Problems = Callable[[int], Sequence]  # the problems of a step


def training_problems(task, n: int, seed: int = 0) -> Problems:
    """`n` fresh training problems for every step."""
    return lambda step: [task.train_problem(step * n + i, seed) for i in range(n)]


def _allowed(problems: Sequence) -> Sequence:
    for problem in problems:
        if hasattr(problem, "target"):
            refuse_held_out(problem.target)
    return problems


def rollouts(
    task,
    reward: Reward,
    problems: Problems,
    n: int = 8,
    *,
    instruction: str = "think",
    max_new_tokens: int = 512,
    scale: bool = False,
    seed: int = 0,
) -> Collector:
    """`n` samples of every problem, with group-relative advantages. A group whose rewards are all equal says nothing
    about what to do and is dropped; a completion cut at the length limit is judged like any other.

    Args:
        scale: divide advantages by the group's standard deviation.
    """
    if n < 2:
        raise ValueError(f"a group needs at least two samples, got n={n}")

    def collect(policy: Policy, step: int) -> Batch:
        asked = _allowed(problems(step))
        prompts = [task.prompt(p, instruction) for p in asked]
        groups = policy.sample(prompts, n, max_new_tokens=max_new_tokens, seed=(seed << 20) + step)
        rewards = [
            [finite(reward(p, s.text), p) for s in g] for p, g in zip(asked, groups, strict=True)
        ]
        experiences = []
        if groups:
            advantages = group_advantages(torch.tensor(rewards), scale)
            for prompt, group, row in zip(prompts, groups, advantages, strict=True):
                if float(row.abs().max()) > 1e-6:
                    ids = policy.encode(prompt)
                    experiences += [
                        Experience(ids, s.token_ids, s.logprobs, float(a))
                        for s, a in zip(group, row, strict=True)
                    ]
        samples = [s for g in groups for s in g]
        used = len(experiences) / max(1, len(samples))
        stats = {"reward": _mean(r for row in rewards for r in row), "used": used}
        return Batch(experiences, stats | _shape(samples))

    return collect


def expert_iteration(
    task,
    problems: Problems,
    n: int = 4,
    *,
    max_new_tokens: int = 512,
    keep: str = "random",
    corrections: bool = True,
    old: Callable[[], Mixture] | None = None,
    old_share: float = 1 / 3,
    seed: int = 0,
) -> Collector:
    """Sample, keep what was right, and let the exact writer correct what was wrong.

    For every problem one right chain is kept (at random, the shortest, or all of them), and one failed chain, if there
    is any, is corrected (`o1lib.learning.corrections`).

    Args:
        keep: `random`, `shortest` or `all`; the shortest is the hastiest (notebook 04, section 5).
        old: a mixture of older data, of which `old_share` of the round's tokens are drawn against forgetting.
    """
    if keep not in ("shortest", "random", "all"):
        raise ValueError(f"unknown keep {keep!r}; choose from shortest, random, all")

    def collect(policy: Policy, step: int) -> Batch:
        asked, rng = _allowed(problems(step)), random.Random(f"{seed} {step}")
        prompts = [task.prompt(p) for p in asked]
        groups = policy.sample(prompts, n, max_new_tokens=max_new_tokens, seed=(seed << 20) + step)
        experiences, solved, mended, right = [], 0, 0, 0
        for problem, prompt, group in zip(asked, prompts, groups, strict=True):
            good = [s for s in group if task.verify(problem, s.text)]
            right += len(good)
            solved += bool(good)
            for sample in _chosen(good, keep, rng):
                experiences.append(
                    Experience(policy.encode(prompt), sample.token_ids, sample.logprobs)
                )
            failed = [s for s in group if s not in good]
            if failed and corrections:
                pieces = corrected(problem, failed[0].text, rng)
                if pieces is not None:
                    mended += 1
                    experiences.append(as_experience(policy, Document(prompt, pieces)))
        if old:
            mixture, tokens = old(), sum(map(len, experiences)) * old_share / (1 - old_share)
            mixture.seed = f"{mixture.seed} {seed} {step}"
            while tokens > 0:
                ids, counted = mixture.next()
                tokens -= len(ids)
                experiences.append(Experience(ids[:1], ids[1:], counted=counted[1:]))
        rng.shuffle(experiences)
        samples = [s for g in groups for s in g]
        stats = {
            "reward": right / max(1, len(samples)),
            "solved": solved / max(1, len(asked)),
            "corrected": mended / max(1, len(asked)),
        }
        return Batch(experiences, stats | _shape(samples))

    return collect


def as_experience(policy: Policy, document: Document) -> Experience:
    """A document to clone (its held-out goals are refused)."""
    ids, counted = encode(policy.tokenizer, document)
    return Experience(ids[:1], ids[1:], counted=counted[1:])


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
