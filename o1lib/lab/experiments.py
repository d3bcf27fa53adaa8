"""Experiments: arms x seeds into one tidy table, from which notebooks draw.

An experiment is a value: named arms, each a function of a seed that yields measurements. What is
finished is kept, a killed run is made again, and a part (`arms=`, `seeds=`) adds to the table.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from o1lib.lab import machine
from o1lib.lab.files import exclusive, write_text
from o1lib.lab.paths import PACKAGE, code_version, data_dir, outputs_dir

COLUMNS = ("arm", "seed", "step", "metric", "value", "tokens", "seconds", "machine", "code")
TYPES = {"seed": int, "step": int, "value": float, "tokens": int, "seconds": float}

Arm = Callable[[int, Path], Iterable[Mapping]]


@dataclass(frozen=True)
class Experiment:
    """Arms to compare over seeds.

    Args:
        arms: name -> function of (seed, folder) that yields rows `{"metric": ..., "value": ...}`,
            perhaps with `step` and `tokens` (else 0). The folder is the run's own: a training that
            saves its state there goes on where it was killed.
        seeds: how many runs an arm has: seeds 0, 1, ...
        doc: what it asks, in a sentence.
    """

    name: str
    arms: Mapping[str, Arm]
    seeds: int = 5
    doc: str = ""


def experiment_file(name: str) -> Path:
    """The shipped table of an experiment."""
    return data_dir() / "experiments" / f"{name}.csv"


def read_experiment(name: str | Path) -> list[dict]:
    """The rows of an experiment's table (a name, or a file), numbers as numbers.

    Raises `ValueError` when there is no such table.
    """
    path = Path(name) if str(name).endswith(".csv") else experiment_file(str(name))
    if not path.exists():
        raise ValueError(f"there is no table {path}: make it by o1lib experiment {path.stem}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: TYPES.get(key, str)(value) for key, value in row.items()} for row in rows]


def of_seeds(rows: Sequence[Mapping], arm: str, metric: str, first: bool = False) -> np.ndarray:
    """One number a seed, in their order: what its run measured last, or first.

    Raises `ValueError` where the arm has no such measurement.
    """
    found: dict[int, tuple[int, float]] = {}
    for row in rows:
        if (row["arm"], row["metric"]) == (arm, metric):
            step, _ = found.get(row["seed"], (None, 0.0))
            if step is None or (row["step"] < step if first else row["step"] >= step):
                found[row["seed"]] = (row["step"], row["value"])
    if not found:
        raise ValueError(f"the table has no rows of {metric!r} for the arm {arm!r}")
    return np.array([found[seed][1] for seed in sorted(found)])


def run_experiment(
    experiment: Experiment,
    *,
    seeds: int | None = None,
    arms: Sequence[str] | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Run what the table lacks, and return the table's path.

    Args:
        seeds: runs an arm; by default the experiment's own number.
        arms: names of some arms; by default all.
        out: the table; by default `data/experiments/NAME.csv` (of an installed package: one under
            `outputs/`, for its own are not to be changed).

    Raises `ValueError` for an unknown arm, for rows that are no measurements, and when another
    process is making this table.
    """
    arms = list(experiment.arms) if arms is None else list(arms)
    if unknown := [arm for arm in arms if arm not in experiment.arms]:
        raise ValueError(
            f"{experiment.name} has no arm {unknown[0]!r}; choose from {', '.join(experiment.arms)}"
        )
    seeds = experiment.seeds if seeds is None else seeds
    if seeds < 1:
        raise ValueError(f"an experiment needs at least one seed, got {seeds}")
    out = Path(out or _new_table(experiment.name))
    with exclusive(out):
        rows = read_experiment(out) if out.exists() else []
        finished = {(row["arm"], row["seed"]) for row in rows}
        # Seed by seed, so that a table stopped early has all arms on equal terms.
        missing = [(arm, s) for s in range(seeds) for arm in arms if (arm, s) not in finished]
        bar = tqdm(missing, desc=experiment.name, unit="run", disable=not progress)
        for arm, seed in bar:
            bar.set_postfix_str(f"{arm}, seed {seed}")
            rows += _run(experiment, arm, seed)
            write_text(out, _table(rows))
    return out


def _new_table(name: str) -> Path:
    shipped = experiment_file(name)
    return outputs_dir() / "experiments" / shipped.name if PACKAGE in shipped.parents else shipped


def _run(experiment: Experiment, arm: str, seed: int) -> list[dict]:
    folder = outputs_dir() / "experiments" / experiment.name / f"{arm}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    begun, rows = time.monotonic(), []
    for found in experiment.arms[arm](seed, folder):
        row = {"step": 0, "tokens": 0} | dict(found)
        if set(row) != {"step", "tokens", "metric", "value"}:
            raise ValueError(
                f"arm {arm!r} of {experiment.name} yields {sorted(found)}; "
                "a row has metric and value, and perhaps step and tokens"
            )
        if not math.isfinite(row["value"]):
            raise ValueError(f"{row['metric']} of arm {arm!r}, seed {seed}, is {row['value']}")
        seconds = round(time.monotonic() - begun, 1)
        rows.append({"arm": arm, "seed": seed, "seconds": seconds} | row | _made_by())
    if not rows:
        raise ValueError(f"arm {arm!r} of {experiment.name} measures nothing")
    return rows


def _made_by() -> dict:
    facts = machine.describe()
    kind = "bfloat16" if facts["bf16"] else "float32"
    where = f"{facts['system']}, {facts['device']}, {facts['threads']} threads, {kind}"
    return {"machine": where, "code": code_version()}


def _table(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"value": f"{row['value']:.6g}"})
    return text.getvalue()
