"""Run logs: one CSV file per run, appended row by row, from which every curve redraws without
training.

A kill loses nothing: rows are appended, and where the file must be written anew (a new column, rows
cut on resume) the new one is complete before it takes the old one's place.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path


class RunLog:
    """Appends rows to a CSV file and keeps them in `rows`.

    Args:
        path: the file; an existing one is continued.
        keep: which rows of an existing file to keep, e.g. those before the update from which a run
            resumes.

    New columns may appear later in a run: the file is then written anew with the wider header.
    """

    def __init__(self, path: str | Path, keep: Callable[[dict], bool] = lambda row: True):
        self.path = Path(path)
        self.rows: list[dict] = []
        self.fields: list[str] = []
        self._file = None
        if self.path.exists():
            found = read_log(self.path)
            self.rows = [row for row in found if keep(row)]
            self.fields = list(found[0]) if found else []
            if len(self.rows) < len(found) or not _whole(self.path):
                self._rewrite()

    def write(self, row: dict) -> None:
        self.rows.append(row)
        if any(name not in self.fields for name in row):
            self._rewrite()
            return
        if self._file is None:
            self._file = self.path.open("a", newline="", encoding="utf-8")
        csv.DictWriter(self._file, self.fields).writerow(_rounded(row))
        self._file.flush()

    def _rewrite(self) -> None:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for row in self.rows:
            self.fields += [name for name in row if name not in self.fields]
        partial = self.path.with_name(self.path.name + ".part")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields)
            writer.writeheader()
            writer.writerows(map(_rounded, self.rows))
        os.replace(partial, self.path)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def column(self, name: str) -> list[float]:
        """The numbers of a column, rows without it left out."""
        return column(self.rows, name)


def _rounded(row: dict) -> dict:
    return {
        name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()
    }


def _whole(path: Path) -> bool:
    """Whether the last line was written to its end."""
    return path.read_bytes()[-1:] in (b"\n", b"")


def read_log(path: str | Path) -> list[dict]:
    """The rows of a run log, numbers as numbers; a last line that was cut by a kill is left out."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(lines)]


def _number(text: str | None):
    try:
        return float(text) if "." in text or "e" in text else int(text)
    except (TypeError, ValueError):
        return text


def column(rows: Iterable[dict], name: str) -> list[float]:
    """The numbers of a column of some rows, rows without it left out."""
    return [row[name] for row in rows if isinstance(row.get(name), (int, float))]
