"""How long to think: the end of the thinking put off, or forced."""

from __future__ import annotations

from o1lib.search.budget import OutOfBudget
from o1lib.search.nodes import Found
from o1lib.search.parts import part
from o1lib.search.requests import Sample
from o1lib.tasks.space import Space

OPENED, CLOSED = "<think>", "</think>"


@part
def budget_forcing(
    space: Space,
    waits: int = 1,
    most: int = 512,
    word: str = "no want",
    temperature: float = 0.0,
    answer_tokens: int = 64,
):
    """One chain that is made to think longer, or to stop.

    When the policy would close its thinking, that is taken back `waits` times and `word` written in
    its place; when it has written `most` tokens of thinking, the thinking is closed for it. Then it
    answers. With `waits=0` and enough tokens it is the policy's own chain.

    Args:
        word: what makes the policy go on. By default the words with which our chains look further;
            with `Wait` it is the paper's.

    Source: s1, Muennighoff et al. (2025), arXiv 2501.19393, section 3.1.
    """
    if waits < 0 or most < 1 or answer_tokens < 1:
        raise ValueError("need waits >= 0, most >= 1 and answer_tokens >= 1")
    text, left, samples = "", most, []
    try:
        while left > 0:
            [chain] = yield Sample(space.prompt, text, 1, temperature, left, (CLOSED,))
            samples.append(chain)
            text, left = chain.text, left - len(chain.token_ids)
            closed = text.endswith(CLOSED)
            if chain.finished and not closed:  # it ended without thinking to an end
                return Found(text, (text,))
            if not closed or len(samples) > waits or left < 1:
                break
            text = f"{text.removesuffix(CLOSED).rstrip()} {word}"
        if OPENED in text and not text.endswith(CLOSED):
            text = f"{text} {CLOSED}"
        [answer] = yield Sample(space.prompt, text, 1, temperature, answer_tokens)
        text = answer.text
    except OutOfBudget:
        pass
    return Found(text or None, (text,))
