"""One answer after the other: the policy is shown what it has answered, and answers again
(instruction `revise`).

An attempt is quoted with what it gives, `revise : make 13 from 2 7 8 ; attempt ( 8 + 7 ) + 2 gives
17`: that is worked out, not judged, so it is no feedback of a checker. Whoever says whether an
attempt is good enough is a guidance: the policy itself in Self-Refine, the outside in Reflexion.
"""

from __future__ import annotations

from collections.abc import Sequence

from o1lib.search.budget import OutOfBudget
from o1lib.search.choose import by_value
from o1lib.search.confidence import self_evaluation
from o1lib.search.guidance import correct, give_values
from o1lib.search.nodes import Found, TreeNode, quoted
from o1lib.search.parts import Part, part
from o1lib.search.requests import Sample
from o1lib.search.sampling import candidate
from o1lib.tasks.space import Space


def revise_prompt(space: Space, attempts: Sequence[TreeNode]) -> str:
    """The prompt that quotes attempts; the problem's own where none has an answer to quote."""
    said = quoted([space.response(attempt.node) for attempt in attempts])
    return space.task.prompt(space.problem, "revise") + said if said else space.prompt


@part
def refine(
    space: Space,
    guidance: Part,
    rounds: int = 3,
    enough: float = 0.5,
    memory: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """Answer, let the answer be judged, and while it is not good enough answer again with the
    attempts so far in view. The last answer is returned.

    Args:
        guidance: judges answers.
        rounds: revisions at most.
        enough: an answer of this value ends it.
        memory: so many of the last attempts are quoted (the policies shipped were taught with
            one).

    Source: the loop of Self-Refine and of Reflexion, see `self_refine` and `reflexion`.
    """
    if rounds < 0 or memory < 1:
        raise ValueError("need rounds >= 0 and memory >= 1")
    root, attempts, prompt = TreeNode(space.root), [], space.prompt
    try:
        for _ in range(1 + rounds):
            [response] = yield Sample(prompt, "", 1, temperature, max_new_tokens)
            before = attempts[-1] if attempts else root
            here = candidate(space, response, before)
            before.children = [here]
            attempts.append(here)
            [here.value] = yield from guidance(space, [here])
            if here.value >= enough:
                break
            prompt = revise_prompt(space, attempts[-memory:])
    except OutOfBudget:
        pass
    texts = tuple(space.response(attempt.node) for attempt in attempts)
    return Found(texts[-1] if texts else None, texts, root)


def self_refine(
    guidance: Part = self_evaluation(),
    rounds: int = 3,
    enough: float = 0.5,
    memory: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
) -> Part:
    """The policy revises its answer until it is content with it itself.

    Source: Madaan et al. (2023), arXiv 2303.17651, Algorithm 1. The feedback there is a text of the
        model's; here it is what the attempt gives.
    """
    return refine(guidance, rounds, enough, memory, temperature, max_new_tokens)


def reflexion(
    guidance: Part = correct(),
    rounds: int = 3,
    memory: int = 3,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
) -> Part:
    """The policy tries again, with its last attempts in view, until the outside says that it is
    right: by default the checker, which is stronger than a model can be alone.

    Source: Shinn et al. (2023), arXiv 2303.11366, Algorithm 1. The reflections there are texts of
        the model's; here they are the attempts and what they give.
    """
    return refine(guidance, rounds, 1.0, memory, temperature, max_new_tokens)


@part
def best_then_revise(
    space: Space,
    guidance: Part,
    n: int = 8,
    revisions: int = 8,
    choose: Part = by_value(),
    temperature: float = 1.0,
    max_new_tokens: int = 512,
):
    """Both ways to spend tokens: `n` answers side by side, then `revisions` of the one that the
    guidance values most; of all of them one is chosen.

    Source: parallel and sequential sampling, Snell et al. (2024), arXiv 2408.03314, section 6.
    """
    if n < 1 or revisions < 0:
        raise ValueError("need n >= 1 and revisions >= 0")
    root, answers = TreeNode(space.root), []
    try:
        above, prompt = root, space.prompt
        for many in (n, revisions) if revisions else (n,):
            responses = yield Sample(prompt, "", many, temperature, max_new_tokens)
            above.children = [candidate(space, response, above) for response in responses]
            answers += above.children
            yield from give_values(space, above.children, guidance)
            above = yield from by_value()(space, answers)
            prompt = revise_prompt(space, [above])
    except OutOfBudget:
        pass
    best = yield from choose(space, answers)
    texts = tuple(space.response(answer.node) for answer in answers)
    return Found(best and space.response(best.node), texts, root)
