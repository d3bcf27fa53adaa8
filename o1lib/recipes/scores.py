"""How a checkpoint is scored on its card: on the validation splits of a task, by greedy chains, and
by samples where one chain often fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from o1lib.model.policy import Policy
from o1lib.search.evaluate import evaluate
from o1lib.search.sampling import sample
from o1lib.tasks.countdown import Countdown


def scores(policy: Policy, task, n: int = 500, instruction: str = "think") -> dict[str, float]:
    """Success of one greedy chain of at most 512 tokens on the validation splits of a task (at
    most `n` problems each).
    """
    found = {}
    for split in ("val_inputs", "val_targets") if isinstance(task, Countdown) else ("val_inputs",):
        results = greedy_results(policy, task, task.problems(split, n), 512, instruction)
        right = sum(correct for correct, _ in results)
        found[f"{split}, {size_of(task)}"] = round(right / len(results), 4)
    return found


def sampled_scores(policy: Policy, task, samples: int, n: int = 200) -> dict[str, float]:
    """pass@k and the majority of k for some k up to `samples`, and the share of legal steps, of
    straight chains (at most 256 tokens, temperature 1) on `n` validation problems.
    """
    problems = task.problems("val_inputs", n)
    strategy = sample(samples, max_new_tokens=256)
    report = evaluate(policy, problems, strategy, instruction="solve", task=task, progress=False)
    sizes = sorted({k for k in (1, 8, 16) if k < samples} | {samples})
    rates = {f"pass@{k}": report["pass"][str(k)] for k in sizes}
    rates |= {f"majority of {k}": report["majority"][str(k)] for k in sizes[1:]}
    rates["legal steps"] = report["legal_steps"]
    return {f"{name}, {size_of(task)}": round(rate, 4) for name, rate in rates.items()}


def size_of(task) -> str:
    """How large the problems of a task are: `4 numbers`, `2 jugs`."""
    return f"{task.n_jugs} jugs" if hasattr(task, "n_jugs") else f"{task.n_numbers} numbers"


def greedy_results(
    policy: Policy,
    task,
    problems: Sequence,
    max_new_tokens: int = 512,
    instruction: str = "think",
) -> list[tuple[bool, int]]:
    """(right, tokens) of one greedy chain for every problem."""
    prompts = [task.prompt(problem, instruction) for problem in problems]
    groups = policy.sample(prompts, temperature=0.0, max_new_tokens=max_new_tokens)
    return [
        (task.verify(problem, chain.text).correct, len(chain.token_ids))
        for problem, [chain] in zip(problems, groups, strict=True)
    ]
