"""The saved state of a training: weights, optimizer and position in one safetensors file, replaced atomically.

Both trainers (supervised, reinforcement) stand on it, so both resume exactly.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

NAME = "state.safetensors"


def save_state(run_dir: Path, model, optimizer, settings: dict, position: dict) -> None:
    """Write the state. `settings` say which run it belongs to, `position` where in it; both are JSON."""
    names = {p: n for n, p in model.named_parameters()}
    tensors = {f"model.{n}": p.detach() for n, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            for key, value in optimizer.state.get(p, {}).items():
                tensors[f"optimizer.{names[p]}.{key}"] = value
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    partial = run_dir / f"{NAME}.part"
    metadata = {"settings": json.dumps(settings), "position": json.dumps(position)}
    save_file(tensors, partial, metadata=metadata)
    os.replace(partial, run_dir / NAME)


def load_state(run_dir: Path, model, optimizer, settings: dict) -> dict | None:
    """Restore a saved run in place and return its position; None when there is nothing to restore.

    Raises `ValueError` for a file that cannot be read, or that belongs to other settings or another model.
    """
    path = run_dir / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = {key: json.loads(text) for key, text in file.metadata().items()}
            saved, position = metadata["settings"], metadata["position"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); delete it to start this run again"
        ) from error
    if saved != json.loads(json.dumps(settings)):
        raise ValueError(
            f"{path} belongs to another configuration; delete it or choose another folder"
        )
    with torch.no_grad():
        for name, p in model.named_parameters():
            if f"model.{name}" not in tensors or tensors[f"model.{name}"].shape != p.shape:
                raise ValueError(
                    f"{path} belongs to another model; delete it or choose another folder"
                )
            p.copy_(tensors[f"model.{name}"])
    for name, p in model.named_parameters():
        prefix = f"optimizer.{name}."
        found = {
            key.removeprefix(prefix): value.to(p.device) if value.ndim else value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if found:
            optimizer.state[p] = found
    return position
