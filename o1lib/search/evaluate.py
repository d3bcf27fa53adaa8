"""Evaluation: a policy on puzzles, with any search, into a JSON report that anyone can re-check."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from o1lib.model.policy import Policy
from o1lib.search.budget import Budget
from o1lib.search.driver import search_all
from o1lib.search.nodes import SearchResult, answer_of
from o1lib.search.parts import Part
from o1lib.search.registry import reads_steps
from o1lib.search.samples import rates, step_counts, voted
from o1lib.search.sampling import greedy
from o1lib.tasks.base import Task, Verdict
from o1lib.tasks.countdown import Countdown
from o1lib.tasks.space import Space

ROWS = 256  # whole responses that are sampled at once
SAMPLES = ("sample", "random_steps")  # strategies of which every response counts, not one chosen


def evaluate(
    policy: Policy,
    problems: Sequence,
    strategy: Part = greedy(),
    *,
    instruction: str | None = None,
    budget: int | Budget | None = None,
    seed: int = 0,
    concurrent: int | None = None,
    notation: str = "strict",
    progress: bool = True,
    on_result: Callable[[int, dict], None] | None = None,
    task: Task | None = None,
) -> dict:
    """Run a search on problems; returns the report described in the README, results in the order
    of the problems.

    Args:
        strategy: a value such as `best_of_n(16, by_vote())`; for `sample(n)` the mean over the n
            responses is reported: pass@1, and beside it pass@k, the success of a vote of k, and
            of straight chains (`solve`) the share of legal steps.
        instruction: by default `think` for whole responses and `solve` for searches over the
            task's steps, which know no other.
        budget: generated tokens per problem at most, or a `Budget` of three caps.
        concurrent: problems searched at once.
        notation: `lenient` also reads the usual signs and LaTeX, for other people's models; named
            in the report.
        on_result: called with the place and the result of each problem as it is finished, so that
            a killed run loses nothing.

    Raises `ValueError` for settings that do not go together.
    """
    task = task or Countdown()
    instruction = instruction or ("solve" if reads_steps(strategy) else "think")
    if not isinstance(budget, Budget):
        if budget is not None and budget < 1:
            raise ValueError(f"the budget must be at least one token, got {budget}")
        budget = Budget(generated=budget)
    verify = task.verify if notation == "strict" else partial(task.verify, notation=notation)
    results: list[dict | None] = [None] * len(problems)
    begun = time.monotonic()

    def keep(index: int, found: SearchResult) -> None:
        space = Space(task, found.problem, instruction)
        results[index] = _result(verify, found, strategy.name, space)
        if on_result:
            on_result(index, results[index])

    search_all(
        strategy,
        policy,
        task,
        problems,
        instruction=instruction,
        budget=budget,
        seed=seed,
        concurrent=concurrent or max(1, ROWS // max(1, strategy.settings.get("n", 4))),
        verify=verify,
        progress=progress,
        on_result=keep,
    )
    return summary(results) | {
        "seconds": round(time.monotonic() - begun, 2),
        "settings": {
            "instruction": instruction,
            "search": repr(strategy),
            "budget": vars(budget),
            "notation": notation,
            "seed": seed,
            "bf16": policy.bf16,
        },
        "results": results,
    }


def summary(results: Sequence[dict]) -> dict:
    """What a report says of all its results together."""
    correct = sum(r["correct"] for r in results)
    return {
        "n": len(results),
        "correct": correct,
        "accuracy": correct / len(results) if results else 0.0,
        **{name: sum(r[name] for r in results) for name in ("tokens", "scored", "checks")},
        **rates(results),
    }


def _result(verify, found: SearchResult, name: str, space: Space) -> dict:
    problem, response = found.problem, found.response
    sampled = name in SAMPLES and bool(found.candidates)
    texts = found.candidates if sampled else [s.text for s in found.samples]
    right = [bool(verify(problem, text)) for text in texts]
    verdict = (
        verify(problem, response) if response is not None else Verdict(False, "no answer was found")
    )
    correct = sum(right) / len(right) if sampled else verdict.correct
    result = _described(problem) | {
        "response": response,
        "answer": None if response is None else answer_of(response),
        "correct": correct,
        "reason": verdict.reason,
        "tokens": found.cost.generated,
        "scored": found.cost.scored,
        "checks": found.cost.checks,
        "stopped": found.stopped,
        "samples": len(right),
        "samples_correct": sum(right),
    }
    if sampled:
        result |= {"voted": voted(texts, right)} | step_counts(space, texts)
    return result


def _described(problem) -> dict:
    """A problem as it stands in a report."""
    if hasattr(problem, "numbers") and hasattr(problem, "target"):
        return {"numbers": list(problem.numbers), "target": problem.target}
    return {"problem": str(problem)}
