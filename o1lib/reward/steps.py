"""Chains whose every step is exactly right or wrong: where each of them slips, and what a judge may
learn from it.

One chain has many labels. Its outcome is one number, at its end. Its steps are right up to the
first that the world does not allow; what follows a wrong step is neither right nor wrong and has no
label (as in PRM800K: Lightman et al. 2023, arXiv 2305.20050, section 2.4). And the first wrong
*token* is known too: the one with which it leaves all texts that could still become right steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.tasks.expression import extract_answer
from o1lib.tasks.space import Space

# For some tokens of a chain, by their place in it, what a judge should say once they are written.
Labeling = Callable[["Chain"], Mapping[int, float]]


@dataclass(frozen=True)
class Chain:
    """A response cut into steps, with the truth of each. The answer is the last step.

    Args:
        text, token_ids: of the response; the end token is among the latter.
        ends: the place of the last token of every step.
        slip: the place of the first wrong token; the number of tokens where none is wrong.
        mended: the tokens before the slip, and those that should have come up to the end of that
            step; where none is wrong, all.
        answer: None where it has none that can be read.
        right: whether its answer is (a chain with wrong steps may end right).
    """

    space: Space
    text: str
    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    slip: int
    mended: tuple[int, ...]
    answer: str | None
    right: bool

    @property
    def judged(self) -> tuple[int, ...]:
        """The ends of the steps that are right or wrong: up to the first wrong one."""
        return tuple(e for i, e in enumerate(self.ends) if i == 0 or self.ends[i - 1] < self.slip)


def read_chain(policy: Policy, space: Space, token_ids: Sequence[int]) -> Chain:
    """The tokens that a policy wrote to a space's prompt, read and checked."""
    ids, text, tokenizer = tuple(token_ids), policy.decode(token_ids), policy.tokenizer
    closing = encode_text(tokenizer, "; </think>")
    ends = [t for t, token in enumerate(ids[:-1]) if token in closing] + [len(ids) - 1]
    node = space.read(text)[-1]  # up to here it is right
    if space.complete(node):
        options = [(*encode_text(tokenizer, space.response(node)), tokenizer.eos_token_id)]
    else:
        options = [encode_text(tokenizer, space.child(node, s).prefix) for s in space.steps(node)]
    mended = max(options, key=lambda right: _common(ids, right))
    try:
        answer = extract_answer(text)
    except ValueError:
        answer = None
    right = bool(space.task.verify(space.problem, text))
    slip = _common(ids, mended)
    return Chain(space, text, ids, tuple(ends), slip, mended, answer, right)


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    pairs = zip(ids, others, strict=False)
    return next((t for t, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(others)))


# --- labelings


def at_the_end(chain: Chain) -> dict[int, float]:
    """The outcome, once (an ORM; Cobbe et al. 2021, arXiv 2110.14168)."""
    return {len(chain.token_ids) - 1: float(chain.right)}


def outcome_of_steps(chain: Chain) -> dict[int, float]:
    """The outcome at the end of every step: one rollout from each, which is the chain itself."""
    return {end: float(chain.right) for end in chain.ends}


def exact_steps(chain: Chain) -> dict[int, float]:
    """One at the end of every right step, zero at that of the first wrong one."""
    return {end: float(end < chain.slip) for end in chain.judged}


def exact_tokens(chain: Chain) -> dict[int, float]:
    """One at every token of the right steps, and of the wrong one up to its slip; zero from there
    to its end.
    """
    return {t: float(t < chain.slip) for t in range(chain.judged[-1] + 1)}


def from_rollouts(outcomes: Mapping[tuple, str], n: int, hard: bool) -> Labeling:
    """The labels of Math-Shepherd, at the steps that `exact_steps` labels: from the first `n`
    rollouts of each. At the end of a chain there is only its outcome.

    Args:
        outcomes: (prompt, the tokens up to the end of a step) -> a `1` for every rollout from there
            that ended right, a `0` for every other.
        hard: one where any ended right; else the share that did.

    Source: Wang et al. (2023), arXiv 2312.08935, equations 3 and 4.
    """

    def labeling(chain: Chain) -> dict[int, float]:
        found = {}
        for end in chain.judged:
            at_end = end == len(chain.token_ids) - 1
            key = chain.space.prompt, chain.token_ids[: end + 1]
            seen = str(int(chain.right)) if at_end else outcomes[key][:n]
            share = seen.count("1") / len(seen)
            found[end] = float(share > 0) if hard else share
        return found

    return labeling
