"""A value head: the policy's backbone and one number a token.

Critic, process reward model (at the ends of steps), outcome reward model and Bradley-Terry model
(at the last token) are all this network; only their losses differ. It is transformers'
`LlamaForTokenClassification` with one label, so a checkpoint loads with `from_pretrained`.

Used in notebook 02.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlamaForTokenClassification

from o1lib.lab.machine import default_device
from o1lib.model import checkpoints
from o1lib.model.decoder import LlamaDecoder
from o1lib.model.policy import Policy
from o1lib.model.requests import Prefix
from o1lib.model.tokenizer import encode_prompt, prefix_ids

MAX_SCORED = 1024  # responses read at once


class ValueHead:
    """One number in (0, 1) for every token of a response, read from its prompt and itself.

    Responses to one prompt that begin alike are read together: what they have in common once.
    Numbers are made in float32, whatever the processor.

    Args:
        model: a token classifier with one label.
        tokenizer: the policy's.
    """

    bf16 = False

    def __init__(self, model: LlamaForTokenClassification, tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer
        self._decoder: LlamaDecoder | None = None

    @classmethod
    def from_policy(cls, policy: Policy, seed: int = 0) -> ValueHead:
        """A fresh head, which says one half of everything, on a copy of the policy's backbone."""
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
    def load(cls, name: str | Path, device: str | None = None) -> ValueHead:
        """A value head from a checkpoint's name or folder. Raises `ValueError` as `Policy.load`
        does.
        """
        device = device or default_device()
        return cls(*checkpoints.load(name, device, kind=LlamaForTokenClassification))

    def refresh(self) -> None:
        """Call after the model's weights have changed."""
        if self._decoder:
            self._decoder.refresh()

    def score(self, prompts: Sequence[str], responses: Sequence[Prefix]) -> list[list[float]]:
        """The numbers of each response's tokens (text, or token ids)."""
        groups: dict[str, list[int]] = {}
        for i, prompt in enumerate(prompts):
            groups.setdefault(prompt, []).append(i)
        asked = [(prompt, [responses[i] for i in rows]) for prompt, rows in groups.items()]
        found: list[list[float]] = [[]] * len(responses)
        for rows, scores in zip(groups.values(), self.score_groups(asked), strict=True):
            for i, numbers in zip(rows, scores, strict=True):
                found[i] = numbers
        return found

    def score_groups(
        self, groups: Sequence[tuple[str, Sequence[Prefix]]]
    ) -> list[list[list[float]]]:
        """The same for (prompt, responses that begin alike), every group's beginning read once."""
        found = [[[] for _ in responses] for _, responses in groups]
        contexts, tails, places, begun = [], [], [], []
        for g, (prompt, responses) in enumerate(groups):
            rows = [list(prefix_ids(self.tokenizer, r)) for r in responses]
            kept = [i for i, row in enumerate(rows) if row]
            if kept:
                rows = [rows[i] for i in kept]
                shared = _shared(rows)
                contexts.append(encode_prompt(self.tokenizer, prompt) + shared)
                tails.append([row[len(shared) :] for row in rows])
                places.append((g, kept))
                begun.append(len(shared))
        for turn in _turns(contexts, tails):
            before, after = self._read([contexts[i] for i in turn], [tails[i] for i in turn])
            row = 0
            for place, i in enumerate(turn):
                g, kept = places[i]
                shared = before[place][len(before[place]) - begun[i] :] if begun[i] else []
                for k, tail in zip(kept, tails[i], strict=True):
                    found[g][k] = shared + after[row][: len(tail)]
                    row += 1
        return found

    @torch.inference_mode()
    def _read(self, contexts, tails) -> tuple[list[list[float]], list[list[float]]]:
        """Numbers at every token of the contexts (padded on the left) and of the tails (padded on
        the right).
        """
        if not LlamaDecoder.supports(self.model):
            return self._read_plainly(contexts, tails)
        if self._decoder is None:
            self._decoder = LlamaDecoder(self.model)
        before, after, _ = self._decoder.continue_all(contexts, tails)
        return tuple(
            self._decoder.readings(states)[..., 0].sigmoid().cpu().tolist()
            for states in (before, after)
        )

    def _read_plainly(self, contexts, tails):
        """The same through the model's own forward pass, a row at a time."""
        before, after, device = [], [], next(self.model.parameters()).device
        for context, rows in zip(contexts, tails, strict=True):
            for row in rows:
                ids = torch.tensor([context + row], device=device)
                numbers = self.model(input_ids=ids).logits[0, :, 0].float().sigmoid().tolist()
                after.append(numbers[len(context) :])
            before.append(numbers[: len(context)])
        return before, after


def _shared(rows: list[list[int]]) -> list[int]:
    """What rows begin with in common, but for the last token of the shortest."""
    first, last = min(rows), max(rows)  # in lexicographic order all others lie between
    most = min(map(len, rows)) - 1
    same = next((i for i in range(most) if first[i] != last[i]), most)
    return first[:same]


def _turns(contexts: list[list[int]], tails: list[list[list[int]]]) -> list[list[int]]:
    """Groups of like length together, `MAX_SCORED` responses at most (or one group)."""
    order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
    turns, rows = [], MAX_SCORED
    for i in order:
        if rows + len(tails[i]) > MAX_SCORED:
            turns.append([])
            rows = 0
        turns[-1].append(i)
        rows += len(tails[i])
    return turns
