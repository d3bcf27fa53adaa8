"""The registry: every shipped checkpoint's recipe, and `make`, which follows one.

`o1lib train NAME` is `make(NAME)`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from o1lib.lab import machine
from o1lib.lab.paths import file_hash, outputs_dir
from o1lib.learning.supervised import TrainConfig
from o1lib.model.checkpoints import find, new_card, save
from o1lib.model.network import SIZES
from o1lib.policy.corpus import base_parts, think_parts
from o1lib.policy.traces import Style
from o1lib.policy.worlds import arithmetic_parts, countdown_parts, jugs_parts
from o1lib.recipes.headroom import GIVE_UP
from o1lib.recipes.stages import Rewarded, Supervised, Value
from o1lib.tasks import Arithmetic, Countdown, Jugs

Recipe = Supervised | Rewarded | Value

_NANO = TrainConfig(5_000_000, 1024, 1024, lr=2e-3)
RECIPES: dict[str, Recipe] = {
    "nano-base": Supervised("nano", base_parts, TrainConfig(800_000, 1024, 1024, lr=2e-3)),
    "nano-think": Supervised("nano-base", lambda: think_parts(3), _NANO, (Countdown(3),)),
    # A demonstrator that gives up more often than not: where reinforcement learning has something
    # to win.
    "nano-gives-up": Supervised(
        "nano-base", lambda: think_parts(3, Style(give_up=GIVE_UP)), _NANO, (Countdown(3),)
    ),
    # Straight chains in three worlds, with too little practice to be right every time: what judges
    # and searches have something to win from.
    "nano-arithmetic": Supervised(
        "nano-think",
        arithmetic_parts,
        TrainConfig(250_000, 1024, 1024, lr=2e-3),
        tuple(Arithmetic(n) for n in (4, 5, 6)),
        "solve",
        32,
    ),
    "nano-solve": Supervised(
        "nano-think",
        countdown_parts,
        TrainConfig(500_000, 1024, 1024, lr=2e-3),
        tuple(Countdown(n) for n in (3, 4, 5, 6)),
        "solve",
        64,
    ),
    "nano-jugs": Supervised(
        "nano-think",
        jugs_parts,
        TrainConfig(400_000, 1024, 1024, lr=2e-3),
        tuple(Jugs(n) for n in (2, 3)),
        "solve",
        16,
    ),
    "nano-value": Value("nano-think", 3, 48_000, 4, 1e-3),
    "nano-rl": Rewarded("nano-think", 3, 100, 200, steps=40, prompts=64, lr=1e-4),
    "base": Supervised("micro", base_parts, TrainConfig(1_000_000, 1024, 1024, lr=1e-3)),
    "think": Supervised(
        "base",
        lambda: think_parts(4, Style(misread=0.01)),
        TrainConfig(12_000_000, 1024, 1024, lr=1e-3),
        (Countdown(4),),
        # Then also chains that pass over what they look for and, with nothing left, look again.
        then=(
            lambda: think_parts(4, Style(misread=0.01, overlook=0.25)),
            TrainConfig(4_000_000, 1024, 1024, lr=5e-4),
        ),
    ),
    "think-rl": Rewarded("think", 4, 100, 1024, steps=24, prompts=64, lr=1e-4),
}


def make(
    name: str, run_dir: str | Path | None = None, out: str | Path | None = None, **options
) -> Path:
    """Make a named checkpoint (going on with a stopped run) and save it with its card and logs;
    returns its folder.

    The parent's hash on the card is that of the weights with which the run began: a parent that has
    changed since is refused.

    Args:
        run_dir, out: by default `runs/NAME` and `checkpoints/NAME` under the outputs.
        options: those of `learn`; with `stop_after` the run may end early, and `run_dir` is
            returned.

    Raises `ValueError` for an unknown name, and as `learn` does.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown checkpoint {name!r}; choose from {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    run_dir = Path(run_dir or outputs_dir() / "runs" / name)
    begun = None
    if recipe.parent not in SIZES:
        begun = file_hash(find(recipe.parent) / "model.safetensors")
    made = recipe.build(run_dir, machine.default_device(), **({"label": name} | options))
    if made is None:
        return run_dir
    minutes = sum(sum(log.column("seconds")) for log in made.logs.values()) / 60
    card = new_card(name, made.model, recipe.parent, recipe.settings, minutes, seed=recipe.seed)
    card |= {"parent_hash": begun} | made.card
    folder = save(made.model, out or outputs_dir() / "checkpoints" / name, card)
    for stage, log in made.logs.items():
        shutil.copy(log.path, folder / f"{stage}.csv")
    return folder
