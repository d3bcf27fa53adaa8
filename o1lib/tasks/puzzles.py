"""Puzzles to evaluate on: from files that people have, or from the splits.

A goal is never guessed: a file that names no goal is refused, but for the Game of 24 format (a
column `Puzzles` and nothing that looks like a goal). Every message names the line of the file.

Used by `o1lib evaluate`.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.base import GAME24, SPLITS
from o1lib.tasks.countdown import Countdown, Problem
from o1lib.tasks.jugs import Jugs

WORLDS = {"countdown": Countdown, "arithmetic": Arithmetic, "jugs": Jugs}
NUMBER_KEYS = ("numbers", "nums", "puzzles")
GOAL_KEYS = ("target", "goal")
_NUMBERS = re.compile(r"[0-9]{1,18}(?: +[0-9]{1,18})*\Z")
_LISTED = re.compile(r"\[ *([0-9]{1,18}(?:(?: *, *| +)[0-9]{1,18})*) *\]\Z")
_BLANK = re.compile(r"\s*")


def read_puzzles(path: str | Path, world: str = "countdown") -> list:
    """Puzzles from a file, or, where there is no such file, from a split of a world (`WORLDS`):
    `game24`, `val_targets:3` (three numbers, or jugs), `val_inputs:4:300` (the first 300). A file
    holds puzzles of Countdown:

    * JSON: objects with `numbers` (or `nums`) and `target` (or `goal`), themselves or in their
      `metadata`; one a line, or in a list;
    * CSV with commas, semicolons or tabs: a column `numbers` (`nums`, `Puzzles`), whose cells read
      `4 6 8 8` or `[4, 6, 8, 8]`, and a column `target` (or `goal`). With a column `Puzzles` and
      no goal the goal is 24, as in the file of Tree of Thoughts (Yao et al., 2023).

    Upper and lower case are the same. Files are UTF-8, or UTF-16 with its mark. A puzzle of up to
    four numbers that has no solution is refused (with more, to know would take too long).

    Raises `ValueError` that names the line, and `OSError` when the file cannot be read.
    """
    name, *sizes = str(path).split(":")
    if name in SPLITS and not Path(path).exists():
        return _split(str(path), name, sizes, world)
    if not Path(path).exists():
        raise ValueError(f"there is no file {path}, and no split {name!r}: {', '.join(SPLITS)}")
    if world != "countdown":
        raise ValueError(f"a file holds puzzles of Countdown; of {world} there are splits only")
    text, task = _text(Path(path)), Countdown()
    rows = _json_rows if text.lstrip()[:1] in ("{", "[") else _csv_rows
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


def _split(path: str, name: str, sizes: list[str], world: str) -> list:
    if len(sizes) > 2 or not all(size.isascii() and size.isdigit() for size in sizes):
        raise ValueError(f"a split reads NAME, NAME:NUMBERS or NAME:NUMBERS:HOW_MANY, got {path}")
    count = int(sizes[1]) if len(sizes) > 1 else None
    if count == 0:
        raise ValueError(f"{path} asks for no puzzles")
    task = WORLDS[world](int(sizes[0])) if sizes else WORLDS[world]()
    return task.problems(name, count)


def _text(path: Path) -> str:
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "" if wide else "; save it as UTF-8"
        raise ValueError(f"{path} is not a text file ({error.reason}{hint})") from error
    if "\x00" in text:
        raise ValueError(f"{path} is not a text file (it holds NUL characters; save it as UTF-8)")
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def _problem(task: Countdown, line: int, numbers, target) -> Problem:
    try:
        problem = task.problem(numbers, target)
    except ValueError as error:
        raise _BadLine(line, error) from error
    if len(problem.numbers) <= 4 and not task.solvable(problem, integers=False):
        shown = f"nothing makes {problem.target} from {' '.join(map(str, problem.numbers))}"
        raise _BadLine(line, f"the puzzle is impossible: {shown}")
    return problem


# --- JSON


def _json_rows(text: str) -> Iterator[tuple[int, object, object]]:
    """(line, numbers, target) of JSON objects, one after the other or in one list."""
    for line, entry in _json_entries(text):
        if not isinstance(entry, dict):
            shown = json.dumps(entry, ensure_ascii=False)[:60]
            raise _BadLine(line, f"expected an object with 'numbers' and 'target', got {shown}")
        numbers = _only(line, entry, "numbers", NUMBER_KEYS)
        yield line, numbers, _only(line, entry, "goal", GOAL_KEYS)


def _only(line: int, entry: dict, what: str, keys: tuple[str, ...]):
    """The one value that an object, or its metadata, gives under one of some keys."""
    found, seen = [], []
    for place in (entry, entry.get("metadata")):
        for key, value in place.items() if isinstance(place, dict) else ():
            seen.append(key)
            if key.strip().lower() in keys and value not in found:
                found.append(value)
    if not found:
        got = ", ".join(map(repr, seen))[:80]
        raise _BadLine(line, f"the object names no {what}: expected {keys[0]!r}, got {got}")
    if len(found) > 1:
        raise _BadLine(line, f"the object names more than one {what}: {str(found)[:60]}")
    return found[0]


def _json_entries(text: str) -> Iterator[tuple[int, object]]:
    """(line, value) of the values of a list, or of values that follow one another."""
    decoder, line = json.JSONDecoder(object_pairs_hook=_object), 1
    at = _BLANK.match(text).end()
    listed, counted = text[at] == "[", 0
    at = _BLANK.match(text, at + listed).end()
    while at < len(text) and not (listed and text[at] == "]"):
        line, counted = line + text.count("\n", counted, at), at
        try:
            entry, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _BadLine(line, f"not JSON ({str(error)[:80]})") from error
        yield line, entry
        at = _BLANK.match(text, end).end()
        if listed and text[at : at + 1] not in (",", "]"):
            raise _BadLine(line, "not JSON (a comma or the end of the list is missing after this)")
        if listed and text[at] == ",":
            at = _BLANK.match(text, at + 1).end()
        elif not listed and at < len(text) and "\n" not in text[end:at]:
            raise _BadLine(line, "not JSON lines (more follows on the same line)")
    if listed and text[at:].strip() != "]":
        line += text.count("\n", counted, at)
        raise _BadLine(line, "not JSON (the list is not closed, or something follows it)")


def _object(pairs: list[tuple[str, object]]) -> dict:
    """An object. Raises `ValueError` where a key has two values (Python would keep the last)."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return dict(pairs)


# --- CSV


def _csv_rows(text: str) -> Iterator[tuple[int, list[int], int]]:
    """(line, numbers, target) of a table with a header."""
    rows = _cells(text)
    first, header = next(rows, (1, []))
    names = [cell.strip().lower() for cell in header]
    numbers_at = [i for i, name in enumerate(names) if name in NUMBER_KEYS]
    goal_at = [i for i, name in enumerate(names) if name in GOAL_KEYS]
    if len(numbers_at) != 1:
        got = ", ".join(header)[:60]
        wanted = "expected JSON lines, or a CSV header with a 'Puzzles' or 'numbers' column"
        raise _BadLine(first, f"{wanted}{' (one only)' if numbers_at else ''}, got {got!r}")
    if len(goal_at) > 1:
        raise _BadLine(first, f"more than one column names a goal: {', '.join(header)[:60]!r}")
    if not goal_at:
        _refuse_unknown_goal(first, header, names[numbers_at[0]])
    for line, cells in rows:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise _BadLine(line, f"the row has {len(cells)} cells, the header {len(header)}")
        numbers = _cell_numbers(line, header, cells, numbers_at[0])
        target = _cell_numbers(line, header, cells, goal_at[0]) if goal_at else [GAME24]
        if len(target) != 1:
            raise _BadLine(line, f"{header[goal_at[0]].strip()!r} must be one number, got {target}")
        yield line, numbers, target[0]


def _refuse_unknown_goal(line: int, header: list[str], numbers: str) -> None:
    """Raise unless a header without a goal column is that of Game of 24."""
    if numbers != "puzzles":
        raise _BadLine(line, f"no column names the goal: expected 'target', got {header}"[:160])
    for cell in header:
        words = re.findall(r"[a-z]+", cell.lower())
        if any(difflib.get_close_matches(word, GOAL_KEYS, 1, 0.7) for word in words):
            raise _BadLine(line, f"is {cell.strip()!r:.40} the goal? Then call the column 'target'")


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """(the line where it begins, its cells) of every row that is not blank."""
    header = text.lstrip().split("\n", 1)[0]
    delimiter = next((d for d in "\t;" if d in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _BadLine(begun, f"not CSV ({error})") from error
        if any(cell.strip() for cell in cells):
            yield begun, cells


def _cell_numbers(line: int, header: list[str], cells: list[str], index: int) -> list[int]:
    name = header[index].strip()
    if index >= len(cells):
        raise _BadLine(line, f"the row ends before the column {name!r:.40}")
    cell = cells[index].strip()
    if not cell:
        raise _BadLine(line, f"{name!r:.40} is empty")
    listed = _LISTED.match(cell)
    if not listed and not _NUMBERS.match(cell):
        raise _BadLine(line, f"{name!r:.40} must be numbers with spaces, got {cell!r:.60}")
    return [int(word) for word in re.findall("[0-9]+", cell)]
