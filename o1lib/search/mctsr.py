"""Tree search over whole solutions: a child is a revision of its parent."""

from __future__ import annotations

import math

from o1lib.search.budget import OutOfBudget
from o1lib.search.nodes import Found, TreeNode, Visit
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.search.revision import revise_prompt
from o1lib.search.sampling import candidate
from o1lib.tasks.space import Space


@part
def mctsr(
    space: Space,
    guidance: Part,
    simulations: int = 8,
    c: float = 1.4,
    most: int = 2,
    enough: float = float("inf"),
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """Monte-Carlo tree self-refine: select an answer, revise it, evaluate the revision, back up.
    The answer with the highest own Q is returned.

    The reward R of an answer is what the guidance says each time that it is selected or made; its
    own Q is (min R + mean R) / 2, and with children (Q + the highest Q of a child) / 2, from the
    new answer up to the first. Selected is, of all answers that are not fully expanded, the one of
    the highest Q(a) + c sqrt((ln N(parent) + 1) / N(a)).

    Args:
        simulations: revisions.
        most: an answer is fully expanded with so many children, or when a child is better than it.
        enough: an answer of this reward ends the search.

    Source: Zhang et al. (2024), arXiv 2406.07394, section 3.
    """
    if simulations < 0 or most < 1 or c < 0:
        raise ValueError("need simulations >= 0, most >= 1 and c >= 0")
    root, tree, trace = TreeNode(space.root), [], []
    rewards: dict[int, list[float]] = {}

    def own(here: TreeNode) -> float:
        """Q without children."""
        some = rewards.get(id(here))
        return (min(some) + sum(some) / len(some)) / 2 if some else float("-inf")

    def evaluate(here: TreeNode):
        """Ask for its reward once more, and carry what follows up to the first answer."""
        [reward] = yield from guidance(space, [here])
        rewards.setdefault(id(here), []).append(reward)
        root.visits += 1
        trace.append(Visit(here.path))
        while here is not root:
            here.visits += 1
            here.value = own(here)
            tried = [child.value for child in here.children or () if child.value is not None]
            if tried:
                here.value = (here.value + max(tried)) / 2
            here = here.parent

    here, prompt = root, space.prompt
    try:
        for _ in range(1 + simulations):
            [response] = yield Sample(prompt, "", 1, temperature, max_new_tokens)
            child = candidate(space, response, here)
            here.children = (here.children or []) + [child]
            tree.append(child)
            yield from evaluate(child)
            if rewards[id(child)][-1] >= enough or len(tree) > simulations:
                break
            open_ = [a for a in tree if not _expanded(a, most)]
            here = max(open_, key=lambda a: uct(a, c))
            yield from evaluate(here)
            prompt = revise_prompt(space, [here])
    except OutOfBudget:
        pass
    best = max(tree, key=own, default=None)
    texts = tuple(space.response(answer.node) for answer in tree)
    return Found(best and space.response(best.node), texts, root, trace=tuple(trace))


def uct(here: TreeNode, c: float) -> float:
    """Q(a) + c sqrt((ln N(parent) + 1) / N(a)); without the paper's epsilon: every answer has
    been evaluated.
    """
    return here.value + c * math.sqrt((math.log(here.parent.visits) + 1) / here.visits)


def _expanded(here: TreeNode, most: int) -> bool:
    children = here.children or []
    return len(children) >= most or any(child.value > here.value for child in children)
