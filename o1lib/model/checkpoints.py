"""Checkpoints: how one is saved, named and loaded.

A checkpoint is a folder that `AutoModelForCausalLM.from_pretrained` reads: weights in bfloat16
(safetensors), config, tokenizer, and `card.json` with the command, the seed, the parent and its
hash, the time it took and its scores.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from o1lib.lab import machine
from o1lib.lab.paths import data_dir, file_hash, outputs_dir
from o1lib.model.network import SIZES
from o1lib.model.tokenizer import build_tokenizer


def find(name: str | Path) -> Path:
    """The folder of a checkpoint: a folder of one's own, one made by `o1lib train` (first), or a
    shipped one.

    Raises `ValueError`, with what there is, when it is missing or incomplete.
    """
    candidates = [Path(name)] + [
        place / "checkpoints" / str(name) for place in (outputs_dir(), data_dir())
    ]
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
