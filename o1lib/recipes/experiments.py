"""The experiments of the course, by name: `o1lib experiment NAME`.

Each arm is a function of a seed and a folder that yields measurements (`lab/experiments.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment


def bandit(seed: int, folder: Path, explore: float, pulls: int = 1000) -> Iterator[dict]:
    """A bandit with three levers that pay 1 with probability 0.3, 0.5 and 0.7: pull the lever with
    the best mean so far, or with probability `explore` any. Measures the mean payment.
    """
    rng, pays = random.Random(f"bandit {seed}"), (0.3, 0.5, 0.7)
    count, total = [0, 0, 0], [0.0, 0.0, 0.0]
    for pull in range(1, pulls + 1):
        means = [t / c if c else 0.0 for t, c in zip(total, count, strict=True)]
        greedy = means.index(max(means))
        lever = rng.randrange(3) if rng.random() < explore else greedy
        count[lever] += 1
        total[lever] += rng.random() < pays[lever]
        if pull % 100 == 0:
            yield {"step": pull, "metric": "mean payment", "value": sum(total) / pull}


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "bandit",
            {"greedy": partial(bandit, explore=0.0), "explore": partial(bandit, explore=0.1)},
            seeds=20,
            doc="Does it pay to try levers that look worse? The smallest experiment there is.",
        ),
    )
}
