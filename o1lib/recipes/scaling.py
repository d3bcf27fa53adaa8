"""The experiment `rl_scaling`: what reinforcement learning makes of three sizes of one policy, on
four numbers, as its compute grows (paper, section 6.5: the scaling law of reinforcement learning).

All sizes read and clone the same documents, of a demonstrator that gives up, and learn from as many
samples of the same problems by the outcome alone. Measured on the validation splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.lab.paths import outputs_dir
from o1lib.learning.supervised import TrainConfig, train
from o1lib.learning.updates import Learner
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, base_parts, think_parts
from o1lib.policy.traces import Style
from o1lib.recipes.measures import SPLITS, outcome_rl, rows_of, tries
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown

GIVE_UP = 0.3  # after each list that meets nothing: a chain of four numbers has up to twelve
LONGEST = 400  # tokens of a chain
RATES = {"pico": 2e-3, "nano": 2e-3, "micro": 1e-3}  # the highest that each size trains well at


def start_of(size: str, reading: int = 1_000_000, cloning: int = 3_000_000) -> Policy:
    """A policy of one size that has read so many tokens of the corpus, and cloned so many of chains
    that give up; made once and kept under the outputs.
    """
    model, tokenizer = build_model(size), build_tokenizer()
    stages = {
        "reads": (base_parts(), reading),
        "clones": (think_parts(4, Style(give_up=GIVE_UP)), cloning),
    }
    for stage, (parts, tokens) in stages.items():
        config = TrainConfig(tokens, 1024, 1024, lr=RATES[size])
        run = outputs_dir() / "experiments" / "starts" / f"{size}-{stage}-{config.tokens}"
        train(model, Mixture(parts, tokenizer), config, run, label=f"{size} {stage}")
    return Policy(model, tokenizer)


def scaling_arm(
    seed: int,
    folder: Path,
    size: str,
    *,
    steps: int = 32,
    prompts: int = 64,
    problems: int = 100,
    start: Policy | None = None,
) -> Iterator[dict]:
    """`steps` updates of `prompts` x 8 samples; success after 0, 1, 2, 4, ... of them, from 8
    samples of `problems` of each validation split.
    """
    task, policy = Countdown(4), start or start_of(size)

    def callback(learner: Learner) -> dict[str, float]:
        if learner.step & (learner.step - 1) and learner.step != steps:
            return {}
        found = {}
        for label, split in SPLITS.items():
            some = task.problems(split, problems)
            numbers = tries(learner.policy, task, some, 8, max_new_tokens=LONGEST)
            found |= {f"{name}, {label}": number for name, number in numbers.items()}
        return found

    log = outcome_rl(
        policy,
        task,
        checker_reward(task),
        folder,
        steps=steps,
        prompts=prompts,
        max_new_tokens=LONGEST,
        seed=seed,
        callback=callback,
        callback_every=1,
    )
    yield {"metric": "weights", "value": sum(p.numel() for p in policy.model.parameters())}
    yield from rows_of(log, "sampled_tokens")


def training_flops(weights: float, tokens: float) -> float:
    """Operations of reinforcement learning on so many sampled tokens: 2 a weight and token to write
    them, 6 to learn from them.

    Source: Kaplan et al. (2020), arXiv 2001.08361, section 2.1 (attention left out).
    """
    return 8 * weights * tokens


RL_SCALING = Experiment(
    "rl_scaling",
    {size: partial(scaling_arm, size=size) for size in ("pico", "nano", "micro")},
    seeds=3,
    doc="How does success grow with the compute of reinforcement learning, and with the size?",
)
