"""The experiment `transfer`: does a policy that has learned to try, to judge and to go on in one
world do so in another (paper, section 3.4: are the behaviors domain general)?

Numbers first, jugs then. All starts know the words of jugs from straight solutions; they differ in
what they have practiced with numbers: long chains, straight chains of as many tokens, or nothing.
Then all clone the same long chains about jugs, and are measured before and on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from o1lib.lab.experiments import Experiment
from o1lib.lab.paths import outputs_dir
from o1lib.learning.supervised import TrainConfig, train
from o1lib.learning.updates import Learner
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import jug_traces
from o1lib.policy.corpus import Mixture, solve_part, straight_part, think_part
from o1lib.policy.jug_traces import check_chain
from o1lib.recipes.measures import rows_of, share
from o1lib.tasks.jugs import Jugs

STARTS = {
    "long chains of numbers": think_part(3),
    "straight chains of numbers": solve_part(3),
    "no chains of numbers": None,
}
LONGEST = 400  # tokens of a chain


def start_of(name: str, tokens: int = 1_500_000, seed: int = 0) -> Policy:
    """A policy that has read the corpus, practiced a start's chains of numbers for `tokens` tokens
    and straight chains about jugs for a fifth of that; made once and kept under the outputs.
    """
    network, tokenizer = load("nano-base")[0], build_tokenizer()
    parts = {"jugs": (1, straight_part(Jugs(2)))}
    if STARTS[name]:
        parts["numbers"] = (5, STARTS[name])
    whole = sum(part for part, _ in parts.values()) / 5  # of what the numbers alone would take
    config = TrainConfig(int(tokens * whole), 1024, 1024, lr=2e-3)
    run = outputs_dir() / "experiments" / "starts" / f"{name}-{tokens}"
    train(network, Mixture(parts, tokenizer, seed), config, run, label=name)
    return Policy(network, tokenizer)


def about_jugs(policy: Policy, problems, n: int = 4) -> dict[str, float]:
    """Of `n` long chains on every problem: the share that is right, and what the truth says of what
    they try.
    """
    task = Jugs(2)
    prompts = [task.prompt(p, "think") for p in problems]
    groups = policy.sample(prompts, n, max_new_tokens=LONGEST, seed=1)
    pairs = [(p, c.text) for p, group in zip(problems, groups, strict=True) for c in group]
    checks = [check_chain(problem, text) for problem, text in pairs]

    return {
        "success": sum(bool(task.verify(p, text)) for p, text in pairs) / len(pairs),
        "tries": sum(c.tries for c in checks) / len(checks),
        "right tries": share(checks, "right_tries", "tries"),
        "right verdicts": share(checks, "right_verdicts", "verdicts"),
        "goes on": share(checks, "went_on", "failed"),
    }


def transfer_arm(
    seed: int,
    folder: Path,
    start: str,
    *,
    tokens: int = 400_000,
    problems: int = 67,
    policy: Policy | None = None,
) -> Iterator[dict]:
    """Long chains about two jugs, cloned: measured on validation problems after 0, 16, 64, ...
    updates of about 1,024 tokens.
    """
    policy = policy or start_of(start)
    some = Jugs(2).problems("val_inputs", problems)

    def callback(learner: Learner) -> dict[str, float]:
        if learner.step not in (0, 16, 64, 256) and learner.tokens < tokens:
            return {}
        return {f"{name}, jugs": value for name, value in about_jugs(learner.policy, some).items()}

    log = train(
        policy.model,
        Mixture({"jugs": (1, jug_traces.think_part())}, policy.tokenizer, seed),
        TrainConfig(tokens, 1024, 1024, lr=1e-3),
        folder,
        callback=callback,
        callback_every=1,
        label=start,
    )
    yield from rows_of(log, "tokens")


TRANSFER = Experiment(
    "transfer",
    {name: partial(transfer_arm, start=name) for name in STARTS},
    seeds=3,
    doc="Do behaviors that were learned with numbers help with jugs?",
)
