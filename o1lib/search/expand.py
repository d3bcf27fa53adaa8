"""Expansion: what may come next. Called with `(space, nodes)`, an expansion yields requests and
returns, for each node, its children as tree nodes with priors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from o1lib.search.nodes import TreeNode, answer_of, written
from o1lib.search.parts import Part, part
from o1lib.search.requests import Logprobs, Sample
from o1lib.tasks.space import Space

STEP_ENDS = (";", "</think>")  # what a step of `solve` ends with


def _asked_for_steps(space: Space) -> None:
    if space.instruction != "solve":
        raise ValueError(
            f"a search over the task's own steps asks for 'solve', not for {space.instruction!r}"
        )


@part
def legal_steps(space: Space, nodes: Sequence[TreeNode], most: int | None = None):
    """Every legal step, with the policy's probability of its text as prior.

    Args:
        most: only so many of a node's steps, the policy's likeliest.
    """
    _asked_for_steps(space)
    steps = [space.steps(here.node) for here in nodes]
    asked = [
        Logprobs(
            space.prompt,
            here.node.prefix,
            tuple(space.continuation(here.node, step) for step in some),
        )
        for here, some in zip(nodes, steps, strict=True)
    ]
    replies = (yield asked) if asked else []
    found = []
    for here, some, logprobs in zip(nodes, steps, replies, strict=True):
        children = [
            TreeNode(space.child(here.node, step), math.exp(lp), here, step.text)
            for step, lp in zip(some, logprobs, strict=True)
        ]
        if most is not None:
            children = sorted(children, key=lambda child: -child.prior)[:most]
        found.append(children)
    return found


@part
def any_step(space: Space, nodes: Sequence[TreeNode]):
    """Every legal step, none preferred to another: the policy is not asked, so it costs nothing."""
    _asked_for_steps(space)
    return [
        [TreeNode(space.child(here.node, step), 1 / len(some), here, step.text) for step in some]
        for here in nodes
        for some in [space.steps(here.node)]
    ]
    yield  # a generator that asks for nothing


@part
def sampled_steps(
    space: Space,
    nodes: Sequence[TreeNode],
    n: int = 4,
    stop: tuple[str, ...] = STEP_ENDS,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
):
    """`n` steps that the policy writes itself, each up to a stop word; equal ones are one child,
    its prior their share.

    With `max_new_tokens=1` a step is a token (`sampled_tokens`), without stop words it is a whole
    solution (`whole_responses`). What it costs are generated tokens.
    """
    asked = [
        Sample(space.prompt, written(here), n, temperature, max_new_tokens, stop) for here in nodes
    ]
    replies = (yield asked) if asked else []
    found = []
    for here, responses in zip(nodes, replies, strict=True):
        children: dict[str, TreeNode] = {}
        for response in responses:
            text = response.text
            if text not in children:
                added = text[len(here.node.prefix) :].strip()
                ended = response.finished and not added.endswith(stop or ("\0",))
                ids = (*response.prefix_ids, *response.token_ids)
                node = space.extend(here.node, text, ids, ended)
                children[text] = TreeNode(node, 0.0, here, added, _mean(response.logprobs))
            children[text].prior += 1 / len(responses)
        found.append(list(children.values()))
    return found


def sampled_tokens(n: int = 4, temperature: float = 1.0) -> Part:
    """`n` next tokens that the policy draws; equal ones are one child, its prior their share."""
    return sampled_steps(n, (), temperature, 1)


def whole_responses(n: int = 4, temperature: float = 1.0, max_new_tokens: int = 512) -> Part:
    """`n` ways in which the policy goes on to the end."""
    return sampled_steps(n, (), temperature, max_new_tokens)


@part
def proposed_steps(
    space: Space, nodes: Sequence[TreeNode], most: int = 5, max_new_tokens: int = 96
):
    """The steps that the policy lists when it is asked for some (`propose`), as far as they are
    legal; none preferred to another. Where there are no more than `most`, all are taken unasked.

    Source: the propose prompt of Yao et al. (2023), arXiv 2305.10601, section 3.
    """
    _asked_for_steps(space)
    every = {id(here): space.steps(here.node) for here in nodes}
    asked = [here for here in nodes if len(every[id(here)]) > most]
    replies = yield [
        Sample(space.task.prompt(h.node.state, "propose"), "", 1, 0.0, max_new_tokens)
        for h in asked
    ]
    for here, [response] in zip(asked, replies, strict=True):
        listed = (answer_of(response.text) or "").split(";")
        said = {text.strip(): None for text in listed}
        known = {step.text: step for step in every[id(here)]}
        every[id(here)] = [known[text] for text in said if text in known][:most]
    return [
        [TreeNode(space.child(here.node, s), 1 / len(some), here, s.text) for s in some]
        for here in nodes
        for some in [every[id(here)]]
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
