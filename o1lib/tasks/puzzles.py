"""Puzzles to evaluate on: from files that people have, or from the splits.

Used by `o1lib evaluate`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from o1lib.tasks.base import SPLITS
from o1lib.tasks.countdown import Countdown, Problem


def read_puzzles(path: str | Path) -> list[Problem]:
    """Puzzles from JSON lines `{"numbers": [..], "target": 24}`, from a CSV file with a `Puzzles`
    column (target 24), or, where there is no such file, from a split: `game24`, `val_targets:3` (three
    numbers), `val_inputs:4:300` (the first 300).

    A puzzle of up to four numbers that has no solution is refused (with more numbers that would take too long to know).

    Raises `ValueError` that names the line, and `OSError` when the file cannot be read.
    """
    name, *sizes = str(path).split(":")
    if name in SPLITS and not Path(path).exists():
        if len(sizes) > 2 or not all(size.isascii() and size.isdigit() for size in sizes):
            raise ValueError(
                f"a split reads NAME, NAME:NUMBERS or NAME:NUMBERS:HOW_MANY, got {path}"
            )
        numbers = int(sizes[0]) if sizes else 4
        count = int(sizes[1]) if len(sizes) > 1 else None
        if count == 0:
            raise ValueError(f"{path} asks for no puzzles")
        return Countdown(numbers).problems(name, count)
    if not Path(path).exists():
        raise ValueError(f"there is no file {path}, and no split {name!r}: {', '.join(SPLITS)}")
    path, task = Path(path), Countdown()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file ({error.reason})") from error
    if not text.strip():
        raise ValueError(f"{path} is empty")
    rows = _json_rows if text.lstrip().startswith("{") else _csv_rows
    try:
        puzzles = [_problem(task, *row) for row in rows(text)]
    except _BadLine as error:
        line, reason = error.args
        raise ValueError(f"{path}, line {line}: {reason}") from error
    if not puzzles:
        raise ValueError(f"{path} has no puzzles")
    return puzzles


class _BadLine(Exception):
    """The number of a line that cannot be used, and the reason."""


def _problem(task: Countdown, line: int, numbers, target) -> Problem:
    try:
        problem = task.problem(numbers, target)
    except ValueError as error:
        raise _BadLine(line, error) from error
    if len(problem.numbers) <= 4 and not task.solvable(problem, integers=False):
        shown = f"nothing makes {problem.target} from {' '.join(map(str, problem.numbers))}"
        raise _BadLine(line, f"the puzzle is impossible: {shown}")
    return problem


def _json_rows(text: str) -> Iterator[tuple[int, object, object]]:
    """(line, numbers, target) of JSON lines."""
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            entry = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _BadLine(line, f"not JSON ({error})") from error
        if not isinstance(entry, dict) or "numbers" not in entry:
            raise _BadLine(line, f"expected an object with 'numbers', got {content.strip()[:60]!r}")
        yield line, entry["numbers"], entry.get("target", 24)


def _csv_rows(text: str) -> Iterator[tuple[int, list[int], int]]:
    """(line, numbers, target) of a CSV with a column `Puzzles`, and perhaps one `target`."""
    reader, begun = csv.DictReader(io.StringIO(text, newline=""), strict=True), 1
    try:
        if "Puzzles" not in (reader.fieldnames or []):
            raise _BadLine(1, "expected JSON lines, or a CSV header with a 'Puzzles' column")
        begun = 2
        for row in reader:
            numbers = _csv_numbers("Puzzles", row["Puzzles"], begun)
            target = _csv_numbers("target", row.get("target") or "24", begun)
            yield begun, numbers, target[0] if len(target) == 1 else target
            begun = reader.line_num + 1
    except csv.Error as error:
        raise _BadLine(begun, f"not CSV ({error})") from error


def _csv_numbers(name: str, cell: str | None, line: int) -> list[int]:
    words = (cell or "").split(" ")
    if not all(w.isascii() and w.isdigit() and len(w) < 19 for w in words if w) or not any(words):
        raise _BadLine(line, f"{name!r} must be numbers with spaces, got {cell!r:.60}")
    return [int(word) for word in words if word]
