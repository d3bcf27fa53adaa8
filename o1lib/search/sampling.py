"""Whole responses: one greedy, several sampled, and one of several chosen. Sampling is not yet
search: what makes it one is that something chooses.
"""

from __future__ import annotations

from o1lib.model.policy import Response
from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_logprob, by_vote
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.tasks.space import Node, Space


@part
def greedy(space: Space, max_new_tokens: int = 512):
    """One response, always the most probable token."""
    [response] = yield Sample(space.prompt, temperature=0.0, max_new_tokens=max_new_tokens)
    return Found(response.text, (response.text,), samples=(response,))


def _draw(space: Space, n: int, temperature: float, max_new_tokens: int, cut: bool = True):
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
            )
    except OutOfBudget:
        pass
    return drawn


@part
def sample(space: Space, n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512):
    """`n` responses of which none is preferred: the share of right ones estimates pass@1, the
    first stands for all.

    A budget ends it after the last response that it certainly covers whole: one cut short to fit
        would count as a failure that
    is none of the policy's.
    """
    drawn = yield from _draw(space, n, temperature, max_new_tokens, cut=False)
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
):
    """`n` responses, one chosen: by the policy's own probability, by vote, by a guidance's value,
    or by the checker (then an upper bound, pass@n).

    Args:
        guidance: gives the responses the values that `by_value` compares.
    """
    drawn = yield from _draw(space, n, temperature, max_new_tokens)
    root = TreeNode(space.root)
    root.children = [candidate(response, root) for response in drawn]
    if guidance and drawn:
        try:
            values = yield from guidance(space, root.children)
            for child, value in zip(root.children, values, strict=True):
                child.value = value
        except OutOfBudget:
            pass
    best = yield from choose(space, root.children)
    texts = tuple(r.text for r in drawn)
    return Found(best and best.node.prefix, texts, root, samples=tuple(drawn))


def candidate(response: Response, parent: TreeNode | None = None) -> TreeNode:
    """A whole response as a node of the tree."""
    node = Node(response.text, None, 1, response.finished, tuple(response.token_ids))
    logprob = sum(response.logprobs) / max(1, len(response.logprobs))
    return TreeNode(node, 1.0, parent, logprob=logprob)


def majority(n: int = 16, temperature: float = 1.0, max_new_tokens: int = 512) -> Part:
    """Self-consistency: the answer that most of `n` responses give."""
    return best_of_n(n, by_vote(), temperature=temperature, max_new_tokens=max_new_tokens)
