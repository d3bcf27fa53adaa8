"""Strategies and what they are made of, as values.

A strategy is a plain generator function whose first argument is the `Space` of *one* problem; it
reads like the pseudocode of its paper. `@part` turns the function into a constructor, so that
`beam(value(head), width=4)` is a value: it can be called on a space, printed, compared, and named
on a command line. Expansions, guidances and choices are parts as well: they are called with
`(space, nodes)`.

    @part
    def best_of_n(space, n=16, choose=by_logprob):
        responses = yield Sample(space.prompt, n=n)
        ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """A generator function with its settings, waiting for the space (and nodes) it is about."""

    function: Callable[..., Generator] = field(repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *about) -> Generator:
        return self.function(*about, **self.settings)

    @property
    def name(self) -> str:
        return self.function.__name__

    def __repr__(self) -> str:
        settings = (f"{name}={shown(value)}" for name, value in self.settings.items())
        return f"{self.name}({', '.join(settings)})"

    def __hash__(self) -> int:
        return hash(repr(self))


def shown(value) -> str:
    """How a setting stands in a report: a part or a plain value as it is, anything else by its
    name.
    """
    if value is None or isinstance(value, (Part, bool, int, float, str)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(shown, value))})"
    return str(getattr(value, "name", None) or getattr(value, "__name__", type(value).__name__))


def part(function: Callable[..., Generator]) -> Callable[..., Part]:
    """Make a constructor of a generator function: positional arguments without a default are what
    it is later called with, unless they are keywords of the constructor (everything after the
    first `space`, or after `space, nodes`).

    A wrong setting raises `TypeError` where the part is made, not where it runs.
    """
    parameters = list(inspect.signature(function).parameters.values())
    about = 2 if len(parameters) > 1 and parameters[1].name in ("nodes", "candidates") else 1
    signature = inspect.Signature(parameters[about:])

    @functools.wraps(function)
    def make(*args, **settings) -> Part:
        bound = signature.bind(*args, **settings)
        bound.apply_defaults()
        return Part(function, dict(bound.arguments))

    make.__signature__ = signature
    make.function = function
    return make


def together(*generators: Generator) -> Generator:
    """Run generators side by side: what they ask for in one turn goes out as one list. Returns
    their results, in order.
    """
    results: list[Any] = [None] * len(generators)
    asked: dict[int, Any] = {}

    def advance(i: int, reply) -> None:
        try:
            asked[i] = generators[i].send(reply)
        except StopIteration as end:
            results[i] = end.value

    for i in range(len(generators)):
        advance(i, None)
    while asked:
        order, asked_now = list(asked), dict(asked)
        asked.clear()
        lists = [r if isinstance(r, list) else [r] for r in asked_now.values()]
        replies = iter((yield [request for some in lists for request in some]))
        for i, some in zip(order, lists, strict=True):
            reply = [next(replies) for _ in some]
            advance(i, reply if isinstance(asked_now[i], list) else reply[0])
    return results
