"""Comparisons of ways to write a chain (notebook 01, section 3), judged on the validation splits
only.

* `grammars`: the recipe of `nano-think` with chains, and the drills of their equality test, in each
  of the three grammars. (`fan` and `blocks` share the test, so they start from `nano-base`; `dfs`
  starts from a base of its own, made by the same recipe.)
* `numbers`: 4-number chains alone, from random weights, with numbers as words and with numbers in
  digits.

`o1lib train comparisons` redoes them; what is finished is kept, so a stopped comparison goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from o1lib.lab.paths import data_dir, outputs_dir
from o1lib.lab.runlog import RunLog
from o1lib.learning.supervised import TrainConfig, train
from o1lib.model.checkpoints import load
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, base_parts, think_part, think_parts
from o1lib.policy.traces import Style
from o1lib.recipes.checkpoints import RECIPES
from o1lib.recipes.scores import greedy_results
from o1lib.tasks.countdown import Countdown

LOSSES = ("loss", "loss_yes", "loss_no", "loss_numbers")
CUTOFFS = (64, 128, 192, 256, 384, 512, 768, 1024)


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison: its name, the grammar, whether numbers are digits, where it starts,
    and the seeds it is run with.
    """

    comparison: str
    name: str
    grammar: str = "fan"
    digits: bool = False
    recipe: str | None = (
        None  # whose parent, mixture and settings; None: chains alone, random weights
    )
    tokens: int = 4_000_000
    seeds: tuple[int, ...] = (0,)


ARMS = (
    Arm("grammars", "fan", recipe="nano-think", seeds=(0, 1)),
    Arm("grammars", "blocks", "blocks", recipe="nano-think", seeds=(0, 1)),
    Arm("grammars", "dfs", "dfs", recipe="nano-think"),
    Arm("numbers", "words"),
    Arm("numbers", "digits", digits=True),
)


def measure(seed: int, folder: Path, arm: Arm, n: int = 200) -> Iterator[dict]:
    """The measurements of one arm and seed, for an experiment: the success of each split at each
    cut-off (`step`), and the losses by kind of token (`step` and `tokens`: tokens seen).
    """
    table, curve = run_arm(arm, seed, n, folder)
    for row in table:
        name = f"success, {row['split']}"
        yield {"step": row["cutoff"], "metric": name, "value": row["correct"] / row["n"]}
    for row in curve:
        at = {"step": row["tokens"], "tokens": row["tokens"]}
        for name in LOSSES:
            if row[name] != "":
                yield at | {"metric": name, "value": row[name]}


def run_arm(
    arm: Arm, seed: int = 0, n: int = 200, folder: Path | None = None
) -> tuple[list[dict], list[dict]]:
    """Train and judge one arm; returns the rows of the success table and of the loss curves."""
    tokenizer, style = build_tokenizer(digits=arm.digits), Style(arm.grammar)
    if arm.recipe:
        recipe = RECIPES[arm.recipe]
        model, config = _base(recipe.parent, style), recipe.config
        parts = think_parts(3, style)
    else:
        model, config = (
            build_model("nano", seed, tokenizer),
            TrainConfig(arm.tokens, 1024, 1024, lr=2e-3),
        )
        parts = {"think": (1.0, think_part(4, style))}
    name = f"{arm.comparison}-{arm.name}-{config.tokens}-{seed}"
    folder = folder or outputs_dir() / "runs" / name
    label = f"{arm.comparison} {arm.name} {seed}"
    log = train(model, Mixture(parts, tokenizer, seed), config, folder, label=label)
    key = {"comparison": arm.comparison, "name": arm.name, "seed": seed}
    table, task = [], Countdown(4)
    for split in ("val_inputs", "val_targets"):
        # A chain counts at a cut-off when it is right and has at most that many tokens.
        problems = task.problems(split, n)
        results = greedy_results(Policy(model, tokenizer), task, problems, CUTOFFS[-1])
        for cutoff in CUTOFFS:
            right = sum(correct and tokens <= cutoff for correct, tokens in results)
            table.append(
                key | {"split": split, "cutoff": cutoff, "n": len(results), "correct": right}
            )
    return table, list(_curve(log, key))


def _base(name: str, style: Style):
    """The base model that chains of a grammar start from: the shipped one, which drills the test of
    `fan` and `blocks`, or its recipe with the tests of `dfs`.
    """
    if style.grammar != "dfs":
        return load(name)[0]
    recipe, tokenizer = RECIPES[name], build_tokenizer()
    model = build_model(recipe.parent, recipe.seed)
    folder = outputs_dir() / "runs" / f"{name}-{style.grammar}-{recipe.config.tokens}"
    mixture = Mixture(base_parts(style), tokenizer, recipe.seed)
    train(model, mixture, recipe.config, folder, label=f"{name} {style.grammar}")
    return model


def _curve(log: RunLog, key: dict, points: int = 60) -> Iterator[dict]:
    """The log's losses, averaged over equal stretches."""
    size = max(1, len(log.rows) // points)
    for start in range(0, len(log.rows) - size + 1, size):
        part = log.rows[start : start + size]
        row = key | {"tokens": part[-1]["tokens"]}
        for name in LOSSES:
            found = [r[name] for r in part if isinstance(r.get(name), (int, float))]
            row[name] = sum(found) / len(found) if found else ""
        yield row


def run_grammars(out: str | Path | None = None, arms=ARMS, n: int = 200) -> Path:
    """Run what is missing of the comparisons; returns the folder of `comparisons.csv` and
    `curves.csv`.
    """
    out = Path(out or data_dir() / "logs")
    table, curves = RunLog(out / "comparisons.csv"), RunLog(out / "curves.csv")
    finished = {(row["comparison"], row["name"], row["seed"]) for row in curves.rows}
    for arm in arms:
        for seed in arm.seeds:
            if (arm.comparison, arm.name, seed) in finished:
                continue
            rows, points = run_arm(arm, seed, n)
            for row in rows:
                table.write(row)
            for row in points:
                curves.write(row)
    table.close()
    curves.close()
    return out
