"""The results of a long evaluation, kept line by line until the report is complete.

Beside the report `OUT` lies `OUT.partial.jsonl` while it is being made: one line that says which
evaluation it is, then a line a finished puzzle. Nothing is lost when the evaluation is stopped,
and `resume=True` goes on from there. One `OUT` is written by one process at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from o1lib.lab.files import exclusive, write_text


class Kept:
    """The results so far of an evaluation that writes the report `out`; a context manager.

    Args:
        identity: everything that decides the results, as JSON: settings, puzzles, checkpoint.
        resume: go on with the results of a stopped evaluation of the same identity.
        inputs: files that `out` must not overwrite.

    Raises `ValueError` where the report cannot be written, where another process is writing it,
    where a stopped evaluation's results lie and `resume` was not asked for, or where they are of
    another evaluation (and says what differs).
    """

    def __init__(
        self, out: Path, identity: dict, resume: bool = False, inputs: Sequence[str | Path] = ()
    ):
        if out.is_dir() or not out.parent.is_dir():
            raise ValueError(
                f"{out} cannot be written: it is a folder, or its folder does not exist"
            )
        self.out = out.resolve()
        if self.out.exists() and not self.out.is_file():
            raise ValueError(f"{out} cannot be written: it is no ordinary file")
        for name in inputs:
            if self.out == Path(name).resolve():
                raise ValueError(f"{out} is read by this evaluation: choose another file")
        self.lines = self.out.with_name(self.out.name + ".partial.jsonl")
        self.identity = json.loads(json.dumps(identity))
        self.resume = resume
        self.done: dict[int, dict] = {}  # number of the puzzle in the file -> its result
        self._lock = exclusive(self.out)

    def __enter__(self) -> Kept:
        self._lock.__enter__()
        try:
            if self.lines.exists():
                if not self.resume:
                    raise ValueError(
                        f"{self.lines} holds the results of an evaluation that was stopped: "
                        "go on with it by --resume, or delete it"
                    )
                self._read()
        except BaseException as error:
            self._lock.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error) -> None:
        self._lock.__exit__(*error)

    def _read(self) -> None:
        content = self.lines.read_text(encoding="utf-8")
        lines = content.splitlines()
        if not content.endswith("\n"):
            lines = lines[:-1]  # the evaluation was killed while it wrote this one
        try:
            before = json.loads(lines[0])["evaluation"] if lines else self.identity
            entries = [json.loads(line) for line in lines[1:]]
            self.done = {entry["index"]: entry["result"] for entry in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.lines} is not what an evaluation wrote: delete it") from error
        different = [
            name
            for name in sorted({*before, *self.identity})
            if before.get(name) != self.identity.get(name)
        ]
        if different:
            raise ValueError(
                f"{self.lines} holds the results of another evaluation (it differs in "
                f"{', '.join(different)}): choose another --out, or delete it"
            )
        # Whole lines only, before anything is appended.
        write_text(self.lines, "".join(line + "\n" for line in lines))

    def add(self, index: int, result: dict) -> None:
        """Keep the result of puzzle number `index` of the file."""
        new = not self.lines.exists() or self.lines.stat().st_size == 0
        with self.lines.open("a", encoding="utf-8", newline="\n") as file:
            if new:
                file.write(json.dumps({"evaluation": self.identity}) + "\n")
            file.write(json.dumps({"index": index, "result": result}) + "\n")
        self.done[index] = result

    def finish(self, report: dict) -> None:
        """Write the complete report; the lines beside it are no longer needed."""
        write_text(self.out, json.dumps(report, indent=1, allow_nan=False) + "\n")
        self.lines.unlink(missing_ok=True)
