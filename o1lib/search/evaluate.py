"""Evaluation: a policy on puzzles, with any search, into one JSON report that anyone can re-check."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from o1lib.policy.policy import Policy
from o1lib.reward.guidance import Guidance
from o1lib.search import sampling, trees
from o1lib.search.core import Budget, SearchResult, Strategy
from o1lib.search.core import search as run_search
from o1lib.tasks.base import SPLITS, Task, Verdict
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
    puzzles, line = [], 1
    try:
        for line, numbers, target in rows(text):
            problem = task.problem(numbers, target)
            if len(problem.numbers) <= 4 and not task.solvable(problem, integers=False):
                raise _Bad(
                    line,
                    f"the puzzle is impossible: nothing makes {problem.target} from {list(problem.numbers)}",
                )
            puzzles.append(problem)
    except _Bad as error:
        raise ValueError(f"{path}, line {error.args[0]}: {error.args[1]}") from None
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}") from error
    if not puzzles:
        raise ValueError(f"{path} has no puzzles")
    return puzzles


class _Bad(Exception):
    """A line that cannot be read: its number and the reason."""


def _json_rows(text: str) -> Iterator[tuple[int, object, object]]:
    """(line, numbers, target) of JSON lines."""
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            entry = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _Bad(line, f"not JSON ({error})") from error
        if not isinstance(entry, dict) or "numbers" not in entry:
            raise _Bad(line, f"expected an object with 'numbers', got {content.strip()[:60]!r}")
        yield line, entry["numbers"], entry.get("target", 24)


def _csv_rows(text: str) -> Iterator[tuple[int, list[int], int]]:
    """(line, numbers, target) of a CSV with a column `Puzzles`, and perhaps one `target`."""
    reader, begun = csv.DictReader(io.StringIO(text, newline=""), strict=True), 1
    try:
        if "Puzzles" not in (reader.fieldnames or []):
            raise _Bad(1, "expected JSON lines, or a CSV header with a 'Puzzles' column")
        begun = 2
        for row in reader:
            numbers = _csv_numbers("Puzzles", row["Puzzles"], begun)
            target = _csv_numbers("target", row.get("target") or "24", begun)
            yield begun, numbers, target[0] if len(target) == 1 else target
            begun = reader.line_num + 1
    except csv.Error as error:
        raise _Bad(begun, f"not CSV ({error})") from error


def _csv_numbers(name: str, cell: str | None, line: int) -> list[int]:
    words = (cell or "").split(" ")
    if not all(w.isascii() and w.isdigit() and len(w) < 19 for w in words if w) or not any(words):
        raise _Bad(line, f"{name!r} must be numbers with spaces, got {cell!r:.60}")
    return [int(word) for word in words if word]


WHOLE = ("greedy", "sample", "majority", "best_of_n")  # searches over whole responses
TREES = ("depth_first", "beam", "mcts")  # searches over the steps of `solve`
SEARCHES = WHOLE + TREES


def strategy_of(
    search: str,
    *,
    n: int = 16,
    select: str = "model",
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    guided: bool = False,
) -> Strategy:
    """A strategy by its name; `n` is the number of samples, the width of the beam or the number of simulations."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if search == "greedy":
        return sampling.greedy(max_new_tokens)
    if search == "sample":
        return sampling.sample(n, temperature, max_new_tokens)
    if search == "majority":
        return sampling.majority(n, temperature, max_new_tokens)
    if search == "best_of_n":
        return sampling.best_of_n(n, temperature, max_new_tokens, select)
    if search == "depth_first":
        return trees.depth_first()
    if search == "beam":
        return trees.beam(n, guided=guided, select=select)
    if search == "mcts":
        return trees.mcts(n, select=select)
    raise ValueError(f"unknown search {search!r}; choose from {', '.join(SEARCHES)}")


def evaluate(
    policy: Policy,
    problems: Sequence,
    *,
    instruction: str | None = None,
    search: str = "greedy",
    select: str = "model",
    n: int = 16,
    max_new_tokens: int = 512,
    budget: int | Budget | None = None,
    guidance: Guidance | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = True,
    on_result=None,
    task: Task | None = None,
) -> dict:
    """Run a search on problems; returns the report described in the README.

    Args:
        instruction: by default `think` for whole responses and `solve` for searches over steps, which know no other.
        search: `greedy` (one response), `sample` (n responses, the mean is reported: pass@1), `majority`, `best_of_n`
            (n responses, one chosen), `depth_first` (blind), `beam` (width n), `mcts` (n simulations).
        select: how the response is chosen: `checker` (any right one counts: pass@n) or `model` (by the policy's and the
            guidance's values alone).
        budget: generated tokens per problem at most, or a `Budget` of three caps.
        guidance: values of partial solutions for `beam` (without: the policy's probabilities) and `mcts`.
        batch: problems searched at once.
        on_result: called with each finished result, so that a killed run loses nothing.
    """
    task = task or Countdown()
    stepwise = search in TREES
    if select not in ("model", "checker"):
        raise ValueError(f"unknown select {select!r}; choose from model, checker")
    instruction = instruction or ("solve" if stepwise else "think")
    if stepwise and instruction != "solve":
        raise ValueError(f"{search} searches over the steps of 'solve', not of {instruction!r}")
    if search == "mcts" and guidance is None:
        raise ValueError("mcts asks for values: give it a guidance")
    if guidance is not None and search not in ("beam", "mcts"):
        raise ValueError(f"{search} uses no guidance; beam and mcts do")
    if not isinstance(budget, Budget):
        if budget is not None and budget < 1:
            raise ValueError(f"the budget must be at least one token, got {budget}")
        budget = Budget(generated=budget)
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 or a positive number, got {temperature}")
    n = 1 if search == "greedy" else n
    strategy = strategy_of(
        search,
        n=n,
        select=select,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        guided=guidance is not None,
    )
    results, begun = [], time.monotonic()

    def keep(found: SearchResult) -> None:
        results.append(_result(task, found, search))
        if on_result:
            on_result(results[-1])

    run_search(
        strategy,
        policy,
        task,
        problems,
        instruction=instruction,
        budget=budget,
        guidance=guidance,
        seed=seed,
        batch=batch or (64 if stepwise else max(1, 256 // n)),
        progress=progress,
        on_result=keep,
    )
    correct = sum(r["correct"] for r in results)
    settings = {
        "instruction": instruction,
        "search": search,
        "select": select if search in ("best_of_n", "beam", "mcts") else None,
        "n": n,
        "max_new_tokens": max_new_tokens,
        "budget": vars(budget),
        "guidance": type(guidance).__name__ if guidance else None,
        "seed": seed,
        "bf16": policy.bf16,
        "temperature": 0.0 if search == "greedy" else temperature,
    }
    return {
        "n": len(results),
        "correct": correct,
        "accuracy": correct / len(results) if results else 0.0,
        "tokens": sum(r["tokens"] for r in results),
        "scored": sum(r["scored"] for r in results),
        "checks": sum(r["checks"] for r in results),
        "seconds": round(time.monotonic() - begun, 2),
        "settings": settings,
        "results": results,
    }


def _result(task: Task, found: SearchResult, search: str) -> dict:
    problem, response = found.problem, found.response
    right = [bool(task.verify(problem, s.text)) for s in found.samples]
    verdict = (
        task.verify(problem, response)
        if response is not None
        else Verdict(False, "no answer was found")
    )
    correct = sum(right) / len(right) if search == "sample" and right else verdict.correct
    return _described(problem) | {
        "response": response,
        "answer": None if response is None else sampling.answer_of(response),
        "correct": correct,
        "reason": verdict.reason,
        "tokens": found.cost.generated,
        "scored": found.cost.scored,
        "checks": found.cost.checks,
        "stopped": found.stopped,
        "samples_correct": sum(right),
    }


def _described(problem) -> dict:
    """A problem as it stands in a report."""
    if hasattr(problem, "numbers") and hasattr(problem, "target"):
        return {"numbers": list(problem.numbers), "target": problem.target}
    return {"problem": str(problem)}
