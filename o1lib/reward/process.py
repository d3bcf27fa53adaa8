"""Process rewards: labels of partial solutions from Monte-Carlo rollouts.

Labels by people are dear (800,000 were made for PRM800K). Instead, from every partial solution the
policy goes on several times, and the share that ends right is the label (Math-Shepherd, Wang et
al. 2023, arXiv 2312.08935, soft estimation). What is learned is thus the *value* of a step under
this policy, which is neither whether the step is valid nor whether the state is alive.

A `ValueHead` (`o1lib.model.heads`) is trained on such labels by `o1lib.learning.values`.

Used in notebook 02.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from o1lib.model.policy import Policy
from o1lib.tasks.space import Node, Space


@dataclass(frozen=True)
class Label:
    """A partial solution with the share of `n` rollouts from it that ended right."""

    space: Space
    node: Node
    value: float
    n: int


def label_visited_nodes(
    policy: Policy, task, problems: Sequence, n: int = 4, seed: int = 0, instruction: str = "solve"
) -> list[Label]:
    """Every distinct partial solution that `n` sampled responses to each problem go through, as far
    as they are legal, labeled with the share of these responses that ended right (on-policy
    Monte-Carlo values, at no further cost).
    """
    spaces = [Space(task, problem, instruction) for problem in problems]
    groups = policy.sample([s.prompt for s in spaces], n, seed=seed)
    counts: dict[tuple, list] = {}
    for space, group in zip(spaces, groups, strict=True):
        for sample in group:
            right = bool(task.verify(space.problem, sample.text))
            for node in space.read(sample.text):
                entry = counts.setdefault((space.problem, node), [space, node, 0, 0])
                entry[2] += 1
                entry[3] += right
    return [Label(space, node, right / n, n) for space, node, n, right in counts.values()]


def rollout_values(
    policy: Policy, nodes: Sequence[tuple[Space, Node]], n: int = 8, seed: int = 0
) -> list[Label]:
    """The Monte-Carlo value of each partial solution: `n` rollouts, checked. Its standard error is
    sqrt(v (1 - v) / n).
    """
    if n < 1:
        raise ValueError(f"need at least one rollout, got {n}")
    groups = policy.sample(
        [space.prompt for space, _ in nodes],
        n,
        seed=seed,
        prefixes=[node.prefix for space, node in nodes],
    )
    labels = []
    for (space, node), group in zip(nodes, groups, strict=True):
        right = sum(bool(space.task.verify(space.problem, s.text)) for s in group)
        labels.append(Label(space, node, right / n, n))
    return labels


def node_values(scorer, nodes: Sequence[tuple[Space, Node]]) -> list[float]:
    """What a scorer says at the last token of each partial solution (the root, where nothing has
    been written, gets zero).
    """
    prompts, prefixes = [s.prompt for s, _ in nodes], [n.prefix for _, n in nodes]
    return [row[-1] if row else 0.0 for row in scorer.score(prompts, prefixes)]
