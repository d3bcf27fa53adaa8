"""What the experiment `judges` stands on: chains sampled once for all arms, rollouts from their
steps, and the measures of a judge.

All is kept under the outputs: no other arm or seed, and no run after a stop, samples it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from tqdm.auto import tqdm

from o1lib.lab.files import write_text
from o1lib.lab.identity import weights_hash
from o1lib.lab.paths import outputs_dir
from o1lib.lab.statistics import auc
from o1lib.model.policy import Policy
from o1lib.reward.judge import AGGREGATIONS, Judge, best, over_n, vote
from o1lib.reward.steps import Chain, read_chain
from o1lib.search.requests import Sample
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.space import Space

LONGEST = 160  # tokens of a chain of six numbers
CHUNK = 500  # expressions, or ends of steps, that are sampled and kept at once


@dataclass(frozen=True)
class Plan:
    """How much is sampled, once for all arms, and learned from.

    Args:
        numbers: of an expression.
        expressions, samples: training expressions, and chains of each; equal ones count once.
        rolled, rollouts: how many of these expressions have rollouts, and how many a step.
        problems, tries: validation expressions, and the chains of each that are chosen among.
        tokens: that a judge learns from.
    """

    numbers: int = 6
    expressions: int = 24_000
    samples: int = 1
    rolled: int = 1_500
    rollouts: int = 64
    problems: int = 500
    tries: int = 32
    tokens: int = 2_000_000
    batch: int = 1024
    lr: float = 1e-3

    @property
    def task(self) -> Arithmetic:
        return Arithmetic(self.numbers)


PLAN = Plan()
POLICY = "nano-arithmetic"


def kept(name: str, policy: Policy, asked: Sequence, answer: Callable) -> list:
    """`answer(part of asked)`, a JSON list, for all of asked: computed in parts that are kept under
    the outputs, so that no other arm or seed, and no run after a stop, does it again.
    """
    folder = outputs_dir() / "experiments" / "judges" / f"{name}-{weights_hash(policy.model)}"
    found = []
    for start in tqdm(range(0, len(asked), CHUNK), desc=name, leave=False):
        file, part = folder / f"{start}.json", asked[start : start + CHUNK]
        if not file.exists():
            write_text(file, json.dumps(answer(part)))
        found += json.loads(file.read_text(encoding="utf-8"))
    return found


def sampled(policy: Policy, task, split: str, n: int, tries: int) -> list[list[Chain]]:
    """The chains of the first `n` expressions of a split."""
    spaces = [Space(task, problem) for problem in task.problems(split, n)]

    def answer(part: Sequence[Space]) -> list[list[list[int]]]:
        groups = policy.sample([s.prompt for s in part], tries, max_new_tokens=LONGEST, seed=1)
        return [[response.token_ids for response in group] for group in groups]

    name = f"{split}-{task.n_numbers}-{n}x{tries}"
    groups = kept(name, policy, spaces, answer)
    return [
        [read_chain(policy, space, ids) for ids in group]
        for space, group in zip(spaces, groups, strict=True)
    ]


def distinct(groups: Sequence[Sequence[Chain]]) -> list[Chain]:
    """All chains, equal ones once."""
    return list({(c.space.prompt, c.token_ids): c for group in groups for c in group}.values())


def rolled_out(policy: Policy, chains: Sequence[Chain], n: int) -> dict[tuple, str]:
    """Whether each of `n` rollouts from every judged step ends right, as `steps.from_rollouts`
    reads it.
    """
    spaces = {
        (c.space.prompt, c.token_ids[: end + 1]): c.space
        for c in chains
        for end in c.judged
        if end < len(c.token_ids) - 1
    }

    def answer(part: Sequence[tuple]) -> list[str]:
        asked = [Sample(prompt, begun, n, 1.0, LONGEST - len(begun)) for prompt, begun in part]
        groups = policy.sample_each(asked, [2] * len(asked))
        return [
            "".join(str(int(_ends_right(policy, spaces[key], key[1], r))) for r in group)
            for key, group in zip(part, groups, strict=True)
        ]

    keys = list(spaces)
    name = f"rollouts-{len(keys)}x{n}-{crc32(repr(keys).encode()):08x}"
    return dict(zip(keys, kept(name, policy, keys, answer), strict=True))


def _ends_right(policy: Policy, space: Space, begun: tuple, response) -> bool:
    text = policy.decode([*begun, *response.token_ids])
    return bool(space.task.verify(space.problem, text))


@lru_cache(maxsize=2)
def material(plan: Plan) -> tuple[Policy, list[Chain], list[Chain]]:
    """The policy, the chains that judges learn from, and those of them that have rollouts."""
    policy = Policy.load(POLICY)
    groups = sampled(policy, plan.task, "train", plan.expressions, plan.samples)
    return policy, distinct(groups), distinct(groups[: plan.rolled])


@lru_cache(maxsize=2)
def candidates(plan: Plan) -> list[list[Chain]]:
    """The chains of every validation expression."""
    return sampled(Policy.load(POLICY), plan.task, "val_inputs", plan.problems, plan.tries)


def judged(judge: Judge, plan: Plan, tokens: int) -> Iterator[dict]:
    """What a judge that has learned from so many tokens is worth on the validation expressions: how
    often it ranks right steps and answers above wrong ones, and success when it chooses among N
    chains, N being the `step` of a row.
    """
    groups = candidates(plan)
    chains = [chain for group in groups for chain in group]
    said = judge(chains)
    at_ends = [
        (p, end < c.slip)
        for c, row in zip(chains, said, strict=True)
        for end, p in zip(c.judged, row, strict=False)
    ]
    found = {(0, "AUC of steps"): auc(*zip(*at_ends, strict=True))}
    right = [c.right for c in chains]
    for name, aggregate in AGGREGATIONS.items():
        values = [aggregate(row) for row in said]
        found[0, f"AUC of answers, {name}"] = auc(values, right)
        numbers = [values[i * plan.tries : (i + 1) * plan.tries] for i in range(len(groups))]
        weights = [[math.exp(x) for x in row] for row in numbers] if name == "product" else numbers
        for metric, choose, given in (("best", best, numbers), ("vote", vote, weights)):
            for n, rate in over_n(groups, choose, given).items():
                found[n, f"{metric}, {name}"] = rate
    for (n, metric), value in found.items():
        yield {"step": n, "metric": metric, "value": value, "tokens": tokens}
