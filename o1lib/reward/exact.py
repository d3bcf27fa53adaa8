"""The exact value function of a policy that solves step by step, by enumeration of its texts.

With one canonical text per step, the `solve` policy is a Markov decision process small enough to
list: the probability of every step is that of its text, and `V`, `Q` and `A` follow by backward
induction (roadmap, Eq. 2). Three things are kept apart: *valid* (every listed step is), *alive*
(the oracle: can still win), *value* (how often this policy wins from here).

The values are **lower bounds**. A response in other words (another spelling of a step or of the
answer, a chain that goes on after a wrong step, a chain longer than `max_depth`) is not listed and
counts as lost, though it may win. The probability of all that is not listed is `left_out`, beside
every value: the truth lies between `value` and `value + left_out`.

Here the value of a state may depend on the whole text that led to it. Where a policy looks at the
state alone, or where steps can cycle, see `o1lib.reward.markov`.

Used in notebook 02.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.tasks.space import Node, Space


@dataclass
class Valued:
    """A node of the tree.

    Args:
        probability: of the step to it, given its parent.
        reach: of the whole path from the root (the visit distribution).
        value: V, the probability that the policy ends right from here in the listed texts: a lower
            bound of the probability that it ends right.
        alive: whether anything can still win from here.
        left_out: the probability that, from here on, the policy leaves the listed texts.
    """

    node: Node
    probability: float
    reach: float
    alive: bool
    value: float = 0.0
    left_out: float = 0.0
    children: list[Valued] = field(default_factory=list, repr=False)

    def q(self, index: int) -> float:
        """Q of a step: the value of the state that it leads to."""
        return self.children[index].value

    def advantage(self, index: int) -> float:
        """A = Q - V: how much better a step is than what the policy does on average."""
        return self.q(index) - self.value


def enumerate_values(
    policy: Policy,
    task,
    problems,
    instruction: str = "solve",
    max_depth: int | None = None,
    max_nodes: int = 300_000,
) -> list[list[Valued]]:
    """Every node of every problem's tree with its value, root first.

    Sizes: Countdown has about 40 nodes a problem with 3 numbers and 1,000 with 4, Arithmetic with 4
    numbers about 6.

    Args:
        max_depth: how many steps a chain has at most; what is longer is `left_out`. Needed where
            steps can cycle (Jugs), and then the tree grows by a factor of about 3 a step.
        max_nodes: of all trees together.

    Raises `ValueError` when there would be more nodes.
    """
    trees = []
    for problem in problems:
        space = Space(task, problem, instruction)
        root = space.root
        trees.append((space, [Valued(root, 1.0, 1.0, task.solvable(root.state))]))
    layer = [(space, nodes, nodes[0]) for space, nodes in trees]
    layers, count = [], len(layer)
    while layer:
        layers.append(layer)
        inner = [entry for entry in layer if _listed(entry[0], entry[2].node, max_depth)]
        count += sum(len(space.steps(here.node)) for space, _, here in inner)
        if count > max_nodes:
            raise ValueError(f"the trees have more than {max_nodes} nodes: give a max_depth")
        contexts = [policy.encode(space.prompt, here.node.prefix) for space, _, here in inner]
        texts = [_texts(space, here.node) for space, _, here in inner]
        found = policy.continuation_logprobs(
            contexts, [[list(encode_text(policy.tokenizer, t)) for t in some] for some in texts]
        )
        below = []
        for (space, nodes, here), logprobs in zip(inner, found, strict=True):
            here.left_out = max(0.0, 1.0 - sum(map(math.exp, logprobs)))
            if space.complete(here.node):
                # A complete state wins with the probability that its answer is written.
                won = space.task.is_solved(here.node.state)
                here.value = math.exp(logprobs[0]) if won else 0.0
                continue
            for step, logprob in zip(space.steps(here.node), logprobs, strict=True):
                child, p = space.child(here.node, step), math.exp(logprob)
                valued = Valued(child, p, here.reach * p, task.solvable(child.state))
                here.children.append(valued)
                nodes.append(valued)
                below.append((space, nodes, valued))
        layer = below
    for layer in reversed(layers):
        for space, _, here in layer:
            if not _listed(space, here.node, max_depth):
                here.left_out = 1.0
            if here.children:
                here.value = sum(c.probability * c.value for c in here.children)
                here.left_out += sum(c.probability * c.left_out for c in here.children)
    return [nodes for _, nodes in trees]


def _listed(space: Space, node: Node, max_depth: int | None) -> bool:
    """Whether what follows a node is listed: its steps as far as `max_depth`, or its answer."""
    return max_depth is None or node.depth < max_depth or space.complete(node)


def _texts(space: Space, node: Node) -> list[str]:
    """The listed continuations of a node: its steps, or, when it is complete, its answer."""
    if space.complete(node):
        return [space.response(node).removeprefix(node.prefix) + " <eos>"]
    return [space.continuation(node, step) for step in space.steps(node)]
