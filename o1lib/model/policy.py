"""A policy: a language model with its tokenizer, that samples responses to prompts and scores them.

Used in every notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from o1lib.lab.machine import default_device, fast_bf16
from o1lib.model import checkpoints
from o1lib.model.generation import check_options, generate_plain, row_keys
from o1lib.model.requests import Logprobs, Prefix, Sample
from o1lib.model.sampler import LlamaSampler
from o1lib.model.tokenizer import encode_prompt, encode_text

MAX_ROWS = (
    512  # rows decoded at once; more prompts are taken in turns, so that memory stays bounded
)
MAX_SCORED = 1024  # continuations scored at once


@dataclass(frozen=True)
class Response:
    """One response: its text (with the prefix, without the end token), new token ids, their
    log-probabilities in nats, and whether it ended by itself."""

    text: str
    token_ids: list[int]
    logprobs: list[float]
    finished: bool


class Policy:
    """A causal language model that answers prompts.

    Args:
        model: any causal language model of transformers; a plain Llama gets the fast sampler.
        tokenizer: its tokenizer. One with `<user>` and `<assistant>` tokens is prompted as ours,
            others by their chat template.
        bf16: sample in bfloat16; by default where the processor has it.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, bf16: bool | None = None
    ):
        self.model, self.tokenizer = model, tokenizer
        device = next(model.parameters()).device.type
        self.bf16 = fast_bf16(device) if bf16 is None else bf16
        self._sampler: LlamaSampler | None = None
        self._has_turns = "<assistant>" in tokenizer.get_vocab()

    @classmethod
    def load(cls, name: str | Path, device: str | None = None, bf16: bool | None = None) -> Policy:
        """A policy from a checkpoint's name or folder. Raises `ValueError` when there is none or it
        cannot be read.
        """
        return cls(*checkpoints.load(name, device or default_device()), bf16=bf16)

    def refresh(self) -> None:
        """Call after the model's weights have changed."""
        if self._sampler:
            self._sampler.refresh()

    @property
    def sampler(self) -> LlamaSampler | None:
        """The fast sampler, or None for a model it does not know."""
        if self._sampler is None and LlamaSampler.supports(self.model):
            self._sampler = LlamaSampler(self.model, torch.bfloat16 if self.bf16 else torch.float32)
        return self._sampler

    def encode(self, prompt: str, prefix: str = "") -> list[int]:
        """Token ids of a prompt with the assistant's turn opened, and begun with `prefix`."""
        if self._has_turns:
            return encode_prompt(self.tokenizer, prompt, prefix)
        message = [{"role": "user", "content": prompt}]
        ids = self.tokenizer.apply_chat_template(
            message, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return ids + self.tokenizer.encode(prefix, add_special_tokens=False) if prefix else ids

    def sample(
        self,
        prompts: list[str],
        n: int = 1,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 512,
        seed: int = 0,
        prefixes: list[str] | None = None,
        stop: tuple[str, ...] = (),
        progress=None,
    ) -> list[list[Response]]:
        """`n` responses to each prompt: a list of lists, in order.

        Args:
            temperature: 0 is greedy.
            prefixes: beginnings of the responses to go on from, one per prompt.
            stop: single tokens (words) that end a response besides the end token.
            progress: called with a number of rows whenever some are finished.
        """
        ids = [
            self.encode(p, x) for p, x in zip(prompts, prefixes or [""] * len(prompts), strict=True)
        ]
        stops = [self.tokenizer.eos_token_id]
        for word in stop:
            token = self.tokenizer.encode(word, add_special_tokens=False)
            if len(token) != 1:
                raise ValueError(f"{word!r} is not a single token")
            stops.append(token[0])
        options = {
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "stop": tuple(stops),
        }
        if self.sampler is None:
            generations = generate_plain(self.model, ids, n, seed=seed, **options)
        else:
            generations = self._in_turns(ids, n, seed, progress, options)
        results = []
        for i, group in enumerate(generations):
            prefix = prefixes[i] + " " if prefixes and prefixes[i] else ""
            results.append(
                [
                    Response(prefix + self.decode(g.token_ids), g.token_ids, g.logprobs, g.finished)
                    for g in group
                ]
            )
        return results

    def _in_turns(self, ids, n: int, seed: int, progress, options):
        """Prompts in turns of at most `MAX_ROWS` rows; prompts of like length together, so that
        there is little padding.
        """
        check_options(ids, n, options["temperature"], options["max_new_tokens"], self.sampler.limit)
        # Keyed before reordering: occurrences of a prompt are counted in the given order.
        keys = row_keys(ids, n, seed).view(len(ids), n)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        size = max(1, MAX_ROWS // n)
        results: list = [[] for _ in ids]
        for start in range(0, len(ids), size):
            turn = order[start : start + size]
            for first in range(0, n, MAX_ROWS):
                part = keys[turn, first : first + MAX_ROWS]
                found = self.sampler.sample(
                    [ids[i] for i in turn],
                    part.shape[1],
                    keys=part.flatten(),
                    progress=progress,
                    **options,
                )
                for i, group in zip(turn, found, strict=True):
                    results[i] += group
        return results

    def decode(self, token_ids: list[int]) -> str:
        """The text of generated tokens, without the end token."""
        eos = self.tokenizer.eos_token_id
        return self.tokenizer.decode([t for t in token_ids if t != eos])

    def logprobs(
        self, prompts: list[str], responses: list[list[int]], max_tokens: int = 16_384
    ) -> list[torch.Tensor]:
        """Log-probabilities (nats, float32) of the given response tokens, by the model's own
        forward pass.

        Args:
            responses: token ids, one response per prompt.
            max_tokens: tokens per forward pass (memory).
        """
        rows = [(self.encode(p), list(r)) for p, r in zip(prompts, responses, strict=True)]
        return self._forward_logprobs(rows, max_tokens)

    @torch.inference_mode()
    def _forward_logprobs(self, rows, max_tokens: int) -> list[torch.Tensor]:
        """Log-probabilities of the tokens of (context, continuation) rows."""
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i][0]) - len(rows[i][1]))
        device = next(self.model.parameters()).device
        results: list = [None] * len(rows)
        while order:
            longest = len(rows[order[0]][0]) + len(rows[order[0]][1])
            turn, order = (
                order[: max(1, max_tokens // longest)],
                order[max(1, max_tokens // longest) :],
            )
            ids = torch.zeros(len(turn), longest, dtype=torch.int64)
            for row, i in enumerate(turn):
                ids[row, : len(rows[i][0]) + len(rows[i][1])] = torch.tensor(
                    rows[i][0] + rows[i][1]
                )
            logits = self.model(input_ids=ids[:, :-1].to(device), use_cache=False).logits.float()
            chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None].to(device))[..., 0].cpu()
            for row, i in enumerate(turn):
                first = len(rows[i][0]) - 1
                results[i] = chosen[row, first : first + len(rows[i][1])]
        return results

    def sample_each(self, requests: Sequence[Sample], seeds: Sequence[int]) -> list[list[Response]]:
        """Responses to requests that differ in what they ask for, each with a seed of its own."""
        alike: dict[tuple, list[int]] = {}
        for i, (r, seed) in enumerate(zip(requests, seeds, strict=True)):
            alike.setdefault((r.n, r.temperature, r.max_new_tokens, r.stop, seed), []).append(i)
        replies: list = [None] * len(requests)
        for (n, temperature, limit, stop, seed), places in alike.items():
            groups = self.sample(
                [requests[i].prompt for i in places],
                n,
                temperature=temperature,
                max_new_tokens=limit,
                seed=seed,
                prefixes=[self._text(requests[i].prefix) for i in places],
                stop=stop,
            )
            for i, group in zip(places, groups, strict=True):
                replies[i] = group
        return replies

    def _text(self, prefix: Prefix) -> str:
        return prefix if isinstance(prefix, str) else self.decode(list(prefix))

    def logprobs_each(self, requests: Sequence[Logprobs]) -> list[list[float]]:
        """The log-probability (nats) of every text of every request."""
        contexts = [self.encode(r.prompt, self._text(r.prefix)) for r in requests]
        texts = [[list(encode_text(self.tokenizer, t)) for t in r.texts] for r in requests]
        return self.continuation_logprobs(contexts, texts)

    def continuation_logprobs(
        self, contexts: list[list[int]], continuations: list[list[list[int]]]
    ) -> list[list[float]]:
        """The log-probability (nats, summed over its tokens) of every continuation of every context (token ids)."""
        if self.sampler is None:
            flat = [(c, x) for c, group in zip(contexts, continuations, strict=True) for x in group]
            sums = iter([float(v.sum()) for v in self._forward_logprobs(flat, 16_384)])
            return [[next(sums) for _ in group] for group in continuations]
        results: list = [None] * len(contexts)
        order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
        while order:  # contexts of like length together, so many at a time as memory stays bounded
            turn, size = [], 0
            while order and (not turn or size < MAX_SCORED):
                turn.append(order.pop())
                size += len(continuations[turn[-1]])
            found = self.sampler.score(
                [contexts[i] for i in turn], [continuations[i] for i in turn]
            )
            for i, group in zip(turn, found, strict=True):
                results[i] = [float(v.sum()) for v in group]
        return results
