"""The experiment `search_data`: one learner that clones what is found for it, by samples of its own
or by a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.learning.collect import training_problems
from o1lib.learning.gather import from_search
from o1lib.learning.loop import learn
from o1lib.learning.losses import clone
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
from o1lib.recipes.measures import shown
from o1lib.search.choose import by_checker
from o1lib.search.evaluate import evaluate
from o1lib.search.guidance import correct, rollouts
from o1lib.search.mcts import mcts
from o1lib.search.sampling import best_of_n, greedy, sample
from o1lib.search.trees import beam
from o1lib.tasks.countdown import Countdown

LONGEST = 64  # tokens of a straight solution of three numbers
SEARCHES: dict[str, dict] = {
    "all samples": {"strategy": sample(8, max_new_tokens=LONGEST), "right_only": False},
    "right samples": {"strategy": sample(8, max_new_tokens=LONGEST)},
    "best of 8": {"strategy": best_of_n(8, by_checker(), max_new_tokens=LONGEST)},
    "beam": {"strategy": beam(width=4, choose=by_checker())},
    "MCTS": {
        "strategy": mcts(rollouts(2, max_new_tokens=LONGEST), simulations=20, leaf=correct()),
    },
}


def search_arm(
    seed: int,
    folder: Path,
    name: str,
    *,
    rounds: int = 8,
    problems: int = 256,
    lr: float = 1e-4,
    measured_on: int = 150,
) -> Iterator[dict]:
    """From `nano-gives-up`, straight solutions: the same learner, which clones what a search of its
    own finds, round after round.
    """
    task, policy = Countdown(3), Policy.load("nano-gives-up")
    asked = training_problems(task, problems, seed)
    collect = from_search(
        task=task, problems=asked, instruction="solve", seed=seed, **SEARCHES[name]
    )

    def solved(learner: Learner) -> dict[str, float]:
        found = {}
        for label, split in (("new numbers", "val_inputs"), ("held-out goals", "val_targets")):
            some = task.problems(split, measured_on)
            for metric, strategy in (
                ("greedy", greedy(LONGEST)),
                ("pass@1", sample(16, max_new_tokens=LONGEST)),
            ):
                run = evaluate(
                    learner.policy, some, strategy, instruction="solve", task=task, progress=False
                )
                found[f"{metric}, {label}"] = run["accuracy"]
        return found

    log = learn(
        Learner.of(policy),
        collect,
        fit(clone, average="token", minibatch_tokens=1024),
        Schedule(rounds, lr, decay=False),
        folder,
        callback=solved,
        callback_every=1,
        label=name,
    )
    spent = 0
    for row in log.rows:
        spent += int((row.get("sampled_tokens") or 0) + (row.get("scored_tokens") or 0))
        for found in shown(row, ("solved", "reward", "learned_tokens", "updates")):
            yield {"step": row["step"], "tokens": spent} | found


SEARCH_DATA = Experiment(
    "search_data",
    {name: partial(search_arm, name=name) for name in SEARCHES},
    seeds=3,
    doc="Does a learner gain more from what a search finds than from its own samples?",
)
