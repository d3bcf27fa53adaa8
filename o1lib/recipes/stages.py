"""What recipes are made of: supervised training, reinforcement learning, and the training of a
value head. Each is a value with a `build`.

`build(run_dir, device, **options)` trains (going on where a stopped run was saved) and returns what
it made, or None where it was stopped before its end (`stop_after`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from o1lib.lab.runlog import RunLog
from o1lib.learning.supervised import TrainConfig, train
from o1lib.learning.values import label_rows, train_value
from o1lib.model.checkpoints import load
from o1lib.model.heads import ValueHead
from o1lib.model.network import SIZES, build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture
from o1lib.recipes.measures import outcome_rl
from o1lib.recipes.scores import sampled_scores, scores
from o1lib.reward.outcome import checker_reward
from o1lib.reward.process import Label, label_visited_nodes
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Made:
    """A network, the logs of its stages by name, and what else its card says."""

    model: torch.nn.Module
    logs: dict[str, RunLog]
    card: dict = field(default_factory=dict)


COUNTS = {"tokens": "tokens", "updates": "step"}  # of a card, and where a run's log has them


@dataclass(frozen=True)
class Supervised:
    """A policy trained on parts of the corpus.

    Args:
        parent: the name of a size, or of another checkpoint.
        parts: makes the parts of the mixture.
        tasks: that it is scored on by greedy chains; none for a base model.
        instruction: what it is asked then.
        samples: of each problem that it is scored by as well; 0 for none (see `sampled_scores`).
        then: a second stage with other parts, at a lower rate.
    """

    parent: str
    parts: Callable[[], dict]
    config: TrainConfig
    tasks: tuple = ()
    instruction: str = "think"
    samples: int = 0
    then: tuple[Callable[[], dict], TrainConfig] | None = None
    seed: int = 0

    @property
    def settings(self) -> dict:
        return asdict(self.config) | ({"then": asdict(self.then[1])} if self.then else {})

    def build(self, run_dir: Path, device: str, **options) -> Made | None:
        if self.parent in SIZES:
            model = build_model(self.parent, self.seed).to(device)
        else:
            model = load(self.parent, device)[0]
        logs, stages = {}, {"log": (self.parts, self.config)}
        if self.then:
            stages["then"] = self.then
        for name, (parts, config) in stages.items():
            folder = run_dir if name == "log" else run_dir / name
            mixture = Mixture(parts(), build_tokenizer(), self.seed)
            logs[name] = train(model, mixture, config, folder, **options)
            if logs[name].rows[-1]["tokens"] < config.tokens:
                return None
        ends = [log.rows[-1] for log in logs.values()]
        card = {key: sum(row[name] for row in ends) for key, name in COUNTS.items()}
        card["loss"] = round(ends[-1]["loss"], 4)
        policy, found = Policy(model, build_tokenizer()), {}
        for task in self.tasks:
            found |= scores(policy, task, instruction=self.instruction)
            if self.samples:
                found |= sampled_scores(policy, task, self.samples)
        return Made(model, logs, card | {"scores": found})


@dataclass(frozen=True)
class Rewarded:
    """A policy improved by the outcome reward alone (GRPO): no old data, no averaging of weights.

    Args:
        parent, numbers, max_target: the policy, and the problems that it learns from.
        max_new_tokens: of a sampled chain.
        steps, prompts, samples, lr: updates, fresh problems of each, chains of each problem, and
            the learning rate, which falls to zero.
    """

    parent: str
    numbers: int
    max_target: int
    max_new_tokens: int
    steps: int
    prompts: int
    lr: float
    samples: int = 8
    seed: int = 0

    @property
    def settings(self) -> dict:
        return asdict(self)

    def build(self, run_dir: Path, device: str, **options) -> Made | None:
        """Success on a part of the validation splits is logged on the way."""
        policy = Policy.load(self.parent, device)
        task = Countdown(self.numbers, max_target=self.max_target)
        log = outcome_rl(
            policy,
            task,
            checker_reward(task),
            run_dir,
            steps=self.steps,
            prompts=self.prompts,
            n=self.samples,
            lr=self.lr,
            max_new_tokens=self.max_new_tokens,
            decay=True,
            seed=self.seed,
            **{"callback": lambda now: scores(now.policy, Countdown(self.numbers), 200)} | options,
        )
        if log.rows[-1]["step"] < self.steps:
            return None
        return Made(policy.model, {"log": log}, {"scores": scores(policy, Countdown(self.numbers))})


@dataclass(frozen=True)
class Value:
    """A value head, trained on what its parent visits on training problems, in one pass."""

    parent: str
    numbers: int
    problems: int
    samples: int
    lr: float
    seed: int = 0

    @property
    def settings(self) -> dict:
        return {"problems": self.problems, "samples": self.samples, "lr": self.lr}

    def build(self, run_dir: Path, device: str, **options) -> Made | None:
        policy, task = Policy.load(self.parent, device), Countdown(self.numbers)
        labels: list[Label] = []
        for start in tqdm(range(0, self.problems, 500), desc="rollouts", leave=False):
            some = range(start, min(self.problems, start + 500))
            asked = [task.train_problem(i) for i in some]
            labels += label_visited_nodes(policy, task, asked, self.samples)
        head = ValueHead.from_policy(policy, self.seed)
        settings = {"epochs": 1, "lr": self.lr, "batch_tokens": 1024, "seed": self.seed}
        log = train_value(head, labels, run_dir, **settings, **options)
        losses = log.column("reward_loss")
        if log.rows[-1]["tokens"] < sum(map(len, label_rows(head.tokenizer, labels))):
            return None
        last = losses[-100:]
        card = {"updates": len(losses), "loss": round(sum(last) / len(last), 4)}
        card["config"] = self.settings | {"labels": len(labels)}
        return Made(head.model, {"log": log}, card)
