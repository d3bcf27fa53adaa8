"""The exact value function of a policy that solves step by step, by enumeration.

With one canonical text per step, the `solve` policy is a Markov decision process small enough to list: the probability of
every step is that of its text, and `V`, `Q` and `A` follow by backward induction (roadmap, Eq. 2). Three things are kept
apart: *valid* (every listed step is), *alive* (the oracle: can still win), *value* (how often this policy wins from here).

Probability that leaves the legal steps (malformed text, wrong arithmetic) never wins here, and is reported; so is the
probability that a solved state's answer is written in the canonical way, which is part of the value.

Used in notebook 02, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.tasks.space import Node, Space


@dataclass
class Valued:
    """A node of the whole tree.

    Args:
        probability: of the step to it, given its parent.
        reach: of the whole path from the root (the visit distribution).
        value: V, the probability that the policy ends right from here.
        alive: whether anything can still win from here.
    """

    node: Node
    probability: float
    reach: float
    alive: bool
    value: float = 0.0
    children: list[Valued] = field(default_factory=list, repr=False)

    @property
    def left_out(self) -> float:
        """The probability that the policy's next text is none of the legal steps."""
        return 1.0 - sum(child.probability for child in self.children) if self.children else 0.0

    def q(self, index: int) -> float:
        """Q of a step: the value of the state that it leads to."""
        return self.children[index].value

    def advantage(self, index: int) -> float:
        """A = Q - V: how much better a step is than what the policy does on average."""
        return self.q(index) - self.value


def enumerate_values(
    policy: Policy, task, problems, instruction: str = "solve"
) -> list[list[Valued]]:
    """Every node of every problem's tree with its exact value, root first.

    Sizes: 3 numbers give about 40 nodes a problem, 4 numbers about 1,000.
    """
    trees = []
    for problem in problems:
        space = Space(task, problem, instruction)
        root = space.root
        trees.append((space, [Valued(root, 1.0, 1.0, task.solvable(root.state))]))
    layer = [(space, nodes, nodes[0]) for space, nodes in trees]
    layers = []
    while layer:
        layers.append(layer)
        contexts, continuations = [], []
        for space, _, here in layer:
            contexts.append(_ids(policy, space, here.node))
            continuations.append([_encode(policy, t) for t in _texts(space, here.node)])
        found = policy.continuation_logprobs(contexts, continuations)
        below = []
        for (space, nodes, here), logprobs in zip(layer, found, strict=True):
            if space.complete(here.node):
                # A complete state wins with the probability that its answer is written.
                here.value = math.exp(logprobs[0]) if here.alive else 0.0
                continue
            for step, logprob in zip(space.steps(here.node), logprobs, strict=True):
                child, p = space.child(here.node, step), math.exp(logprob)
                valued = Valued(child, p, here.reach * p, task.solvable(child.state))
                here.children.append(valued)
                nodes.append(valued)
                below.append((space, nodes, valued))
        layer = below
    for layer in reversed(layers):
        for _, _, here in layer:
            if here.children:
                here.value = sum(c.probability * c.value for c in here.children)
    return [nodes for _, nodes in trees]


def _encode(policy: Policy, text: str) -> list[int]:
    return list(encode_text(policy.tokenizer, text))


def _ids(policy: Policy, space: Space, node: Node) -> list[int]:
    return policy.encode(space.prompt, node.prefix)


def _texts(space: Space, node: Node) -> list[str]:
    """The legal continuations of a node: its steps, or, when it is complete, its answer."""
    if space.complete(node):
        return [space.response(node).removeprefix(node.prefix) + " <eos>"]
    return [space.continuation(node, step) for step in space.steps(node)]
