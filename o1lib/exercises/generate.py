"""The exercises a reader gets, made from the solutions: `python -m o1lib.exercises.generate`.

The sources, notebooks/solutions/*.ipynb, are in nbgrader's format (schema 3), so that a teacher can
use them with nbgrader as they are. What this makes is what `nbgrader generate_assignment` makes
with the settings of notebooks/solutions/nbgrader_config.py (version 0.9.6, cell by cell), without
the need to install it; only the checksums, which nbgrader's own grading wants, are left out.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

from o1lib.lab.paths import ROOT

SOLUTIONS, EXERCISES = ROOT / "notebooks" / "solutions", ROOT / "notebooks" / "exercises"
STUB = 'raise NotImplementedError("your code here")'
_SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.M | re.S)
_HIDDEN = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?^[ \t]*### END HIDDEN TESTS\n?", re.M | re.S
)


def stub_of(source: str) -> str:
    """A solution cell with its marked regions replaced by a stub, the signature and docstring kept.

    Raises `ValueError` for a cell without a marked region, which would give the solution away.
    """
    stub, count = _SOLUTION.subn(rf"\1{STUB}", source)
    if not count or "### BEGIN SOLUTION" in stub or "### END SOLUTION" in stub:
        raise ValueError(f"a solution cell needs closed solution marks: {source[:60]!r}")
    return stub


def exercise_of(notebook: dict) -> dict:
    """The exercise notebook that belongs to a solution notebook (both as read from JSON)."""
    exercise = copy.deepcopy(notebook)
    for cell in exercise["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        source = "".join(cell["source"])
        if marks.get("solution"):
            source = stub_of(source)
        source = _HIDDEN.sub("", source).rstrip("\n")
        if "### BEGIN" in source or "### END" in source:
            raise ValueError(f"a mark is left over in the cell {source[:60]!r}")
        if marks.get("solution") or marks.get("locked"):
            cell["metadata"]["deletable"] = False
        if marks.get("locked"):
            cell["metadata"]["editable"] = False
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        cell["source"] = source.splitlines(keepends=True)
    return exercise


def text_of(notebook: dict) -> str:
    """A notebook as it is written to disk."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def generate(solutions: Path = SOLUTIONS, out: Path = EXERCISES) -> list[Path]:
    """Write the exercise notebook of every solution notebook; returns the paths written."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(solutions.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        target = out / path.name
        target.write_text(text_of(exercise_of(notebook)), encoding="utf-8")
        written.append(target)
    return written


if __name__ == "__main__":
    for path in generate():
        print(path.relative_to(ROOT))
