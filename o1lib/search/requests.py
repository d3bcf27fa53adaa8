"""What a search may ask for. Whoever carries it out (`o1lib.search.driver`) also counts what it
costs.

| request | reply | cost |
|---|---|---|
| `Sample(prompt, prefix, n, ...)` | `n` responses that go on from the prefix | generated tokens |
| `Logprobs(prompt, prefix, texts)` | log-probability of each continuation | scored tokens |
| `Score(scorer, prompt, responses)` | for each response one number a token | scored tokens |
| `Check(response)` | whether a response is right | a checker call, unless the answer was checked |

A strategy yields one request and receives its reply, or a list of them and receives the list of
replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from o1lib.model.requests import Logprobs, Prefix, Sample

__all__ = ["Check", "Logprobs", "Prefix", "Request", "Sample", "Score", "Scorer"]


class Scorer(Protocol):
    """Anything that gives each token of a response a number; higher is better. A `ValueHead` is
    one.
    """

    def score(self, prompts: list[str], responses: list[Prefix]) -> list[list[float]]: ...


@dataclass(frozen=True)
class Score:
    """Ask a scorer about responses to a prompt, or beginnings of them."""

    scorer: Scorer
    prompt: str
    responses: tuple[Prefix, ...]


@dataclass(frozen=True)
class Check:
    """Ask the task's checker about a response."""

    response: str


Request = Sample | Logprobs | Score | Check
