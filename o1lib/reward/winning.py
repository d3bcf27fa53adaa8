"""The exact value of every text of a chain, from the few chains that win.

Where a reward pays for canonical chains alone (`canonical_reward`), nothing is left out: a puzzle
of three numbers has about two of them, and V of what is written is the probability that the policy
goes on to one. Compare `o1lib.reward.exact`, which lists what loses as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.reward.outcome import Reward
from o1lib.tasks.space import Space


def canonical_reward(task) -> Reward:
    """One for a chain of legal canonical steps that wins, with the answer that they spell out."""

    def checked(problems: Sequence, responses: Sequence[str]) -> list[float]:
        found = []
        for problem, response in zip(problems, responses, strict=True):
            space = Space(task, problem)
            last = space.read(response)[-1]
            found.append(float(task.is_solved(last.state) and space.response(last) == response))
        return found

    return checked


def winning_texts(policy: Policy, space: Space) -> list[tuple[int, ...]]:
    """The token ids of all canonical chains that win, each with its answer and the end token."""
    found = []
    for steps in space.task.solutions(space.root.state):
        node = space.root
        for step in steps:
            node = space.child(node, step)
        found.append(encode_text(policy.tokenizer, f"{space.response(node)} <eos>"))
    return [tuple(ids) for ids in found]


def exact_values(policy: Policy, spaces: Sequence[Space]) -> list[dict[tuple[int, ...], float]]:
    """For every space V of every text (token ids) that can still win:

    V(text) = sum over winning chains that begin with it of p(the rest | text). All other texts are
    worth zero. The same numbers as `o1lib.reward.exact.enumerate_values`, without its losing nodes.
    """
    rows = [(i, ids) for i, space in enumerate(spaces) for ids in winning_texts(policy, space)]
    logprobs = policy.logprobs([spaces[i].prompt for i, _ in rows], [ids for _, ids in rows])
    tables: list[dict] = [{} for _ in spaces]
    for (i, ids), row in zip(rows, logprobs, strict=True):
        to_go = [*row.flip(0).cumsum(0).flip(0).tolist(), 0.0]  # log p(the rest)
        for t, logprob in enumerate(to_go):
            tables[i][ids[:t]] = tables[i].get(ids[:t], 0.0) + math.exp(logprob)
    return tables
