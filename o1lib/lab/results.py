"""The main numbers of a notebook: reported in a cell, checked against `expected` by the runner."""

from __future__ import annotations

import json
from pathlib import Path

from IPython.display import display

from o1lib.lab.paths import ROOT

MIME = "application/vnd.o1lib.result+json"


def expected_file(notebook: str) -> Path:
    """Where the expected numbers of a notebook are: scale -> name -> [value, tolerance]."""
    return ROOT / "notebooks" / "expected" / f"{notebook}.json"


def report(name: str, value: float) -> None:
    """Report a main number of the notebook: shown as text, and readable by `o1lib run`."""
    value = float(value)
    display({MIME: {"name": name, "value": value}, "text/plain": f"{name}: {value:.4g}"}, raw=True)


def reported(notebook: dict) -> dict[str, float]:
    """All numbers that an executed notebook reported."""
    found = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            result = output.get("data", {}).get(MIME)
            if result:
                found[result["name"]] = result["value"]
    return found


def compare(
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
    return json.loads(path.read_text()).get(scale, {}) if path.exists() else {}


def accept(notebook: str, scale: str, found: dict[str, float]) -> None:
    """Record the numbers of a run as the expected ones; tolerances that were set by hand stay."""
    default = (
        0.3 if scale == "ci" else 0.12
    )  # fewer puzzles at ci: rates spread more between machines, float32 samples differ from bfloat16 ones
    path = expected_file(notebook)
    table = json.loads(path.read_text()) if path.exists() else {}
    before = table.get(scale, {})
    table[scale] = {
        name: [round(value, 4), before.get(name, [None, default])[1]]
        for name, value in found.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1) + "\n")
