"""Whole responses: one greedy, several sampled, and one of several chosen. Sampling is not yet
search: what makes it one is that something chooses.
"""

from __future__ import annotations

import contextlib

from o1lib.model.policy import Response
from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_logprob, by_value, by_vote
from o1lib.search.guidance import give_values
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.tasks.space import Space


@part
def greedy(space: Space, max_new_tokens: int = 512):
    """One response, always the most probable token."""
    [response] = yield Sample(space.prompt, temperature=0.0, max_new_tokens=max_new_tokens)
    return Found(response.text, (response.text,), samples=(response,))


def _draw(
    space: Space,
    n: int,
    temperature: float,
    max_new_tokens: int,
    top_p: float = 1.0,
    cut: bool = True,
):
    """Up to `n` responses, as many as the budget pays for."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    drawn: list[Response] = []
    try:
        while len(drawn) < n:
            drawn += yield Sample(
                space.prompt,
                n=n - len(drawn),
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                cut=cut or not drawn,
                top_p=top_p,
            )
    except OutOfBudget:
        pass
    return drawn


@part
def sample(
    space: Space,
    n: int = 16,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    top_p: float = 1.0,
):
    """`n` responses of which none is preferred: the share of right ones estimates pass@1, the
    first stands for all.

    A budget ends it after the last response that it certainly covers whole: one cut short to fit
    would count as a failure that is none of the policy's.

    Args:
        top_p: below 1 only the nucleus is drawn from, the most probable words that together have
            this probability.

    Source: nucleus sampling, Holtzman et al. (2019), arXiv 1904.09751.
    """
    drawn = yield from _draw(space, n, temperature, max_new_tokens, top_p, cut=False)
    first = drawn[0].text if drawn else None
    return Found(first, tuple(r.text for r in drawn), samples=tuple(drawn))


@part
def best_of_n(
    space: Space,
    n: int = 16,
    choose: Part = by_logprob(),
    guidance: Part | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    top_p: float = 1.0,
):
    """`n` responses, one chosen: by the policy's own probability, by vote, by a guidance's value,
    or by the checker (then an upper bound, pass@n).

    Args:
        guidance: gives the responses the values that `by_value` compares.
        top_p: below 1 only the nucleus is drawn from.

    Source: Cobbe et al. (2021), arXiv 2110.14168, where a verifier chooses.
    """
    drawn = yield from _draw(space, n, temperature, max_new_tokens, top_p)
    root = TreeNode(space.root)
    root.children = [candidate(space, response, root) for response in drawn]
    if guidance and drawn:
        with contextlib.suppress(OutOfBudget):
            yield from give_values(space, root.children, guidance)
    best = yield from choose(space, root.children)
    texts = tuple(r.text for r in drawn)
    return Found(best and best.node.prefix, texts, root, samples=tuple(drawn))


@part
def retry(
    space: Space,
    guidance: Part,
    n: int = 8,
    threshold: float = 0.5,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """One response after the other, the first a greedy one, until a guidance values one above the
    threshold; after `n` of them the most valued. An easy problem costs one response and one look.

    Source: rejection sampling by a verifier; adaptive in the number of samples as in Aggarwal et
        al. (2023), arXiv 2305.11860.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    root, drawn = TreeNode(space.root), []
    root.children = []
    with contextlib.suppress(OutOfBudget):
        while len(drawn) < n:
            heat = temperature if drawn else 0.0
            drawn += yield Sample(
                space.prompt, temperature=heat, max_new_tokens=max_new_tokens, cut=not drawn
            )
            root.children.append(candidate(space, drawn[-1], root))
            yield from give_values(space, root.children[-1:], guidance)
            if root.children[-1].value > threshold:
                break
    best = yield from by_value()(space, root.children)
    texts = tuple(r.text for r in drawn)
    return Found(best and best.node.prefix, texts, root, samples=tuple(drawn))


def candidate(space: Space, response: Response, parent: TreeNode) -> TreeNode:
    """A response, whole or so far, as a node of the tree."""
    ids = (*response.prefix_ids, *response.token_ids)
    node = space.extend(parent.node, response.text, ids, response.finished)
    logprob = sum(response.logprobs) / max(1, len(response.logprobs))
    return TreeNode(node, 1.0, parent, logprob=logprob)


def majority(n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512) -> Part:
    """Self-consistency: the answer that most of `n` responses give.

    Source: Wang et al. (2022), arXiv 2203.11171.
    """
    return best_of_n(n, by_vote(), temperature=temperature, max_new_tokens=max_new_tokens)


def weighted_vote(
    guidance: Part, n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512
) -> Part:
    """The answer that has most weight among `n` responses: each votes with the value that the
    guidance gives it.

    Source: Li et al. (2022), arXiv 2206.02336; "best-of-n weighted" in Snell et al. (2024), arXiv
        2408.03314.
    """
    vote = by_vote(weight=guidance)
    return best_of_n(n, vote, temperature=temperature, max_new_tokens=max_new_tokens)
