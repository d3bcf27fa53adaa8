"""Guidance: what a partial solution is worth. Called with `(space, nodes)`, a guidance yields
requests and returns one value a node, higher is better. Anything that gives values can stand in
for anything else: a trained head, rollouts, the policy's own judgement, or the truth, with as much
noise as one likes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import prefix_ids
from o1lib.search.expand import sampled_steps
from o1lib.search.nodes import TreeNode, answer_of, written
from o1lib.search.parts import Part, part
from o1lib.search.requests import Check, Logprobs, Prefix, Sample, Score, Scorer
from o1lib.tasks.space import Space


def give_values(space: Space, nodes: Sequence[TreeNode], guidance: Part):
    """Ask a guidance what nodes are worth, and write it on them."""
    values = yield from guidance(space, nodes)
    for here, value in zip(nodes, values, strict=True):
        here.value = value


@part
def value(space: Space, nodes: Sequence[TreeNode], scorer: Scorer):
    """What a scorer (a value head, a process reward model) gives the last token."""
    families: dict[int, list[int]] = {}  # children of one node are read together
    for i, here in enumerate(nodes):
        families.setdefault(id(here.parent), []).append(i)
    asked = [
        Score(scorer, space.prompt, tuple(written(nodes[i]) for i in family))
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
    asked = [Sample(space.prompt, written(h), n, temperature, max_new_tokens) for h in nodes]
    replies = yield asked
    values = []
    for responses in replies:
        right = yield [Check(response.text) for response in responses]
        values.append(sum(right) / len(right))
    return values


@part
def judge(space: Space, nodes: Sequence[TreeNode], max_new_tokens: int = 256):
    """The policy's own word on a state (`judge`): one where it says `alive`, else zero. A text that
    has left the task's steps has no state to ask about, and gets zero.

    The shipped policies call a finished state dead even at its goal: let something else choose
    among complete solutions, such as `by_checker()`.
    """
    known = [here for here in nodes if here.node.state is not None]
    replies = yield [
        Sample(space.task.prompt(here.node.state, "judge"), "", 1, 0.0, max_new_tokens)
        for here in known
    ]
    alive = {
        id(here): answer_of(response.text) == "alive"
        for here, [response] in zip(known, replies, strict=True)
    }
    return [float(alive.get(id(here), False)) for here in nodes]


@part
def likelihood(space: Space, nodes: Sequence[TreeNode]):
    """The policy's probability of all that has been written: what an unguided beam ranks by."""
    texts = [here.node.prefix for here in nodes]
    asked = [Logprobs(space.prompt, "", (text,)) for text in texts if text]
    replies = iter((yield asked))
    return [math.exp(next(replies)[0]) if text else 1.0 for text in texts]


class Likelihoods:
    """A policy as a scorer: it gives every token its log-probability (nats)."""

    def __init__(self, policy: Policy):
        self.policy, self.tokenizer = policy, policy.tokenizer

    def score(self, prompts: list[str], responses: list[Prefix]) -> list[list[float]]:
        rows = [list(prefix_ids(self.tokenizer, response)) for response in responses]
        return [row.tolist() for row in self.policy.logprobs(prompts, rows)]


@part
def implicit_reward(space: Space, nodes: Sequence[TreeNode], reference: Scorer, beta: float = 0.1):
    """DPO's logits as values: `beta * log(policy / reference)` of all that has been written, what
    a policy trained on preferences finds better than where it began. Both read it, both are paid.

    Args:
        reference: gives log-probabilities: `Likelihoods(policy)`.
        beta: as in training.

    Source: Rafailov et al. (2023), arXiv 2305.18290, equation 5; of beginnings: Rafailov et al.
        (2024), arXiv 2404.12358.
    """
    some = [here for here in nodes if here.node.prefix]
    asked = [(space.prompt, (written(here),)) for here in some]
    replies = yield [
        *(Logprobs(prompt, "", texts) for prompt, texts in asked),
        *(Score(reference, prompt, texts) for prompt, texts in asked),
    ]
    ours, theirs = replies[: len(some)], replies[len(some) :]
    ratio = {
        id(here): beta * (own - sum(tokens))
        for here, [own], [tokens] in zip(some, ours, theirs, strict=True)
    }
    return [ratio.get(id(here), 0.0) for here in nodes]


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
def correct(space: Space, nodes: Sequence[TreeNode], error: float = 0.0, seed: int = 0):
    """The checker's word on complete solutions: one for a right one, else zero (incomplete ones
    get zero). Stronger than any model, unless it errs.

    Args:
        error: how often it says the opposite; of one answer always the same, by its seed. So a
            discriminator of any accuracy can be had, as in Chen et al. (2024), arXiv 2402.10890.
    """
    if not 0 <= error <= 1:
        raise ValueError(f"error must be from 0 to 1, got {error}")
    asked = [h for h in nodes if space.complete(h.node)]
    verdicts = yield [Check(space.response(h.node)) for h in asked]
    said = {}
    for here, right in zip(asked, verdicts, strict=True):
        answer = answer_of(space.response(here.node))
        wrong = random.Random(f"{seed} {space.problem} {answer}").random() < error
        said[id(here)] = float(right != wrong)
    return [said.get(id(here), 0.0) for here in nodes]


@part
def legal(space: Space, nodes: Sequence[TreeNode]):
    """The world's word on steps: one where all that has been written are legal steps, else zero.
    It costs nothing.
    """
    return [float(here.node.state is not None) for here in nodes]
    yield  # a generator that asks for nothing


@part
def ahead(
    space: Space,
    nodes: Sequence[TreeNode],
    guidance: Part,
    k: int = 2,
    expand: Part = sampled_steps(1, temperature=0.0),
):
    """Lookahead: the policy goes on `k` steps at temperature 0, and what a guidance says of where
    it arrives is the value of where it stood. The steps are paid for as generated tokens.

    Source: Snell et al. (2024), arXiv 2408.03314, section 5.2.
    """
    ends = list(nodes)
    for _ in range(k):
        going = [i for i, here in enumerate(ends) if not space.complete(here.node)]
        families = yield from expand(space, [ends[i] for i in going])
        for i, family in zip(going, families, strict=True):
            ends[i] = family[0] if family else ends[i]
    return (yield from guidance(space, ends))


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
