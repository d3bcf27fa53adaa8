"""What breaks it: the reinforcement learning of notebook 04, from `nano-gives-up` by the outcome
alone, with one thing changed an arm.

A `Run` is one way to train, and its defaults are the way that works. So an arm is read off its one
line, and `what_breaks_it` trains and measures it (`o1lib experiment what_breaks_it`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from o1lib.lab.experiments import Experiment
from o1lib.lab.runlog import RunLog
from o1lib.learning.advantages import Advantage, group_mean, group_normalized
from o1lib.learning.collect import kl_in_reward, rollouts, training_problems
from o1lib.learning.completions import Batch, Rows
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import Loss, kl, ppo, reinforce, total
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, Update, fit
from o1lib.model.policy import Policy
from o1lib.recipes.measures import measured, shown
from o1lib.reward.outcome import Reward, checker_reward, length_penalized
from o1lib.tasks.countdown import Countdown

EVERY_STEP = (
    "reward",
    "loss",
    "length",
    "informative_share",
    "entropy",
    "grad_norm",
    "clipped",
    "kl_sampler",
)

# --- rewards that pay for words


def bonus_per_word(task, bonus: float = 0.03) -> Reward:
    """R + bonus * words, to be hacked: 34 words pay as much as a right answer."""
    right = checker_reward(task)

    def paid(problems: Sequence, responses: Sequence[str]) -> list[float]:
        values = right(problems, responses)
        return [v + bonus * len(r.split()) for v, r in zip(values, responses, strict=True)]

    return paid


def capped_bonus(task, bonus: float = 0.03, words: int = 40) -> Reward:
    """R (1 + bonus * min(words, cap)): only right answers earn it, and only up to `words` words."""
    right = checker_reward(task)

    def paid(problems: Sequence, responses: Sequence[str]) -> list[float]:
        pairs = zip(right(problems, responses), responses, strict=True)
        return [v * (1 + bonus * min(words, len(r.split()))) for v, r in pairs]

    return paid


def cost_per_word(task, penalty: float = 0.2, words: int = 200) -> Reward:
    """R less up to the share `penalty` of it for length."""
    return length_penalized(checker_reward(task), penalty, words)


# --- losses

CLIPPED = ppo()
NO_CLIP = ppo((1.0, math.inf))  # no ratio is below 0 or above infinity


def no_ratio(rows: Rows) -> torch.Tensor:
    """-A log p, as if the samples were fresh (`reinforce`); it logs what `ppo` logs."""
    CLIPPED(rows)
    return reinforce(rows)


# --- half of the advantages


def only_right(batch: Batch) -> list[torch.Tensor]:
    """max(A, 0): better answers are made likelier, worse ones are not made less likely.

    Source: Zhu et al. (2025), arXiv 2506.01347 ("positive sample reinforcement").
    """
    return [a.clamp(min=0) for a in group_mean(batch)]


def only_wrong(batch: Batch) -> list[torch.Tensor]:
    """min(A, 0): worse answers are made less likely, and that is all (see `only_right`)."""
    return [a.clamp(max=0) for a in group_mean(batch)]


# --- samples of an older policy


def stale(collect: Collector, lag: int) -> Collector:
    """Another collector, whose samples are drawn from the policy as it was `lag` steps ago (in the
    first steps: as it was at the start).

    The learner holds the weights of the last steps in models `past 0` to `past LAG`, in a ring: so
    a step that is made again finds the same weights. Raises `ValueError` when it has no such models
    (`with_past`).
    """
    if lag < 1:
        raise ValueError(f"samples are stale from a lag of 1 step on, got {lag}")

    def collected(learner: Learner) -> Batch:
        learner.network(f"past {lag}")
        ring = [learner.models[f"past {i}"] for i in range(lag + 1)]
        now, old = (ring[(learner.step + i) % (lag + 1)] for i in (0, 1))
        now.model.load_state_dict(learner.policy.model.state_dict())
        now.refresh()
        return collect(replace(learner, models=learner.models | {"policy": old}))

    return collected


def with_past(load: Callable[[], Policy], lag: int) -> dict[str, Policy]:
    """The models that `stale` needs: the start, once for each step that is remembered."""
    return {f"past {i}": load() for i in range(lag + 1)} if lag else {}


# --- one way to train


@dataclass(frozen=True)
class Run:
    """One way to train; the defaults are those of `o1lib.recipes.measures.outcome_rl`.

    Args:
        lr: the learning rate, after three steps of warm-up.
        advantage, loss, average: see `fit`.
        n: samples of a puzzle; a step has the same number of samples in all, whatever n.
        epochs: optimizer steps on each batch.
        kl_reward, kl_loss: what the divergence from the start costs, taken off the reward (k1), or
            added to the loss (k3).
        lag: how many steps old the policy is that samples.
        reward: makes the reward from the task.
    """

    lr: float = 1e-4
    advantage: Advantage = group_mean
    loss: Loss = CLIPPED
    average: str = "token"
    n: int = 8
    epochs: int = 1
    kl_reward: float = 0.0
    kl_loss: float = 0.0
    lag: int = 0
    reward: Callable[..., Reward] = checker_reward

    def collect(self, task, samples: int = 192, max_new_tokens: int = 200, seed=0) -> Collector:
        """The collector: `samples` samples a step, `n` of each puzzle."""
        found = rollouts(
            task,
            self.reward(task),
            training_problems(task, samples // self.n, seed),
            self.n,
            max_new_tokens=max_new_tokens,
            keep_equal=bool(self.kl_reward or self.kl_loss),
            seed=seed,
        )
        found = kl_in_reward(found, self.kl_reward) if self.kl_reward else found
        return stale(found, self.lag) if self.lag else found

    def update(self) -> Update:
        """What a batch does to the weights."""
        loss = total((1.0, self.loss), (self.kl_loss, kl("k3"))) if self.kl_loss else self.loss
        options = {"average": self.average, "max_length": 200, "epochs": self.epochs}
        return fit(loss, advantage=self.advantage, **options)

    def learner(self, load: Callable[[], Policy]) -> Learner:
        """The policy, the start it is held to, and where samples are stale the past."""
        return Learner.of(load(), reference=load(), **with_past(load, self.lag))


RUNS = {
    "baseline": Run(),
    "rate x3": Run(lr=3e-4),
    "rate x10": Run(lr=1e-3),
    "rate x30": Run(lr=3e-3),
    "only right answers": Run(advantage=only_right),
    "only wrong answers": Run(advantage=only_wrong),
    "divided by std": Run(advantage=group_normalized),
    "average sequence": Run(average="sequence"),
    "average constant": Run(average="constant"),
    "4 steps with clip": Run(epochs=4),
    "4 steps without clip": Run(epochs=4, loss=NO_CLIP),
    "KL in reward 0.01": Run(kl_reward=0.01),
    "KL in reward 0.3": Run(kl_reward=0.3),
    "KL in reward 3": Run(kl_reward=3.0),
    "KL in loss 0.01": Run(kl_loss=0.01),
    "KL in loss 0.3": Run(kl_loss=0.3),
    "KL in loss 3": Run(kl_loss=3.0),
    "group of 2": Run(n=2),
    "group of 4": Run(n=4),
    "group of 16": Run(n=16),
    "4 steps old": Run(lag=4),
    "4 steps old without ratio": Run(lag=4, loss=no_ratio),
    "8 steps old": Run(lag=8),
    "8 steps old without ratio": Run(lag=8, loss=no_ratio),
    # Words are not paid for long enough in thirty steps at the small rate.
    "bonus per word": Run(lr=3e-4, reward=bonus_per_word),
    "capped bonus": Run(lr=3e-4, reward=capped_bonus),
    "cost per word": Run(lr=3e-4, reward=cost_per_word),
}


def what_breaks_it(
    seed: int,
    folder: Path,
    run: Run,
    steps: int = 30,
    samples: int = 192,
    problems: int = 40,
) -> Iterator[dict]:
    """Train one way, and measure it four times on the way (`measured`, on `problems` problems of
    each split) and, of each step, what the log says.
    """
    task, load = Countdown(3), partial(Policy.load, "nano-gives-up")
    log = learn(
        run.learner(load),
        run.collect(task, samples, seed=seed),
        run.update(),
        Schedule(steps, run.lr, warmup_steps=3, decay=False),
        folder,
        callback=partial(measured, task=task, problems=problems, start=load()),
        callback_every=max(1, steps // 3),
        label="what breaks it",
    )
    yield from _rows(log)


def _rows(log: RunLog) -> Iterator[dict]:
    spent = 0
    for row in log.rows:
        spent += int(row.get("sampled_tokens") or 0)
        at = {"step": row["step"], "tokens": spent}
        yield from (at | found for found in shown(row, EVERY_STEP))


WHAT_BREAKS_IT = Experiment(
    "what_breaks_it",
    {name: partial(what_breaks_it, run=run) for name, run in RUNS.items()},
    seeds=3,
    doc="Which of its settings does reinforcement learning depend on, and what is seen when one is "
    "wrong?",
)
