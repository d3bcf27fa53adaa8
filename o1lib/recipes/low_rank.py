"""The experiment `low_rank`: are the behaviors of long chains learned as well by low-rank changes
of a base model as by all of its weights (paper, section 3.3: self-reflection is hard to learn by
parameter-efficient fine-tuning)?

Straight solutions, which show no reflection, are the control: what low rank costs them it costs for
want of weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.learning.supervised import TrainConfig, train
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.behaviors import check_chain, persistence
from o1lib.policy.corpus import Mixture, solve_part, think_part
from o1lib.recipes.measures import SPLITS, share, tries
from o1lib.search.evaluate import evaluate
from o1lib.search.sampling import greedy
from o1lib.tasks.countdown import Countdown

RANKS = {"all weights": None, "rank 64": 64, "rank 8": 8}
RATES = (2e-3, 6e-3)  # low-rank changes like a higher rate than whole matrices


def reflection(texts: Sequence[str]) -> dict[str, float]:
    """Of chains: the share of right verdicts (`yes` and `no`) and of right lists, and how often a
    chain goes on after a failure.
    """
    checks = [check_chain(text) for text in texts]
    return {
        "right verdicts": share(checks, "right_verdicts", "verdicts"),
        "right lists": share(checks, "right_lists", "lists"),
        "goes on": persistence(texts),
    }


def low_rank_arm(
    seed: int,
    folder: Path,
    rank: int | None,
    rate: float,
    *,
    tokens: int = 1_000_000,
    problems: int = 150,
) -> Iterator[dict]:
    """From `nano-base`: `tokens` of long chains and straight solutions of three numbers, half and
    half, learned by low-rank changes or (rank None) by all weights; what the policy then makes of
    problems of the validation splits.
    """
    task, tokenizer, network = Countdown(3), build_tokenizer(), load("nano-base")[0]
    if rank is not None:
        from o1lib.backends.peft import low_rank, merged

        adapted = low_rank(network, rank, seed)
        network = adapted.base_model.model
    learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
    parts = {"think": (1, think_part(3)), "solve": (1, solve_part(3))}
    mixture, config = Mixture(parts, tokenizer, seed), TrainConfig(tokens, 1024, 1024, lr=rate)
    log = train(network, mixture, config, folder, label=f"rank {rank or 'full'}")
    policy = Policy(network if rank is None else merged(adapted).eval(), tokenizer)
    found = {"weights": float(learned), "loss": log.rows[-1]["loss"]}
    for label, split in SPLITS.items():
        some = task.problems(split, problems)
        run = evaluate(policy, some, greedy(200), task=task, progress=False)
        numbers = {"greedy": run["accuracy"]}
        numbers |= reflection([result["response"] for result in run["results"]])
        straight = tries(policy, task, some, 8, instruction="solve", max_new_tokens=48)
        numbers |= {f"straight {k}": v for k, v in straight.items() if k.startswith("pass")}
        found |= {f"{name}, {label}": value for name, value in numbers.items()}
    for name, value in found.items():
        at = {"step": log.rows[-1]["step"], "tokens": int(log.rows[-1]["tokens"])}
        yield at | {"metric": name, "value": value}


LOW_RANK = Experiment(
    "low_rank",
    {
        f"{name}, rate {rate}": partial(low_rank_arm, rank=rank, rate=rate)
        for name, rank in RANKS.items()
        for rate in RATES
    },
    seeds=3,
    doc="Does a low-rank change of a base model learn to reflect as well as all of its weights?",
)
