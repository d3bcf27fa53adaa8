"""Evaluation: a policy on puzzles, with greedy decoding, sampling or best-of-n, into one JSON
report that anyone can re-check.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from o1lib.tasks.base import SPLITS, Task
from o1lib.tasks.countdown import Countdown, Problem
from o1lib.tasks.expression import extract_answer

if TYPE_CHECKING:  # the lab is what the policy stands on, not the other way round
    from o1lib.policy.policy import Policy, Sample

SEARCHES = ("greedy", "sample", "best_of_n")


def read_puzzles(path: str | Path) -> list[Problem]:
    """Puzzles from JSON lines `{"numbers": [..], "target": 24}`, from a CSV file with a `Puzzles`
    column (target 24), or, where there is no such file, from a split: `game24`, `val_targets:3` (three
    numbers), `val_inputs:4:300` (the first 300).

    Raises `ValueError` that names the line, and `OSError` when the file cannot be read.
    """
    name, *sizes = str(path).split(":")
    if name in SPLITS and not Path(path).exists():
        if len(sizes) > 2 or not all(size.isascii() and size.isdigit() for size in sizes):
            raise ValueError(
                f"a split reads NAME, NAME:NUMBERS or NAME:NUMBERS:HOW_MANY, got {path}"
            )
        numbers, count = [*map(int, sizes), None, None][:2]
        return Countdown(numbers or 4).problems(name, count)
    path, task = Path(path), Countdown()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file ({error.reason})") from error
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} is empty")
    puzzles = []
    if not lines[0].lstrip().startswith("{"):
        reader = csv.DictReader(lines)
        if "Puzzles" not in (reader.fieldnames or []):
            raise ValueError(
                f"{path}, line 1: expected JSON lines, or a CSV header with a 'Puzzles' column"
            )
        for row in reader:
            words = (row["Puzzles"] or "").split()
            if not words or not all(
                word.isascii() and word.isdigit() and len(word) < 19 for word in words
            ):
                raise ValueError(
                    f"{path}, line {reader.line_num}: 'Puzzles' must be numbers with spaces, got {row['Puzzles']!r:.60}"
                )
            puzzles.append(_problem(task, path, reader.line_num, [int(word) for word in words], 24))
    else:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(entry, dict) or "numbers" not in entry:
                raise ValueError(
                    f"{path}, line {number}: expected an object with 'numbers', got {line.strip()[:60]!r}"
                )
            puzzles.append(_problem(task, path, number, entry["numbers"], entry.get("target", 24)))
    if not puzzles:
        raise ValueError(f"{path} has no puzzles")
    return puzzles


def _problem(task: Countdown, path: Path, line: int, numbers, target) -> Problem:
    try:
        return task.problem(numbers, target)
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}") from error


def evaluate(
    policy: Policy,
    problems: Sequence,
    *,
    instruction: str = "think",
    search: str = "greedy",
    select: str = "checker",
    n: int = 16,
    max_new_tokens: int = 512,
    budget: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    progress: bool = True,
    on_result=None,
    task: Task | None = None,
) -> dict:
    """Run a policy on problems; returns the report described in the README.

    Args:
        search: `greedy` (one chain), `sample` (n chains, the mean is reported: pass@1), `best_of_n`
            (n chains, one chosen).
        select: how `best_of_n` chooses: `checker` (any right one counts: pass@n) or `model` (the
            finished chain with the highest mean log-probability).
        budget: generated tokens per problem at most; `sample` and `best_of_n` then draw as many
            chains as fit for certain.
        on_result: called with each finished result, so that a killed run loses nothing.
    """
    if search not in SEARCHES:
        raise ValueError(f"unknown search {search!r}; choose from {', '.join(SEARCHES)}")
    if select not in ("checker", "model"):
        raise ValueError(f"unknown select {select!r}; choose from checker, model")
    task = task or Countdown()
    n = 1 if search == "greedy" else n
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if budget is not None:
        if budget < 1:
            raise ValueError(f"the budget must be at least one token, got {budget}")
        max_new_tokens = min(max_new_tokens, budget)
        n = max(1, min(n, budget // max_new_tokens))
    prompts = [task.prompt(problem, instruction) for problem in problems]
    results, begun = [], time.monotonic()
    chunk = max(1, 512 // n)
    bar = tqdm(
        total=len(problems) * n, desc="evaluate", unit="chain", disable=not progress, leave=False
    )
    for start in range(0, len(problems), chunk):
        groups = policy.sample(
            prompts[start : start + chunk],
            n,
            temperature=0.0 if search == "greedy" else temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            progress=bar.update,
        )
        for problem, group in zip(problems[start : start + chunk], groups, strict=True):
            results.append(_result(task, problem, group, search, select))
            if on_result:
                on_result(results[-1])
        bar.n = min(len(problems), start + chunk) * n
        bar.refresh()
    bar.close()
    correct = sum(r["correct"] for r in results)
    settings = {
        "instruction": instruction,
        "search": search,
        "select": select if search == "best_of_n" else None,
        "n": n,
    }
    settings |= {
        "max_new_tokens": max_new_tokens,
        "budget": budget,
        "seed": seed,
        "bf16": policy.bf16,
    }
    settings["temperature"] = 0.0 if search == "greedy" else temperature
    return {
        "n": len(results),
        "correct": correct,
        "accuracy": correct / len(results) if results else 0.0,
        "tokens": sum(r["tokens"] for r in results),
        "seconds": round(time.monotonic() - begun, 2),
        "settings": settings,
        "results": results,
    }


def _result(
    task: Countdown, problem: Problem, group: list[Sample], search: str, select: str
) -> dict:
    verdicts = [task.verify(problem, sample.text) for sample in group]
    right = [bool(v) for v in verdicts]
    if search == "best_of_n" and select == "model":
        best = max(
            range(len(group)),
            key=lambda i: (
                group[i].finished,
                sum(group[i].logprobs) / max(1, len(group[i].logprobs)),
            ),
        )
    else:
        best = right.index(True) if any(right) else 0
    correct = sum(right) / len(right) if search == "sample" else right[best]
    return _described(problem) | {
        "response": group[best].text,
        "answer": _answer(group[best].text),
        "correct": correct,
        "reason": verdicts[best].reason,
        "tokens": sum(len(s.token_ids) for s in group),
        "samples_correct": sum(right),
    }


def _described(problem) -> dict:
    """A problem as it stands in a report."""
    if hasattr(problem, "numbers") and hasattr(problem, "target"):
        return {"numbers": list(problem.numbers), "target": problem.target}
    return {"problem": str(problem)}


def _answer(response: str) -> str | None:
    """The plain answer of a response, or None when it has none that can be read."""
    try:
        return extract_answer(response)
    except ValueError:
        return None
