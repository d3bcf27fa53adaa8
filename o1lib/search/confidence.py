"""The policy's own confidence as guidance: whether its samples agree, and what it says when it is
asked. Nothing outside the policy is needed, and none of it is the truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from o1lib.search.nodes import LONGEST_QUOTE, TreeNode, answer_of, quoted, written
from o1lib.search.parts import part
from o1lib.search.requests import Logprobs, Sample
from o1lib.tasks.space import Space

Key = Callable[[str], Hashable]


def _classes(space: Space, nodes: Sequence[TreeNode], n: int, temperature, max_new_tokens, key):
    """For every incomplete node how often each answer comes when the policy goes on `n` times; None
    counts what has no answer.
    """
    going = [here for here in nodes if not space.complete(here.node)]
    replies = yield [
        Sample(space.prompt, written(h), n, temperature, max_new_tokens) for h in going
    ]
    return {
        id(here): Counter(_class(response.text, key) for response in responses)
        for here, responses in zip(going, replies, strict=True)
    }


def _class(text: str, key: Key) -> Hashable:
    answer = answer_of(text)
    return None if answer is None else key(answer)


@part
def self_consistency(
    space: Space,
    nodes: Sequence[TreeNode],
    n: int = 8,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    key: Key = str,
):
    """How far the policy agrees with itself: of a partial solution the share of the most frequent
    answer among `n` ways to go on; of a complete one the share of its answer among the complete
    ones that are valued together, which costs nothing.

    Args:
        key: answers with the same key are one answer.

    Source: Wang et al. (2022), arXiv 2203.11171.
    """
    below = yield from _classes(space, nodes, n, temperature, max_new_tokens, key)
    whole = {id(h): _class(space.response(h.node), key) for h in nodes if id(h) not in below}
    votes = Counter(whole.values())
    values = []
    for here in nodes:
        if id(here) in below:
            found = below[id(here)]
            most = max((k for answer, k in found.items() if answer is not None), default=0)
            values.append(most / found.total())
        else:
            answer = whole[id(here)]
            values.append(0.0 if answer is None else votes[answer] / votes.total())
    return values


@part
def semantic_entropy(
    space: Space,
    nodes: Sequence[TreeNode],
    n: int = 8,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    key: Key = str,
):
    """Minus the entropy (nats) over the answers of `n` ways to go on: 0 where all agree, so also
    of a complete solution, and -log n where no two do. What has no answer is a class of its own.

    Args:
        key: answers with the same key are one class.

    Source: semantic entropy, Kuhn et al. (2023), arXiv 2302.09664, with the share of samples as
        the probability of a class.
    """
    below = yield from _classes(space, nodes, n, temperature, max_new_tokens, key)
    values = []
    for here in nodes:
        counts = below.get(id(here), Counter("1"))
        shares = [count / counts.total() for count in counts.values()]
        values.append(sum(p * math.log(p) for p in shares))
    return values


@part
def self_evaluation(
    space: Space,
    nodes: Sequence[TreeNode],
    yes: str = "alive",
    no: str = "dead",
    before: str = "<answer>",
):
    """What the policy says at a glance, as a probability: asked to judge, it reads no more than
    the question, and its `yes` is weighed against its `no`. A few scored tokens; `judge` lets it
    think first.

    Of a partial solution it is asked about the state, of a complete one about the attempt as
    `revise` quotes it (the policies shipped were never taught to judge that); where there is
    neither it has no opinion: 0.5.

    Args:
        before: what is written before its word.

    Source: P(True), Kadavath et al. (2022), arXiv 2207.05221; of steps, Xie et al. (2023), arXiv
        2305.00633.
    """
    questions = {id(here): _question(space, here) for here in nodes}
    asked = {i: question for i, question in questions.items() if question}
    replies = yield [Logprobs(question, before, (yes, no)) for question in asked.values()]
    chance = {
        i: 1 / (1 + math.exp(min(700.0, against - for_)))
        for i, (for_, against) in zip(asked, replies, strict=True)
    }
    return [chance.get(id(here), 0.5) for here in nodes]


@part
def self_verification(space: Space, nodes: Sequence[TreeNode], max_new_tokens: int = 96):
    """Whether the policy, asked what its answer gives, works out what the problem asks for: one or
    zero. It is another way to the same claim, so a false conclusion seldom passes.

    A complete solution without an answer gets zero. Of a partial one, and in a world where an
    answer raises no question (`question_of`), it has no opinion: 0.5.

    Source: Weng et al. (2022), arXiv 2212.09561 (there a condition of the problem is masked and
        worked out from the answer).
    """
    asks = getattr(space.task, "question_of", None)
    values = {id(here): 0.5 for here in nodes}
    asked = []
    for here in nodes if asks else ():
        if space.complete(here.node):
            answer = answer_of(space.response(here.node))
            values[id(here)] = 0.0
            if answer and len(answer) <= LONGEST_QUOTE:
                asked.append((here, *asks(space.problem, answer)))
    replies = yield [Sample(prompt, "", 1, 0.0, max_new_tokens) for _, prompt, _ in asked]
    for (here, _, expected), [response] in zip(asked, replies, strict=True):
        values[id(here)] = float(answer_of(response.text) == expected)
    return [values[id(here)] for here in nodes]


def _question(space: Space, here: TreeNode) -> str | None:
    """What the policy is asked about a node; None where there is nothing to ask about."""
    if here.node.state is not None and not space.complete(here.node):
        return space.task.prompt(here.node.state, "judge")
    attempt = quoted([space.response(here.node)])
    return space.task.prompt(space.problem, "judge") + attempt if attempt else None
