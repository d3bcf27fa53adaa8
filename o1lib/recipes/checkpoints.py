"""How the supervised checkpoints are made: from a size or a parent, on parts of the corpus."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import LlamaForCausalLM

from o1lib.lab import machine
from o1lib.lab.paths import outputs_dir
from o1lib.model.checkpoints import load, new_card, save
from o1lib.model.network import SIZES, build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, base_parts, think_parts
from o1lib.policy.supervised import TrainConfig, train
from o1lib.policy.traces import Style
from o1lib.tasks.countdown import Countdown


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made: from a size or a parent, on some parts of the corpus."""

    parent: str  # the name of a size, or of another checkpoint
    parts: Callable[[], dict]
    config: TrainConfig
    seed: int = 0


RECIPES: dict[str, Recipe] = {
    "nano-base": Recipe("nano", base_parts, TrainConfig(800_000, 1024, 1024, lr=2e-3)),
    "nano-think": Recipe(
        "nano-base", lambda: think_parts(3), TrainConfig(5_000_000, 1024, 1024, lr=2e-3)
    ),
    # A demonstrator that gives up after every second failure: where reinforcement learning has something to win.
    "nano-gives-up": Recipe(
        "nano-base",
        lambda: think_parts(3, Style(give_up=0.5)),
        TrainConfig(5_000_000, 1024, 1024, lr=2e-3),
    ),
    "base": Recipe("micro", base_parts, TrainConfig(1_000_000, 1024, 1024, lr=1e-3)),
    "think": Recipe("base", lambda: think_parts(4), TrainConfig(10_000_000, 1024, 1024, lr=1e-3)),
}


def make(
    name: str, run_dir: str | Path | None = None, out: str | Path | None = None, **train_options
) -> Path:
    """Train a named checkpoint (resuming an interrupted run) and save it; returns its folder.

    Its parent is taken from the shipped checkpoints. Raises `ValueError` for an unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown checkpoint {name!r}; choose from {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    device = machine.default_device()
    if recipe.parent in SIZES:
        model = build_model(recipe.parent, recipe.seed).to(device)
    else:
        model = load(recipe.parent, device)[0]
    run_dir = Path(run_dir or outputs_dir() / "runs" / name)
    log = train(
        model,
        Mixture(recipe.parts(), build_tokenizer(), recipe.seed),
        recipe.config,
        run_dir,
        label=name,
        **train_options,
    )
    if log.rows[-1]["tokens"] < recipe.config.tokens:
        return run_dir
    card = new_card(
        name,
        model,
        recipe.parent,
        asdict(recipe.config),
        sum(r["seconds"] for r in log.rows) / 60,
        seed=recipe.seed,
        tokens=log.rows[-1]["tokens"],
        updates=log.rows[-1]["step"],
        loss=round(log.rows[-1]["loss"], 4),
    )
    if name != "base" and not name.endswith("-base"):
        card["scores"] = scores(model, 3 if name.startswith("nano") else 4)
    folder = save(model, out or outputs_dir() / "checkpoints" / name, card)
    shutil.copy(run_dir / "log.csv", folder / "log.csv")
    return folder


def scores(model: LlamaForCausalLM, n_numbers: int, n: int = 500) -> dict[str, float]:
    """Success of one greedy chain of at most 512 tokens on the validation splits (at most `n`
    puzzles each).
    """
    task, policy = Countdown(n_numbers), Policy(model, build_tokenizer())
    found = {}
    for split in ("val_inputs", "val_targets"):
        results = greedy_results(policy, task, task.problems(split, n))
        right = sum(correct for correct, _ in results)
        found[f"{split}, {n_numbers} numbers"] = round(right / len(results), 4)
    return found


def greedy_results(policy, task, problems, max_new_tokens: int = 512) -> list[tuple[bool, int]]:
    """(right, tokens) of one greedy chain for every problem."""
    prompts = [task.prompt(problem) for problem in problems]
    groups = policy.sample(prompts, temperature=0.0, max_new_tokens=max_new_tokens)
    return [
        (task.verify(problem, chain.text).correct, len(chain.token_ids))
        for problem, [chain] in zip(problems, groups, strict=True)
    ]
