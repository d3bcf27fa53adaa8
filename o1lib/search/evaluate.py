"""Evaluation: a policy on puzzles, with any search, into one JSON report that anyone can re-check."""

from __future__ import annotations

import time
from collections.abc import Sequence

from o1lib.model.generation import check_temperature
from o1lib.model.policy import Policy
from o1lib.search import sampling, trees
from o1lib.search.core import Budget, SearchResult, Strategy
from o1lib.search.core import search as run_search
from o1lib.search.guidance import Guidance
from o1lib.tasks.base import Task, Verdict
from o1lib.tasks.countdown import Countdown

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
    check_temperature(temperature)
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
