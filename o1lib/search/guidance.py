"""Guidance: what a partial solution is worth. Called with `(space, nodes)`, a guidance yields
requests and returns one value a node, higher is better. Anything that gives values can stand in
for anything else: a trained head, rollouts, the policy's own judgement, or the truth, with as much
noise as one likes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from o1lib.search.nodes import TreeNode, answer_of
from o1lib.search.parts import Part, part
from o1lib.search.requests import Check, Logprobs, Sample, Score, Scorer
from o1lib.tasks.space import Space


def _written(here: TreeNode):
    return here.node.prefix if here.node.token_ids is None else here.node.token_ids


@part
def value(space: Space, nodes: Sequence[TreeNode], scorer: Scorer):
    """What a scorer (a value head, a process reward model) gives the last token."""
    families: dict[int, list[int]] = {}  # children of one node are read together
    for i, here in enumerate(nodes):
        families.setdefault(id(here.parent), []).append(i)
    asked = [
        Score(scorer, space.prompt, tuple(_written(nodes[i]) for i in family))
        for family in families.values()
    ]
    replies = yield asked
    values = [0.0] * len(nodes)
    for family, scores in zip(families.values(), replies, strict=True):
        for i, numbers in zip(family, scores, strict=True):
            values[i] = numbers[-1] if numbers else 0.0
    return values


@part
def rollouts(
    space: Space,
    nodes: Sequence[TreeNode],
    n: int = 4,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """How often the policy ends right when it goes on `n` times, by the checker: the value,
    estimated.

    The standard error is sqrt(v (1 - v) / n). Spends generated tokens and checker calls.
    """
    asked = [Sample(space.prompt, _written(h), n, temperature, max_new_tokens) for h in nodes]
    replies = yield asked
    values = []
    for responses in replies:
        right = yield [Check(response.text) for response in responses]
        values.append(sum(right) / len(right))
    return values


@part
def judge(space: Space, nodes: Sequence[TreeNode], max_new_tokens: int = 256):
    """The policy's own word on a state (`judge`): one where it says `alive`, else zero.

    The shipped policies call a finished state dead even at its goal: let something else choose
    among complete solutions, such as `by_checker()`.
    """
    asked = [
        Sample(space.task.prompt(here.node.state, "judge"), "", 1, 0.0, max_new_tokens)
        for here in nodes
    ]
    replies = yield asked
    return [float(answer_of(response.text) == "alive") for [response] in replies]


@part
def likelihood(space: Space, nodes: Sequence[TreeNode]):
    """The policy's probability of all that has been written: what an unguided beam ranks by."""
    texts = [here.node.prefix for here in nodes]
    asked = [Logprobs(space.prompt, "", (text,)) for text in texts if text]
    replies = iter((yield asked) if asked else [])
    return [math.exp(next(replies)[0]) if text else 1.0 for text in texts]


@part
def oracle(space: Space, nodes: Sequence[TreeNode], noise: float = 0.0, seed: int = 0):
    """The truth: one for a state that can still win, else zero, plus Gaussian noise of a chosen
    level. It costs nothing.

    The noise of a state is fixed by the seed: asking twice does not help.
    """
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise}")
    found = []
    for here in nodes:
        state = here.node.state
        alive = float(state is not None and space.task.solvable(state))
        if noise:
            alive += random.Random(f"{seed} {space.problem} {state}").gauss(0, noise)
        found.append(alive)
    return found
    yield  # a generator that asks for nothing


@part
def correct(space: Space, nodes: Sequence[TreeNode]):
    """The checker's word on complete solutions: one for a right one, else zero (incomplete ones
    get zero). Stronger than any model.
    """
    asked = [h for h in nodes if space.complete(h.node)]
    verdicts = (yield [Check(space.response(h.node)) for h in asked]) if asked else []
    right = {id(h): float(v) for h, v in zip(asked, verdicts, strict=True)}
    return [right.get(id(here), 0.0) for here in nodes]


@part
def mixed(
    space: Space,
    nodes: Sequence[TreeNode],
    guidances: Sequence[Part],
    weights: Sequence[float] | None = None,
):
    """A weighted sum of guidances (the mean, unless weights are given)."""
    weights = weights or [1 / len(guidances)] * len(guidances)
    total = [0.0] * len(nodes)
    for guidance, weight in zip(guidances, weights, strict=True):
        values = yield from guidance(space, nodes)
        total = [t + weight * v for t, v in zip(total, values, strict=True)]
    return total
