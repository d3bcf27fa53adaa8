"""What the experiments of reinforcement learning share: one run by an outcome reward, and what is
measured on the way.

All measure on the validation splits, of which no run learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from o1lib.lab.runlog import RunLog
from o1lib.lab.statistics import pass_rates
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.loop import learn
from o1lib.learning.losses import ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
from o1lib.policy.behaviors import persistence
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
    decay: bool = False,
    seed: int = 0,
    **options,
) -> RunLog:
    """GRPO by an outcome reward alone, in place: no old data, no averaging of weights.

    Args:
        prompts, n: fresh training problems of a step, and samples of each.
        decay: let the rate fall to zero at the end.
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
    schedule = Schedule(steps, lr, warmup_steps=3, decay=decay)
    options = {"label": "GRPO"} | options
    return learn(Learner.of(policy), collect, update, schedule, run_dir, **options)


def passed(right: Sequence[int], n: int) -> dict[str, float]:
    """pass@1, 2, 4, ... n from the number of right answers among n to each problem."""
    return {f"pass@{k}": rate for k, rate in pass_rates([(n, c) for c in right]).items()}


def share(checks: Sequence, right: str, of: str) -> float:
    """Of what checks of chains have counted, by the names of two counts: the share of one in the
    other; a share of nothing is zero.
    """
    return sum(getattr(c, right) for c in checks) / max(1, sum(getattr(c, of) for c in checks))


def tries(policy: Policy, task, problems, n: int = 16, **options) -> dict[str, float]:
    """pass@1, 2, 4, ... n and mean length of `n` samples of each problem; `options` are those of
    `evaluate` and `max_new_tokens`.
    """
    strategy = sample(n, max_new_tokens=options.pop("max_new_tokens", 200))
    run = evaluate(policy, problems, strategy, task=task, progress=False, **options)
    right = [r["samples_correct"] for r in run["results"]]
    return passed(right, n) | {"tokens": run["tokens"] / run["n"] / n}


def measured(
    learner: Learner, task, problems: int = 150, start: Policy | None = None
) -> dict[str, float]:
    """Greedy success (on twice as many puzzles), pass@k, length, and how often a chain goes on
    after a failure, on the validation splits.

    Args:
        problems: of each split that are sampled, 16 times each.
        start: where given, also the divergence from it, E[log pi(y) - log pi_start(y)], in nats a
            chain, from one sample of each puzzle.
    """
    found, policy, n = {}, learner.policy, 16
    for label, split in SPLITS.items():
        some = task.problems(split, 2 * problems)
        run = evaluate(policy, some, greedy(200), task=task, progress=False)
        some = some[:problems]
        prompts = [task.prompt(p) for p in some]
        groups = policy.sample(prompts, n, max_new_tokens=200, seed=1)
        right = [
            sum(task.verify(p, chain.text).correct for chain in group)
            for p, group in zip(some, groups, strict=True)
        ]
        chains = [chain for group in groups for chain in group]
        numbers = {
            "greedy": run["accuracy"],
            **passed(right, n),
            "tokens": sum(len(c.token_ids) for c in chains) / len(chains),
            "goes on": persistence(c.text for c in chains),
        }
        if start:
            written = [group[0].token_ids for group in groups]
            here, there = (p.logprobs(prompts, written) for p in (policy, start))
            gaps = [float((a - b).sum()) for a, b in zip(here, there, strict=True)]
            numbers["kl"] = sum(gaps) / len(gaps)
        found |= {f"{name}, {label}": value for name, value in numbers.items()}
    return found


def shown(row: Mapping, names: Sequence[str]) -> Iterator[dict]:
    """The measurements of a row of a log: what a callback found (its names have a comma), and some
    columns by name.
    """
    for name, number in row.items():
        if (", " in name or name in names) and isinstance(number, (int, float)):
            yield {"metric": name, "value": number}


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
        at = {"step": row["step"], "tokens": int(spent)}
        yield from (at | found for found in shown(row, EVERY_STEP))
    last = {"step": log.rows[-1]["step"], "tokens": int(spent)}
    yield last | {"metric": "training seconds", "value": sum(log.column("seconds"))}
