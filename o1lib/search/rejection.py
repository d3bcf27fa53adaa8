"""Best-of-n at a lower price: what looks bad early is not written to its end."""

from __future__ import annotations

from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_value
from o1lib.search.guidance import give_values
from o1lib.search.nodes import Found, TreeNode
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.search.sampling import candidate
from o1lib.tasks.space import Space


@part
def speculative_rejection(
    space: Space,
    guidance: Part,
    n: int = 16,
    alpha: float = 0.5,
    every: int = 32,
    choose: Part = by_value(),
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """`n` responses are begun together. After every few tokens a guidance values what is there, and
    the worst of those still being written are given up; of the rest one is chosen.

    With `alpha=0` nothing is given up: best-of-n.

    Args:
        alpha: the share that is given up each time, rounded down (so the last one is finished).
        every: tokens between two looks. Each look reads all that is still being written.

    Source: Sun et al. (2024), arXiv 2410.20290, Algorithm 1. There a look comes when the memory is
        full; a number of tokens makes the same result everywhere.
    """
    if n < 1 or every < 1 or not 0 <= alpha < 1:
        raise ValueError("need n >= 1, every >= 1 and 0 <= alpha < 1")
    root, done, writing = TreeNode(space.root), [], []
    try:
        drawn = yield Sample(space.prompt, "", n, temperature, min(every, max_new_tokens))
        root.children = writing = [candidate(space, response, root) for response in drawn]
        for written in range(every, max_new_tokens + every, every):
            yield from give_values(space, writing, guidance)
            done += [here for here in writing if here.node.finished]
            writing = [here for here in writing if not here.node.finished]
            if not writing or written >= max_new_tokens:
                break
            writing.sort(key=lambda here: here.value, reverse=True)
            writing = writing[: len(writing) - int(alpha * len(writing))]
            length = min(every, max_new_tokens - written)
            replies = yield [
                Sample(space.prompt, here.node.token_ids, 1, temperature, length)
                for here in writing
            ]
            writing = [
                _grown(space, here, response)
                for here, [response] in zip(writing, replies, strict=True)
            ]
    except OutOfBudget:
        pass
    best = yield from choose(space, done + writing)
    return Found(best and best.node.prefix, tuple(c.node.prefix for c in done), root)


def _grown(space: Space, here: TreeNode, response) -> TreeNode:
    """A response that was written on, below what it was."""
    child = candidate(space, response, here)
    before = len(here.node.token_ids)
    new = len(response.token_ids)
    child.logprob = (here.logprob * before + child.logprob * new) / max(1, before + new)
    child.value, here.children = here.value, [child]
    return child
