"""The main numbers of a notebook: reported in a cell, checked against `expected` by the runner."""

from __future__ import annotations

import json
from pathlib import Path

from o1lib.lab.files import write_text
from o1lib.lab.paths import ROOT

MIME = "application/vnd.o1lib.result+json"
DEFAULT_TOLERANCE = {"ci": 0.3}  # fewer puzzles: rates spread more between machines
OTHER_TOLERANCE = 0.12


def expected_file(notebook: str) -> Path:
    """Where the expected numbers of a notebook are: scale -> name -> [value, tolerance]."""
    return ROOT / "notebooks" / "expected" / f"{notebook}.json"


def report(name: str, value: float) -> None:
    """Report a main number of the notebook to `o1lib run`. The reader sees nothing."""
    from IPython.display import display

    display({MIME: {"name": name, "value": float(value)}}, raw=True)


def outputs_of(notebook: dict, kind: str) -> list:
    """All outputs of one MIME type in an executed notebook, in order."""
    return [
        output["data"][kind]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def reported(notebook: dict) -> dict[str, float]:
    """All numbers that an executed notebook reported."""
    return {found["name"]: found["value"] for found in outputs_of(notebook, MIME)}


def check_numbers(
    found: dict[str, float], expected: dict[str, list[float]]
) -> list[tuple[str, float | None, float | None, float | None, bool]]:
    """Rows (name, value, expected, tolerance, ok); a number that is missing or not expected is not
    ok.
    """
    rows = []
    for name in [*expected, *(n for n in found if n not in expected)]:
        value, (wanted, tolerance) = found.get(name), expected.get(name, (None, None))
        ok = value is not None and wanted is not None and abs(value - wanted) <= tolerance
        rows.append((name, value, wanted, tolerance, ok))
    return rows


def load_expected(notebook: str, scale: str) -> dict[str, list[float]]:
    path = expected_file(notebook)
    return json.loads(path.read_text(encoding="utf-8")).get(scale, {}) if path.exists() else {}


def accept(notebook: str, scale: str, found: dict[str, float]) -> None:
    """Record the numbers of a run as the expected ones; tolerances that were set by hand stay."""
    default = DEFAULT_TOLERANCE.get(scale, OTHER_TOLERANCE)
    path = expected_file(notebook)
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    before = table.get(scale, {})
    table[scale] = {
        name: [round(value, 4), before.get(name, [None, default])[1]]
        for name, value in found.items()
    }
    write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
