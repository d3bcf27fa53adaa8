"""The saved state of a training: weights, optimizers and position in one safetensors file, replaced
atomically.

A state belongs to one run, which is named by everything that decides it (`o1lib.lab.identity`). A
folder of another run is refused with what differs, and two runs in one folder at the same time: the
second refuses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from o1lib.lab.files import held
from o1lib.lab.identity import describe, differences

NAME = "state.safetensors"


@contextmanager
def only_run(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder while the block runs. The system lets go of it when the process dies,
    however it dies.

    Raises `ValueError` while another run holds it.
    """
    refusal = f"another run is at work in {run_dir}; wait for it or choose another folder"
    with held(run_dir / "run.lock", refusal):
        yield


def save_state(run_dir: Path, learner, identity: dict, position: dict) -> None:
    """Write the weights and optimizers of a learner. `identity` says which run it is, `position`
    where in it (JSON).
    """
    now = {role: describe(model) for role, model in learner.models.items()}
    tensors = {}
    for role, model in learner.models.items():
        names = {p: n for n, p in model.model.named_parameters()}
        same = role not in learner.optimizers and now[role] == identity["weights"][role]
        if same and position["step"]:
            continue  # it is what it was
        tensors |= {f"{role}.model.{n}": p.detach() for p, n in names.items()}
        groups = learner.optimizers[role].param_groups if role in learner.optimizers else []
        for p in [p for group in groups for p in group["params"]]:
            for key, value in learner.optimizers[role].state.get(p, {}).items():
                tensors[f"{role}.optimizer.{names[p]}.{key}"] = value
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    decays = {
        role: optimizer.param_groups[0]["weight_decay"]
        for role, optimizer in learner.optimizers.items()
    }
    metadata = {"identity": identity, "position": position, "optimizers": decays, "now": now}
    partial = run_dir / f"{NAME}.part"
    save_file(tensors, partial, metadata={key: json.dumps(x) for key, x in metadata.items()})
    os.replace(partial, run_dir / NAME)


def load_state(run_dir: Path, learner, identity: dict) -> dict | None:
    """Restore a saved run in place and return its position; None when there is nothing to restore.

    Raises `ValueError` for a file that cannot be read, or that belongs to another run: then nothing
    is changed.
    """
    path = run_dir / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = {key: json.loads(text) for key, text in file.metadata().items()}
            position = metadata["position"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); delete it to start this run again"
        ) from error
    different = differences(metadata.get("identity"), _as_begun(identity, metadata))
    if different:
        raise ValueError(
            f"{run_dir} holds another run: it differs in {', '.join(different[:4])}. "
            "Delete the folder or choose another"
        )
    identity |= metadata["identity"]  # its own, also where models come as it left them
    for role, model in learner.models.items():
        _restore(learner, role, model.model, tensors, metadata["optimizers"])
    return position


def _as_begun(identity: dict, saved: dict) -> dict:
    """The identity, with models that are as the saved run left them (an interrupted cell run again)
    as they were at its start.
    """
    identity = json.loads(json.dumps(identity))
    for role, weights in identity["weights"].items():
        begun = saved.get("identity", {}).get("weights", {})
        if role in begun and weights == saved.get("now", {}).get(role):
            identity["weights"][role] = begun[role]
    return identity


def _restore(learner, role: str, network, tensors: dict, decays: dict) -> None:
    """One model's weights and, where it has been trained, its optimizer."""
    with torch.no_grad():
        for name, p in network.named_parameters():
            if f"{role}.model.{name}" in tensors:
                p.copy_(tensors[f"{role}.model.{name}"])
    if role not in decays:
        return
    optimizer = learner.optimizer(role, decays[role])
    for name, p in network.named_parameters():
        prefix = f"{role}.optimizer.{name}."
        found = {
            key.removeprefix(prefix): value.to(p.device) if value.ndim else value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if found:
            optimizer.state[p] = found
