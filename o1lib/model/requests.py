"""What is asked of a language model: to write, or to say how likely a text is.

Searches ask this of their driver, the driver asks it of a `Policy` for hundreds of problems at
once. A prefix is text, or, where a policy wrote it, its token ids, so that they need not be
guessed from the text.
"""

from __future__ import annotations

from dataclasses import dataclass

Prefix = str | tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """Ask for `n` responses to a prompt that go on from a prefix.

    Args:
        temperature: 0 is greedy.
        max_new_tokens: of each response, the prefix not counted.
        stop: single tokens (words) that end a response besides the model's own end tokens.
        top_p: only the most probable words that together have this probability (the nucleus) are
            drawn from; 1 is all words.
        cut: whether a budget that does not cover `max_new_tokens` may cut it shorter.
    """

    prompt: str
    prefix: Prefix = ""
    n: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()
    cut: bool = True
    top_p: float = 1.0


@dataclass(frozen=True)
class Logprobs:
    """Ask for the log-probability (nats, the sum over its tokens) of each of several continuations
    of a prefix.
    """

    prompt: str
    prefix: Prefix
    texts: tuple[str, ...]
