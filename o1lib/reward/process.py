"""Process rewards: labels of partial solutions from Monte-Carlo rollouts, and a value head on the
policy's backbone.

Nobody labels steps by hand: from every partial solution the policy goes on several times, and the
share that ends right is the label (Math-Shepherd, Wang et al. 2023, arXiv 2312.08935, soft
estimation). What is learned is thus the *value* of a step under this policy, which is neither
whether the step is valid nor whether the state is alive.

A head is trained on such labels by `o1lib.learning.values`. The network is transformers'
`LlamaForTokenClassification` with one label, so a checkpoint loads with `from_pretrained`.

Used in notebook 02, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaForTokenClassification

from o1lib.model import checkpoints
from o1lib.model.batching import like_lengths, padded
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_prompt, encode_text
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


class ValueModel:
    """Values of partial solutions in (0, 1): a process reward, and a guidance for search.

    Args:
        model: a token classifier with one label.
        tokenizer: the policy's.
    """

    def __init__(self, model: LlamaForTokenClassification, tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def from_policy(cls, policy: Policy, seed: int = 0) -> ValueModel:
        """A fresh head on a copy of the policy's backbone."""
        config = type(policy.model.config)(
            **policy.model.config.to_dict() | {"id2label": {0: "value"}, "label2id": {"value": 0}}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LlamaForTokenClassification(config)
        model.model.load_state_dict(policy.model.model.state_dict())
        torch.nn.init.zeros_(model.score.weight)
        return cls(model.to(next(policy.model.parameters()).device), policy.tokenizer)

    @classmethod
    def load(cls, name: str | Path) -> ValueModel:
        """A value model from a checkpoint's name or folder. Raises `ValueError` as `Policy.load`
        does.
        """
        return cls(*checkpoints.load(name, kind=LlamaForTokenClassification))

    def refresh(self) -> None:
        """Nothing is kept beside the weights."""

    def encode(self, space: Space, node: Node) -> list[int]:
        return encode_prompt(self.tokenizer, space.prompt, node.prefix)

    def scored_tokens(self, space: Space, node: Node) -> int:
        """The tokens of the prefix (the prompt is not counted)."""
        return len(encode_text(self.tokenizer, node.prefix))

    @torch.inference_mode()
    def values(
        self, spaces: Sequence[Space], nodes: Sequence[Node], max_tokens: int = 16_384
    ) -> list[float]:
        """The value of each partial solution, read at its last token."""
        rows = [self.encode(s, n) for s, n in zip(spaces, nodes, strict=True)]
        results = [0.0] * len(rows)
        device = next(self.model.parameters()).device
        for chosen, length in like_lengths([len(r) for r in rows], max_tokens):
            ids = padded([rows[i] for i in chosen], length, 0).to(device)
            logits = self.model(input_ids=ids, use_cache=False).logits[..., 0].float()
            for row, i in enumerate(chosen):
                results[i] = float(logits[row, len(rows[i]) - 1].sigmoid())
        return results
