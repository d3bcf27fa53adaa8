"""How a checkpoint is scored on its card: greedy chains on the validation splits."""

from __future__ import annotations

from collections.abc import Sequence

from o1lib.model.policy import Policy
from o1lib.tasks.countdown import Countdown


def scores(policy: Policy, n_numbers: int, n: int = 500) -> dict[str, float]:
    """Success of one greedy chain of at most 512 tokens on the validation splits (at most `n`
    puzzles each).
    """
    task, found = Countdown(n_numbers), {}
    for split in ("val_inputs", "val_targets"):
        results = greedy_results(policy, task, task.problems(split, n))
        right = sum(correct for correct, _ in results)
        found[f"{split}, {n_numbers} numbers"] = round(right / len(results), 4)
    return found


def greedy_results(
    policy: Policy, task, problems: Sequence, max_new_tokens: int = 512
) -> list[tuple[bool, int]]:
    """(right, tokens) of one greedy chain for every problem."""
    prompts = [task.prompt(problem) for problem in problems]
    groups = policy.sample(prompts, temperature=0.0, max_new_tokens=max_new_tokens)
    return [
        (task.verify(problem, chain.text).correct, len(chain.token_ids))
        for problem, [chain] in zip(problems, groups, strict=True)
    ]
