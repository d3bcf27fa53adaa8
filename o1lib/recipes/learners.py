"""The experiment `learners`: every method of `o1lib.recipes.methods` from one start, with as many
samples; what it wins, and what it needs. `table` is Table 3 of the roadmap, measured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.learning.completions import Batch
from o1lib.learning.costs import estimates, footprint, signal_share
from o1lib.learning.loop import Collector, learn
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.recipes.measures import measured, shown
from o1lib.recipes.methods import LONGEST, METHODS, Method
from o1lib.search.choose import by_value
from o1lib.search.evaluate import evaluate
from o1lib.search.guidance import value
from o1lib.search.sampling import best_of_n
from o1lib.tasks.countdown import Countdown


def with_roles(policy: Policy, roles: Sequence[str], seed: int = 0) -> Learner:
    """A learner with what a method needs beside the policy: a `reference` is a copy of it as it is
    now, a `critic` and a `reward` model are fresh heads on copies of its backbone.
    """
    others = {}
    for role in roles:
        if role == "reference":
            others[role] = Policy(copy.deepcopy(policy.model), policy.tokenizer, policy.bf16)
        else:
            others[role] = ValueHead.from_policy(policy, seed)
    return Learner.of(policy, **others)


def used(method: Method, batch: Batch) -> tuple[float, float, float]:
    """Tokens of a batch that were sampled, those that move the weights, and of these the ones in
    wrong answers (negatives).
    """
    chosen = method.choose(batch) if method.choose else batch
    rows = [c for c in chosen.rows if c.counted]
    if method.advantage and "critic" not in method.roles:  # a critic says something of any token
        advantages = method.advantage(chosen)
        pairs = zip(chosen.rows, advantages, strict=True)
        rows = [c for c, a in pairs if c.counted and bool((a != 0).any())]
    wrong = sum(c.counted for c in rows if c.reward < 0.5)
    return batch.stats["sampled_tokens"], sum(c.counted for c in rows), wrong


def looked_at(learner: Learner, method: Method, collect: Collector, n: int = 8) -> dict[str, float]:
    """The signal in the policy's gradient where the learner is now, and what of the data moves the
    weights, from `n` batches.
    """
    seen: list[tuple[float, float, float]] = []
    gradients = estimates(
        learner,
        collect,
        method.fitted(clip_norm=float("inf"), max_length=LONGEST),
        n,
        every=method.rounds,
        seen=lambda batch: seen.append(used(method, batch)),
    )
    sampled, moved, wrong = (sum(column) for column in zip(*seen, strict=True))
    return {
        "signal": signal_share(gradients),
        "share of tokens used": moved / max(1, sampled),
        "share of those in wrong answers": wrong / max(1, moved),
    }


def learner_arm(
    seed: int,
    folder: Path,
    names: Sequence[str],
    *,
    steps: int = 16,
    problems: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    measured_on: int = 75,
    looks: int = 6,
) -> Iterator[dict]:
    """From `nano-gives-up`, one method or several in turn, each with its part of the steps.

    Args:
        steps, problems, n: `problems` x `n` samples a step. Methods that pool steps, or take
            several rounds from the same samples, have as many samples in all.
        measured_on: problems of each split that success is measured on.
        looks: batches from which the gradient's signal is measured.
    """
    task, policy = Countdown(3), Policy.load("nano-gives-up")
    step = tokens = updates = 0
    for place, name in enumerate(names):
        method, part = METHODS[name], steps // len(names)
        pool = min(method.pool, part)
        # Problems of another seed for each part, and for what is only looked at.
        seeds = [10_000 * (place + 1) + seed, 10_000 * (place + 5) + seed]
        collect = method.source(task, problems * pool, n, seeds[0])
        apart = method.source(task, max(1, problems // 4), n, seeds[1])
        learner = with_roles(policy, method.roles, seed)
        rounds = part // pool * method.rounds

        def callback(learner: Learner, method=method, apart=apart) -> dict:
            found = measured(learner, Countdown(3), problems=measured_on)
            if "reward" in learner.models:
                found |= verified(learner, Countdown(3), measured_on)
            return found | looked_at(learner, method, apart, looks)

        log = learn(
            learner,
            collect,
            method.update,
            Schedule(rounds, lr, warmup_steps=min(3, rounds // 4), decay=False),
            folder / str(place),
            callback=callback,
            callback_every=max(1, rounds // 4),
            label=name,
        )
        for row in log.rows:
            tokens += int(row.get("sampled_tokens") or 0)
            updates += int(row.get("updates") or 0)
            at = {"step": step + round(row["step"] / rounds * part), "tokens": tokens}
            if place == 0 or row["step"] > 0:  # where one method ends, the next begins
                yield from (at | found for found in shown(row, SHOWN))
        step += part
    memory = footprint(learner)
    last = {"models": len(learner.models), "bytes": sum(memory.values()), "updates": updates}
    for found in shown(last, tuple(last)):
        yield {"step": steps, "tokens": tokens} | found


SHOWN = ("reward", "entropy", "signal", "share of tokens used", "share of those in wrong answers")


def verified(learner: Learner, task, problems: int = 150) -> dict[str, float]:
    """Success of the best of eight, chosen by the learner's reward model, on new numbers."""
    some = task.problems("val_inputs", problems)
    strategy = best_of_n(8, by_value(), value(learner.models["reward"]), max_new_tokens=LONGEST)
    run = evaluate(learner.policy, some, strategy, task=task, progress=False)
    return {"best of 8 by the verifier, new numbers": run["accuracy"]}


TURNS = {
    "cloning, then PPO": ("expert iteration", "PPO"),
    "cloning, then DPO": ("expert iteration", "DPO"),
    "cloning, then GRPO": ("expert iteration", "GRPO"),
}


LEARNERS = Experiment(
    "learners",
    {
        arm: partial(learner_arm, names=names)
        for arm, names in ({name: (name,) for name in METHODS} | TURNS).items()
    },
    seeds=3,
    doc="What do the methods of learning make of equally many samples, and what do they need?",
)


def table(rows: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """Table 3 of the roadmap, measured: of every arm the mean over seeds.

    * `gain`: how far it raised pass@1 on new numbers;
    * `variance`: of the gradient over its squared length, from the mean signal of the run;
    * `models`, `megabytes` (weights and optimizers), `updates`: what it needed;
    * `tokens used`, and of these `negatives`, the share in wrong answers: at the end of the run.
    """

    def mean(arm: str, metric: str, at: Callable | None = None) -> float:
        some = [row for row in rows if (row["arm"], row["metric"]) == (arm, metric)]
        step = at(row["step"] for row in some) if at else None
        values = [row["value"] for row in some if step in (None, row["step"])]
        return sum(values) / len(values)

    found = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        success, signal = partial(mean, arm, "pass@1, new numbers"), mean(arm, "signal")
        found[arm] = {
            "gain": success(max) - success(min),
            "variance": 1 / signal - 1 if signal > 0 else float("inf"),
            "models": mean(arm, "models"),
            "megabytes": mean(arm, "bytes") / 1e6,
            "updates": mean(arm, "updates"),
            "tokens used": mean(arm, "share of tokens used", max),
            "negatives": mean(arm, "share of those in wrong answers", max),
        }
    return found
