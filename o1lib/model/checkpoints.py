"""Checkpoints: how one is saved, named and loaded.

A checkpoint is a folder that `AutoModelForCausalLM.from_pretrained` reads: weights in bfloat16
(safetensors), config, tokenizer, and `card.json` with the command, the seed, the parent and its
hash, the time it took and its scores. Any Hugging Face folder of a causal language model can be
loaded as well: in one file or sharded, without a card, without `<bos>`, `<pad>` or chat template.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from o1lib.lab import machine
from o1lib.lab.paths import data_dir, file_hash, outputs_dir
from o1lib.model.foreign import end_tokens
from o1lib.model.network import SIZES
from o1lib.model.tokenizer import build_tokenizer

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"


def find(name: str | Path) -> Path:
    """The folder of a checkpoint: a folder of one's own; or, for a plain name, one made by
    `o1lib train` (under `outputs_dir()`), else a shipped one.

    Raises `ValueError`, with what there is, when it is missing or incomplete.
    """
    candidates = [Path(name)]
    if Path(name).name == str(name):
        homes = [outputs_dir() / "checkpoints", data_dir() / "checkpoints"]
        candidates += [home / str(name) for home in homes]
    folders = [folder for folder in candidates if folder.is_dir()]
    for folder in folders:
        if not _lacks(folder):
            return folder
    if folders:
        raise ValueError(f"{folders[0]} is not a checkpoint: {_lacks(folders[0])}")
    shipped = sorted(p.name for p in (data_dir() / "checkpoints").glob("*") if p.is_dir())
    raise ValueError(
        f"there is no checkpoint {str(name)!r}; shipped: {', '.join(shipped) or 'none'}; "
        "or give a folder"
    )


def _lacks(folder: Path) -> str | None:
    """What a folder lacks to be loaded, as half a sentence, or None."""
    if not (folder / "config.json").exists():
        return "it has no config.json"
    if (folder / WEIGHTS).exists() or (folder / SHARDS).exists():
        return None
    for ending in ("bin", "pt", "pth", "gguf", "safetensors"):
        others = sorted(folder.glob(f"*.{ending}"))
        if others:
            return f"its weights are {others[0].name}, and only {WEIGHTS} (or {SHARDS}) is read"
    return f"it has no weights ({WEIGHTS}, or {SHARDS} and its files)"


def weights_hash(name: str | Path) -> str:
    """The hash of a checkpoint's weights: that of their file, or of the hashes of all their
    shards.
    """
    folder = find(name)
    if (folder / WEIGHTS).exists():
        return file_hash(folder / WEIGHTS)
    index = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
    shards = sorted(set(index["weight_map"].values()))
    joined = " ".join(file_hash(folder / shard) for shard in shards)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of transformers within the block."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load(
    name: str | Path, device: str = "cpu", kind=AutoModelForCausalLM
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model (float32, evaluation mode; a class of transformers by `kind`) and tokenizer of a
    checkpoint. Raises `ValueError` when it cannot be read or used.
    """
    folder = find(name)
    # What tokenizer.json says is what the model was trained with; the class of a model's tokenizer
    # may put together another one. Only without that file is it asked.
    fast = (folder / "tokenizer.json").exists()
    tokenizers = PreTrainedTokenizerFast if fast else AutoTokenizer
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
            tokenizer = tokenizers.from_pretrained(folder, local_files_only=True)
    except (
        Exception
    ) as error:  # transformers and safetensors raise many kinds for truncated or foreign files
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(f"the checkpoint {folder} cannot be read ({reason})") from error
    for what, keys in (
        ("lacks", report["missing_keys"]),
        ("has, beside it,", report["unexpected_keys"]),
    ):
        if keys:
            raise ValueError(
                f"the checkpoint {folder} is no {type(model).__name__}: it {what} {sorted(keys)[0]}"
            )
    named = tokenizer.vocab_files_names.values()
    if not fast and not any((folder / file).exists() for file in named):
        raise ValueError(f"the checkpoint {folder} has no tokenizer (tokenizer.json)")
    _check_vocabulary(model, tokenizer, f"the checkpoint {folder}")
    if not end_tokens(model, tokenizer):
        raise ValueError(f"the checkpoint {folder} names no end token, so no text would ever end")
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"the checkpoint {folder} has weights that are not finite numbers")
    return model.to(device).eval(), tokenizer


def _check_vocabulary(model, tokenizer, what: str) -> None:
    """Raise `ValueError` for a tokenizer with ids that the model has no embedding for; fewer are
    allowed, as many models pad their embeddings.
    """
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    ids = [*tokenizer.get_vocab().values(), *(i for i in special if i is not None)]
    size = model.config.get_text_config().vocab_size
    if not ids or max(ids) >= size:
        raise ValueError(
            f"{what} has a tokenizer that is not the model's: its ids go to {max(ids, default=0)}, "
            f"the model has embeddings for 0 to {size - 1}"
        )


def save(
    model: PreTrainedModel,
    folder: str | Path,
    card: dict,
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> Path:
    """Write a checkpoint folder; an older one of that name is replaced only once the new one is
    complete.

    Args:
        tokenizer: the model's; by default ours.

    Raises `ValueError` when the tokenizer cannot be the model's.
    """
    size = model.config.get_text_config().vocab_size
    if tokenizer is None:
        tokenizer = build_tokenizer()
        if len(tokenizer) != size:
            raise ValueError(
                f"a model with a vocabulary of {size} is not one of ours ({len(tokenizer)}): "
                "give its tokenizer, too"
            )
    _check_vocabulary(model, tokenizer, "the model")
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
    stops = end_tokens(model, tokenizer)
    if set(stops) != {tokenizer.eos_token_id}:
        GenerationConfig(eos_token_id=list(stops)).save_pretrained(partial)
    save_file(state, partial / WEIGHTS, metadata={"format": "pt"})
    tokenizer.save_pretrained(partial)
    (partial / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def card_of(name: str | Path) -> dict:
    """A checkpoint's card."""
    return json.loads((find(name) / "card.json").read_text(encoding="utf-8"))


def new_card(name: str, model, parent: str, config: dict, minutes: float, **more) -> dict:
    """What a checkpoint's card says: the command, the parent and its hash, the recipe, what it
    cost, and `more`.
    """
    shipped = parent not in SIZES
    return {
        "name": name,
        "command": f"o1lib train {name}",
        "seed": 0,
        "parent": parent,
        "parent_hash": weights_hash(parent) if shipped else None,
        "weights": model.num_parameters(),
        "config": config,
        "minutes": round(minutes, 1),
        "machine": machine.describe(),
        "scores": {},
    } | more
