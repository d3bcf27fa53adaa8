"""The shipped checkpoints: how each is made, saved, named and loaded.

A checkpoint is a folder that `AutoModelForCausalLM.from_pretrained` reads: weights in bfloat16
(safetensors), config, tokenizer, and `card.json` with the command, the seed, the parent and its
hash, the time it took and its scores.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from o1lib.lab import machine
from o1lib.lab.paths import data_dir, file_hash, outputs_dir
from o1lib.policy.corpus import Mixture, base_parts, think_parts
from o1lib.policy.model import SIZES, build_model
from o1lib.policy.tokenizer import build_tokenizer
from o1lib.policy.train import TrainConfig, train
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
    "base": Recipe("micro", base_parts, TrainConfig(1_000_000, 1024, 1024, lr=1e-3)),
    "think": Recipe("base", lambda: think_parts(4), TrainConfig(10_000_000, 1024, 1024, lr=1e-3)),
}


def find(name: str | Path) -> Path:
    """The folder of a checkpoint: a folder of one's own, one made by `o1lib train` (first), or a
    shipped one.

    Raises `ValueError`, with what there is, when it is missing or incomplete.
    """
    candidates = [Path(name), data_dir() / "checkpoints" / str(name)]
    for folder in candidates:
        if (
            folder.is_dir()
            and (folder / "config.json").exists()
            and (folder / "model.safetensors").exists()
        ):
            return folder
    incomplete = next((str(c) for c in candidates if c.is_dir()), None)
    if incomplete:
        raise ValueError(
            f"{incomplete} is not a checkpoint: it needs config.json and model.safetensors"
        )
    shipped = sorted(p.name for p in (data_dir() / "checkpoints").glob("*") if p.is_dir())
    raise ValueError(
        f"there is no checkpoint {str(name)!r}; shipped: {', '.join(shipped) or 'none'}; or give a folder"
    )


def load(
    name: str | Path, device: str = "cpu", kind=AutoModelForCausalLM
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The model (float32, evaluation mode; a class of transformers by `kind`) and tokenizer of a
    checkpoint. Raises `ValueError` when it cannot be read.
    """
    folder = find(name)
    try:
        model, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except (
        Exception
    ) as error:  # transformers and safetensors raise many kinds for truncated or foreign files
        raise ValueError(
            f"the checkpoint {folder} cannot be read ({type(error).__name__}): {' '.join(str(error).split())[:300]}"
        ) from error
    for what, keys in (
        ("lacks", report["missing_keys"]),
        ("has, beside it,", report["unexpected_keys"]),
    ):
        if keys:
            raise ValueError(
                f"the checkpoint {folder} is no {type(model).__name__}: it {what} {sorted(keys)[0]}"
            )
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    ids = [*tokenizer.get_vocab().values(), *special - {None}]
    if None in special or max(ids) >= model.config.vocab_size:
        raise ValueError(f"the checkpoint {folder} has a tokenizer that is not the model's")
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"the checkpoint {folder} has weights that are not finite numbers")
    return model.to(device).eval(), tokenizer


def save(model: LlamaForCausalLM, folder: str | Path, card: dict) -> Path:
    """Write a checkpoint folder; an older one of that name is replaced only once the new one is
    complete.
    """
    folder = Path(folder)
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    state = {
        k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in model.state_dict().items()
    }
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    model.config.save_pretrained(partial)
    from safetensors.torch import save_file

    save_file(state, partial / "model.safetensors", metadata={"format": "pt"})
    build_tokenizer().save_pretrained(partial)
    (partial / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def card_of(name: str | Path) -> dict:
    return json.loads((find(name) / "card.json").read_text())


def new_card(name: str, model, parent: str, config: dict, minutes: float, **more) -> dict:
    """What a checkpoint's card says: the command, the parent and its hash, the recipe, what it cost, and `more`."""
    shipped = parent not in SIZES
    return {
        "name": name,
        "command": f"o1lib train {name}",
        "seed": 0,
        "parent": parent,
        "parent_hash": file_hash(find(parent) / "model.safetensors") if shipped else None,
        "weights": model.num_parameters(),
        "config": config,
        "minutes": round(minutes, 1),
        "machine": machine.describe(),
        "scores": {},
    } | more


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
    if name.endswith("think"):
        card["scores"] = scores(model, 3 if name.startswith("nano") else 4)
    folder = save(model, out or outputs_dir() / "checkpoints" / name, card)
    shutil.copy(run_dir / "log.csv", folder / "log.csv")
    return folder


def scores(model: LlamaForCausalLM, n_numbers: int, n: int = 500) -> dict[str, float]:
    """Success of one greedy chain of at most 512 tokens on the validation splits (at most `n`
    puzzles each).
    """
    from o1lib.policy.policy import Policy  # a policy loads checkpoints, so it is imported late

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
