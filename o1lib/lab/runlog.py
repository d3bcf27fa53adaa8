"""Run logs: one CSV file per run, appended row by row, from which every curve redraws without
training.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path


class RunLog:
    """Appends rows to a CSV file and keeps them in `rows`.

    Args:
        path: the file; an existing one is continued.
        keep: which rows of an existing file to keep, e.g. those before the update from which a run
            resumes.

    New columns may appear later in a run: the file is then rewritten with the wider header.
    """

    def __init__(self, path: str | Path, keep: Callable[[dict], bool] = lambda row: True):
        self.path = Path(path)
        self.rows: list[dict] = []
        self.fields: list[str] = []
        self._file = None
        if self.path.exists():
            self.rows = [row for row in read_log(self.path) if keep(row)]
            self._rewrite()

    def write(self, row: dict) -> None:
        self.rows.append(row)
        if any(name not in self.fields for name in row):
            self._rewrite()
        else:
            csv.DictWriter(self._file, self.fields).writerow(_rounded(row))
            self._file.flush()

    def _rewrite(self) -> None:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for row in self.rows:
            self.fields += [name for name in row if name not in self.fields]
        self._file = self.path.open("w", newline="")
        writer = csv.DictWriter(self._file, self.fields)
        writer.writeheader()
        writer.writerows(map(_rounded, self.rows))
        self._file.flush()

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


def read_log(path: str | Path) -> list[dict]:
    """The rows of a run log, numbers as numbers."""
    with Path(path).open(newline="") as file:
        return [
            {name: _number(value) for name, value in row.items()} for row in csv.DictReader(file)
        ]


def _number(text: str | None):
    try:
        return float(text) if "." in text or "e" in text else int(text)
    except (TypeError, ValueError):
        return text


def column(rows: Iterable[dict], name: str) -> list[float]:
    """The numbers of a column of some rows, rows without it left out."""
    return [row[name] for row in rows if isinstance(row.get(name), (int, float))]
