"""What every search stands on: partial solutions, requests, a budget that is never exceeded, and one driver for
hundreds of problems at once.

A strategy is a plain sequential generator function for *one* problem. It `yield`s a request and receives the reply; it
reads like the paper's pseudocode. The driver advances the strategies of all problems in step and
batches what they ask for, so the machine still sees big batches.

    def best_of_n(space, n):
        samples = yield Sample(space.root, n)
        ...
        return Found(best.text)

Requests and what they cost:

| request | reply | cost |
|---|---|---|
| `Sample(node, n)` | samples that go on from a partial solution | generated tokens |
| `Propose(node)` | legal steps with the policy's probabilities | scored tokens |
| `Logprobs(node, texts)` | log-probability of each continuation | scored tokens |
| `Score(nodes)` | the guidance's value of each partial solution | scored tokens, what the guidance reads |
| `Check(text)` | whether a response is right | one checker call |

A request that the budget cannot certainly pay for is not carried out: `OutOfBudget` is raised inside the strategy, which
may catch it and return the best it has.

Used in notebook 03, section 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm

from o1lib.model.policy import Policy, Response
from o1lib.model.tokenizer import encode_text
from o1lib.search.guidance import Guidance
from o1lib.tasks.space import Node, Space

# --- requests


@dataclass(frozen=True)
class Sample:
    """Ask for `n` responses that go on from a node. Fewer come when the budget covers fewer for certain; at least one, or
    `OutOfBudget`.
    """

    node: Node
    n: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 512


@dataclass(frozen=True)
class Propose:
    """Ask for the legal steps of a node with the policy's probabilities: a list of (step, probability)."""

    node: Node


@dataclass(frozen=True)
class Logprobs:
    """Ask for the log-probability (nats, the sum over tokens) of continuations of a node."""

    node: Node
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """Ask the guidance for the values of partial solutions."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Check:
    """Ask the checker about a response."""

    text: str


Request = Sample | Propose | Logprobs | Score | Check


class OutOfBudget(Exception):
    """Raised inside a strategy whose request the budget does not cover."""


@dataclass(frozen=True)
class Budget:
    """Caps for one problem; None is no cap.

    Args:
        generated: tokens that the policy writes.
        scored: tokens that the policy or a guidance reads to judge (prompts are not counted, prefixes are
            counted once per request).
        checks: checker calls.
    """

    generated: int | None = None
    scored: int | None = None
    checks: int | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or value < 0
            ):
                raise ValueError(
                    f"the budget of {name} must be a nonnegative integer, got {value!r}"
                )


@dataclass
class Cost:
    """What a search has spent on one problem."""

    generated: int = 0
    scored: int = 0
    checks: int = 0

    def left(self, budget: Budget, kind: str) -> float:
        cap = getattr(budget, kind)
        return float("inf") if cap is None else cap - getattr(self, kind)


@dataclass(frozen=True)
class Found:
    """What a strategy returns: its response (None when it has none), all candidates, and the tree it built, if any."""

    response: str | None
    candidates: tuple[str, ...] = ()
    tree: Any = None
    samples: tuple[Response, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """What a search found for one problem, and what it cost. `stopped` says that the budget ended it."""

    problem: Any
    response: str | None
    candidates: tuple[str, ...]
    tree: Any
    cost: Cost
    stopped: bool
    samples: tuple[Response, ...] = field(default=(), repr=False)


Strategy = Callable[[Space], Generator[Request, Any, Found]]


# --- the driver


CHECKS_IN_A_TURN = 1000  # of one problem, before the others have theirs


class _Run:
    """One problem's generator, its pending request and its cost."""

    def __init__(self, index: int, space: Space, strategy: Strategy):
        self.index, self.space, self.cost = index, space, Cost()
        self.generator, self.request, self.found = strategy(space), None, None
        self.stopped, self.rounds = False, 0

    def advance(self, reply=None, error: Exception | None = None) -> None:
        try:
            if error is not None:
                self.stopped = True
                self.request = self.generator.throw(error)
            else:
                self.request = self.generator.send(reply)
        except StopIteration as end:
            self.request, self.found = None, end.value or Found(None)
        except OutOfBudget:
            self.request, self.found = None, Found(None)
        self.rounds += 1


def search(
    strategy: Strategy,
    policy: Policy,
    task,
    problems: Sequence,
    *,
    instruction: str = "solve",
    budget: Budget = Budget(),
    guidance: Guidance | None = None,
    seed: int = 0,
    batch: int = 64,
    progress: bool = False,
    on_result: Callable[[SearchResult], None] | None = None,
) -> list[SearchResult]:
    """Run a strategy on problems, `batch` of them at a time, and return their results in order.

    Results do not depend on `batch`, but for rounding (and the samples of a problem that occurs twice). Raises `ValueError` when a strategy asks for a value and there is
    no guidance, or for an unknown request.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    results: list[SearchResult | None] = [None] * len(problems)
    waiting = [
        _Run(i, Space(task, problem, instruction), strategy) for i, problem in enumerate(problems)
    ][::-1]
    running: list[_Run] = []
    with tqdm(
        total=len(problems), desc="search", unit="problem", disable=not progress, leave=False
    ) as bar:
        while waiting or running:
            while waiting and len(running) < batch:
                running.append(waiting.pop())
                running[-1].advance()
            for kind, answer in _ANSWERS.items():
                asking = [run for run in running if isinstance(run.request, kind)]
                if asking:
                    answer(asking, policy, budget, guidance, seed)
            for run in running:
                if run.request is not None and not isinstance(run.request, tuple(_ANSWERS)):
                    raise ValueError(
                        f"a strategy asked for {run.request!r:.80}, which is no request"
                    )
            for run in [run for run in running if run.request is None]:
                running.remove(run)
                f = run.found
                results[run.index] = SearchResult(
                    run.space.problem,
                    f.response,
                    f.candidates,
                    f.tree,
                    run.cost,
                    run.stopped,
                    f.samples,
                )
                bar.update()
                if on_result:
                    on_result(results[run.index])
    return results


def _answer_samples(
    asking: list[_Run], policy: Policy, budget: Budget, guidance, seed: int
) -> None:
    groups: dict[tuple, list] = {}
    for run in asking:
        request, left = run.request, run.cost.left(budget, "generated")
        limit = min(request.max_new_tokens, left)
        if request.n < 1 or limit < 1:
            run.advance(error=OutOfBudget("generated tokens"))
            continue
        n = int(min(request.n, left // limit))
        groups.setdefault((n, request.temperature, int(limit)), []).append(run)
    for (n, temperature, limit), runs in groups.items():
        # The noise of a sample is keyed by its prompt and this seed; a strategy's later requests must get fresh noise.
        by_round: dict[int, list[_Run]] = {}
        for run in runs:
            by_round.setdefault(run.rounds, []).append(run)
        for round_, some in by_round.items():
            replies = policy.sample(
                [run.space.prompt for run in some],
                n,
                temperature=temperature,
                max_new_tokens=limit,
                prefixes=[run.request.node.prefix for run in some],
                seed=zlib.crc32(f"{seed} {round_}".encode()),
            )
            for run, samples in zip(some, replies, strict=True):
                run.cost.generated += sum(len(s.token_ids) for s in samples)
                run.advance(samples)


def _answer_logprobs(asking: list[_Run], policy: Policy, budget: Budget, guidance, seed) -> None:
    """`Propose` is `Logprobs` of every legal step's text, as probabilities."""
    contexts, continuations, paying = [], [], []
    for run in asking:
        space, node = run.space, run.request.node
        if isinstance(run.request, Propose):
            steps = space.steps(node)
            texts = [space.continuation(node, step) for step in steps]
        else:
            steps, texts = None, list(run.request.texts)
        prefix = encode_text(policy.tokenizer, node.prefix)
        ids = [list(encode_text(policy.tokenizer, text)) for text in texts]
        price = len(prefix) + sum(map(len, ids))
        if price > run.cost.left(budget, "scored"):
            run.advance(error=OutOfBudget("scored tokens"))
            continue
        run.cost.scored += price
        paying.append((run, steps))
        contexts.append(policy.encode(space.prompt, node.prefix))
        continuations.append(ids)
    totals = policy.continuation_logprobs(contexts, continuations)
    for (run, steps), found in zip(paying, totals, strict=True):
        if steps is None:
            run.advance(found)
        else:
            run.advance([(step, math.exp(lp)) for step, lp in zip(steps, found, strict=True)])


def _answer_scores(asking: list[_Run], policy, budget: Budget, guidance, seed) -> None:
    if guidance is None:
        raise ValueError("this strategy asks for values: give it a guidance")
    paying = []
    for run in asking:
        price = sum(guidance.scored_tokens(run.space, node) for node in run.request.nodes)
        if price > run.cost.left(budget, "scored"):
            run.advance(error=OutOfBudget("scored tokens"))
            continue
        run.cost.scored += price
        paying.append(run)
    spaces = [run.space for run in paying for _ in run.request.nodes]
    nodes = [node for run in paying for node in run.request.nodes]
    values = guidance.values(spaces, nodes) if nodes else []
    start = 0
    for run in paying:
        count = len(run.request.nodes)
        reply = values[start : start + count]
        start += count
        run.advance(reply)


def _answer_checks(asking: list[_Run], policy, budget: Budget, guidance, seed) -> None:
    # Checks are cheap: a strategy that asks for one after the other is served many in a turn.
    for run in asking:
        for _ in range(CHECKS_IN_A_TURN):
            if not isinstance(run.request, Check):
                break
            if run.cost.left(budget, "checks") < 1:
                run.advance(error=OutOfBudget("checker calls"))
                continue
            run.cost.checks += 1
            run.advance(run.space.task.verify(run.space.problem, run.request.text).correct)


_ANSWERS = {
    Check: _answer_checks,
    Sample: _answer_samples,
    (Propose, Logprobs): _answer_logprobs,
    Score: _answer_scores,
}
