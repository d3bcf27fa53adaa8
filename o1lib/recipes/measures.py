"""What the experiments of reinforcement learning share: one run by an outcome reward, and what is
measured on the way.

All measure on the validation splits, of which no run learns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from o1lib.lab.runlog import RunLog
from o1lib.lab.statistics import pass_at_k
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.loop import learn
from o1lib.learning.losses import ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
from o1lib.reward.outcome import Reward
from o1lib.search.evaluate import evaluate
from o1lib.search.sampling import greedy, sample

SPLITS = {"new numbers": "val_inputs", "held-out goals": "val_targets"}
EVERY_STEP = ("reward", "entropy", "length")


def outcome_rl(
    policy: Policy,
    task,
    reward: Reward,
    run_dir: str | Path,
    *,
    steps: int = 40,
    prompts: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    instruction: str = "think",
    max_new_tokens: int = 200,
    seed: int = 0,
    **options,
) -> RunLog:
    """GRPO by an outcome reward alone, in place: no old data, no averaging of weights.

    Args:
        prompts, n: fresh training problems of a step, and samples of each.
        options: those of `learn`.
    """
    collect = rollouts(
        task,
        reward,
        training_problems(task, prompts, seed),
        n,
        instruction=instruction,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    update = fit(ppo(), advantage=group_mean, average="token")
    schedule = Schedule(steps, lr, warmup_steps=3, decay=False)
    options = {"label": "GRPO"} | options
    return learn(Learner.of(policy), collect, update, schedule, run_dir, **options)


def tries(policy: Policy, task, problems, n: int = 16, **options) -> dict[str, float]:
    """pass@1, 2, 4, ... n and mean length of `n` samples of each problem; `options` are those of
    `evaluate` and `max_new_tokens`.
    """
    strategy = sample(n, max_new_tokens=options.pop("max_new_tokens", 200))
    run = evaluate(policy, problems, strategy, task=task, progress=False, **options)
    right, ks = [r["samples_correct"] for r in run["results"]], [2**i for i in range(20)]
    return {
        f"pass@{k}": sum(pass_at_k(n, c, k) for c in right) / len(right) for k in ks if k <= n
    } | {"tokens": run["tokens"] / run["n"] / n}


def measured(
    learner: Learner, task, problems: int = 150, start: Policy | None = None
) -> dict[str, float]:
    """Greedy success (on twice as many), pass@k and length on the validation splits.

    Args:
        problems: of each split that are sampled.
        start: where given, also the divergence from it, E[log pi(y) - log pi_start(y)], in nats a
            chain.
    """
    found, policy = {}, learner.policy
    for label, split in SPLITS.items():
        some = task.problems(split, 2 * problems)
        run = evaluate(policy, some, greedy(200), task=task, progress=False)
        numbers = {"greedy": run["accuracy"]} | tries(policy, task, some[:problems])
        if start:
            numbers["kl"] = divergence(policy, start, [task.prompt(p) for p in some[:problems]])
        found |= {f"{name}, {label}": value for name, value in numbers.items()}
    return found


def divergence(policy: Policy, start: Policy, prompts: list[str]) -> float:
    """KL(policy || start) in nats a chain, estimated from one sample of each prompt."""
    written = [g[0].token_ids for g in policy.sample(prompts, max_new_tokens=200, seed=7)]
    here, there = (p.logprobs(prompts, written) for p in (policy, start))
    gaps = [float((a - b).sum()) for a, b in zip(here, there, strict=True)]
    return sum(gaps) / len(gaps)


def rows_of(log: RunLog, tokens: str) -> Iterator[dict]:
    """The measurements of a run's callback, reward, entropy and length of every training step, and
    the seconds of training alone, as tidy rows.

    Args:
        tokens: the log's column of tokens that are paid for: `sampled_tokens` are summed, `tokens`
            are a sum already.
    """
    spent = 0
    for row in log.rows:
        spent = row.get("tokens", 0) if tokens == "tokens" else spent + (row.get(tokens) or 0)
        for name, value in row.items():
            if (", " in name or name in EVERY_STEP) and isinstance(value, (int, float)):
                yield {"step": row["step"], "metric": name, "value": value, "tokens": int(spent)}
    last = {"step": log.rows[-1]["step"], "tokens": int(spent)}
    yield last | {"metric": "training seconds", "value": sum(log.column("seconds"))}
