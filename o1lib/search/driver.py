"""One driver for hundreds of searches at once: it advances the strategies of all problems in step,
carries out what they ask for in one batch a turn, and pays for it. So the machine sees big
batches, and every cost is counted in one place.

A request that the budget cannot certainly pay for is not carried out, nor the list that it stands
in: `OutOfBudget` is raised inside the strategy, which may catch it and return the best it has.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tqdm.auto import tqdm

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import prefix_ids
from o1lib.search.budget import Budget, Cost, OutOfBudget
from o1lib.search.nodes import Found, SearchResult, answer_of
from o1lib.search.parts import Part
from o1lib.search.requests import Check, Logprobs, Prefix, Request, Sample, Score, Scorer
from o1lib.tasks.base import Verdict
from o1lib.tasks.space import Space

CHECKS_IN_A_TURN = 1000  # of one problem, before the others have theirs


class _Run:
    """One problem's generator, what it asks for, and what it has spent."""

    def __init__(self, index: int, space: Space, strategy: Part, occurrence: int, verify):
        self.index, self.space, self.occurrence, self.verify = index, space, occurrence, verify
        self.cost, self.found, self.stopped, self.rounds = Cost(), None, False, 0
        self.generator, self.asked, self.requests, self.replies = strategy(space), None, [], []
        self.verdicts: dict[str, bool] = {}

    def advance(self, reply: Any = None, error: Exception | None = None) -> None:
        """Give the strategy its reply and take its next request."""
        try:
            if error is None:
                self.asked = self.generator.send(reply)
            else:
                self.stopped = True
                self.asked = self.generator.throw(error)
        except StopIteration as end:
            self.asked, self.found = None, end.value or Found(None)
        except OutOfBudget:
            self.asked, self.found = None, Found(None)
        self.rounds += 1
        if self.found is None and self.asked == []:  # it asks for nothing, and gets that
            return self.advance([])
        self.requests = self.asked if isinstance(self.asked, list) else [self.asked]
        if self.found is not None:
            self.requests = []
        for request in self.requests:
            if not isinstance(request, Request):
                raise ValueError(f"a strategy asked for {request!r:.80}, which is no request")
        self.replies = [None] * len(self.requests)

    def answer(self) -> None:
        self.advance(self.replies if isinstance(self.asked, list) else self.replies[0])

    def seed(self, seed: int, place: int) -> int:
        """The noise of a request: fresh for every round, for every place in a list, and for a
        problem that occurs again.
        """
        key = f"{seed} {self.rounds}"
        if self.occurrence or place:
            key += f" {self.occurrence} {place}"
        return zlib.crc32(key.encode())


def search_all(
    strategy: Part,
    policy: Policy,
    task,
    problems: Sequence,
    *,
    instruction: str = "solve",
    budget: Budget = Budget(),
    seed: int = 0,
    concurrent: int = 64,
    verify: Callable[[Any, str], Verdict] | None = None,
    progress: bool = False,
    on_result: Callable[[int, SearchResult], None] | None = None,
) -> list[SearchResult]:
    """Run a strategy on problems, `concurrent` of them at a time, and return their results in
    order.

    Results do not depend on `concurrent`, up to rounding. `on_result` is called with the place and
    the result of each problem as it is finished, which may be in another order. `verify` answers
    checks; by default the task does. Raises `ValueError` for a strategy that asks for something
    that is no request.
    """
    if concurrent < 1:
        raise ValueError(f"concurrent must be at least 1, got {concurrent}")
    results: list[SearchResult | None] = [None] * len(problems)
    seen: Counter[str] = Counter()
    waiting = []
    for index, problem in enumerate(problems):
        space = Space(task, problem, instruction)
        waiting.append(_Run(index, space, strategy, seen[space.prompt], verify or task.verify))
        seen[space.prompt] += 1
    waiting.reverse()
    running: list[_Run] = []
    bar = tqdm(
        total=len(problems), desc="search", unit="problem", disable=not progress, leave=False
    )
    with bar:
        while waiting or running:
            while waiting and len(running) < concurrent:
                running.append(waiting.pop())
                running[-1].advance()
            _turn([run for run in running if run.requests], policy, budget, seed)
            for run in [run for run in running if run.found is not None]:
                running.remove(run)
                results[run.index] = _result(run)
                bar.update()
                if on_result:
                    on_result(run.index, results[run.index])
    return results


def _result(run: _Run) -> SearchResult:
    found = run.found
    return SearchResult(
        run.space.problem,
        found.response,
        found.candidates,
        found.tree,
        run.cost,
        run.stopped,
        found.samples,
        found.trace,
    )


def _turn(running: list[_Run], policy: Policy, budget: Budget, seed: int) -> None:
    """Carry out what every run asks for: one call of the sampler, one of the scoring pass, one of
    each scorer.
    """
    paid = []
    for run in running:
        _checks_at_once(run, budget)
        if run.requests:
            try:
                paid.append((run, _affordable(run, policy, budget)))
            except OutOfBudget as error:
                run.advance(error=error)
    asked = [(run, i, r) for run, requests in paid for i, r in enumerate(requests)]
    samples = [(run, i, r) for run, i, r in asked if isinstance(r, Sample)]
    if samples:
        replies = policy.sample_each(
            [r for _, _, r in samples], [run.seed(seed, i) for run, i, _ in samples]
        )
        for (run, i, _), responses in zip(samples, replies, strict=True):
            run.cost.generated += sum(len(r.token_ids) for r in responses)
            run.replies[i] = responses
    logprobs = [(run, i, r) for run, i, r in asked if isinstance(r, Logprobs)]
    if logprobs:
        replies = policy.logprobs_each([r for _, _, r in logprobs])
        for (run, i, _), reply in zip(logprobs, replies, strict=True):
            run.replies[i] = reply
    scores = [(run, i, r) for run, i, r in asked if isinstance(r, Score)]
    for scorer in {id(r.scorer): r.scorer for _, _, r in scores}.values():
        mine = [(run, i, r) for run, i, r in scores if r.scorer is scorer]
        groups = [(r.prompt, r.responses) for _, _, r in mine]
        for (run, i, _), scores in zip(mine, score_groups(scorer, groups), strict=True):
            run.replies[i] = scores
    for run, i, r in asked:
        if isinstance(r, Check):
            run.replies[i] = _verdict(run, r.response)
    for run, _ in paid:
        run.answer()


def score_groups(scorer: Scorer, groups: Sequence[tuple[str, Sequence[Prefix]]]) -> list:
    """What a scorer says of groups of responses; one that can reads what they share once."""
    if hasattr(scorer, "score_groups"):
        return scorer.score_groups(groups)
    flat = [(prompt, response) for prompt, responses in groups for response in responses]
    scores = iter(scorer.score([p for p, _ in flat], [x for _, x in flat]))
    return [[next(scores) for _ in responses] for _, responses in groups]


def _affordable(run: _Run, policy: Policy, budget: Budget) -> list[Request]:
    """The requests of a run, with fewer or shorter samples where the budget covers only those;
    what they read is paid for.

    Raises `OutOfBudget` when one of them is not covered.
    """
    requests, generated = [], run.cost.left(budget, "generated")
    scored, new = 0, set()  # answers not checked before
    for request in run.requests:
        if isinstance(request, Sample):
            limit = request.max_new_tokens
            if request.cut:
                limit = min(limit, generated)
            if request.n < 1 or limit < 1 or limit > generated:
                raise OutOfBudget("generated tokens")
            n = int(min(request.n, generated // limit))
            generated -= n * limit
            request = Sample(**vars(request) | {"n": n, "max_new_tokens": int(limit)})
        elif isinstance(request, Logprobs):
            before = len(prefix_ids(policy.tokenizer, request.prefix))
            scored += before + sum(len(prefix_ids(policy.tokenizer, t)) for t in request.texts)
        elif isinstance(request, Score):
            tokenizer = getattr(request.scorer, "tokenizer", policy.tokenizer)
            scored += distinct_tokens([prefix_ids(tokenizer, x) for x in request.responses])
        else:
            new.add(_key(run, request.response))
        requests.append(request)
    prices = {"scored": scored, "checks": len(new - run.verdicts.keys())}
    for kind, price in prices.items():
        if price > run.cost.left(budget, kind):
            raise OutOfBudget(kind)
    for kind, price in prices.items():  # only now: what is not carried out is not paid for
        setattr(run.cost, kind, getattr(run.cost, kind) + price)
    return requests


def distinct_tokens(rows: Sequence[tuple[int, ...]]) -> int:
    """How many tokens rows have together when what they begin with in common counts once."""
    total, before = 0, ()
    for row in sorted(rows):
        shared = 0
        for a, b in zip(before, row, strict=False):
            if a != b:
                break
            shared += 1
        total, before = total + len(row) - shared, row
    return total


def _checks_at_once(run: _Run, budget: Budget) -> None:
    """Checks are cheap: a strategy that asks for one after the other is served many in a turn."""
    for _ in range(CHECKS_IN_A_TURN):
        if not isinstance(run.asked, Check):
            return
        if _key(run, run.asked.response) not in run.verdicts:
            if run.cost.left(budget, "checks") < 1:
                run.advance(error=OutOfBudget("checks"))
                continue
            run.cost.checks += 1
        run.advance(_verdict(run, run.asked.response))


def _verdict(run: _Run, response: str) -> bool:
    """The checker's word; an answer is never checked twice."""
    key = _key(run, response)
    if key not in run.verdicts:
        run.verdicts[key] = run.verify(run.space.problem, response).correct
    return run.verdicts[key]


def _key(run: _Run, response: str) -> str:
    """Step tasks judge the answer alone; what other tasks look at is not known, so there the whole
    text counts.
    """
    stepwise = hasattr(run.space.task, "initial")
    return (answer_of(response) if stepwise else None) or response
