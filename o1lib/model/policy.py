"""A policy: a language model with its tokenizer, that samples responses to prompts and scores them.

Used in every notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from o1lib.lab.machine import default_device, fast_bf16
from o1lib.model import checkpoints, foreign
from o1lib.model.generation import Generation, Settings, row_keys
from o1lib.model.plain import forward_logprobs, generate_plain
from o1lib.model.requests import Logprobs, Prefix, Sample
from o1lib.model.sampler import LlamaSampler
from o1lib.model.tokenizer import encode_prompt, encode_text, prefix_ids

# Rows decoded at once; more prompts are taken in turns, so that memory stays bounded.
MAX_ROWS = 512
MAX_SCORED = 1024  # continuations scored at once


@dataclass(frozen=True)
class Response:
    """One response.

    Args:
        text: with the policy's opening and the prefix, without the end token.
        token_ids: the new tokens.
        logprobs: theirs in nats, under the distribution that was sampled from: that of the
            request's temperature (of temperature 1 where it was 0) and nucleus.
        finished: whether it ended by itself.
        prefix_ids: the tokens of the prefix.
    """

    text: str
    token_ids: list[int]
    logprobs: list[float]
    finished: bool
    prefix_ids: tuple[int, ...] = ()


class Policy:
    """A causal language model that answers prompts.

    Args:
        model: any causal language model of transformers; a plain Llama gets the fast sampler.
        tokenizer: its tokenizer. One with `<user>` and `<assistant>` tokens is prompted as ours,
            others by their chat template, or in plain text where they have none.
        bf16: sample in bfloat16; by default where the processor has it.
        template: wraps every prompt, at the place of `{problem}`; by default nothing for our own
            models, and for others `foreign.ZERO_SHOT`, which explains the puzzles.

    Attributes:
        stops: ids of all tokens that end a text.
        opening: what the prompt itself writes of every response, such as `<think>` and a new line
            by some models' chat templates; every `Response.text` begins with it.

    Raises `ValueError` for a template without `{problem}`, or a chat template that fails.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        bf16: bool | None = None,
        template: str | None = None,
    ):
        self.model, self.tokenizer = model, tokenizer
        device = next(model.parameters()).device.type
        self.bf16 = fast_bf16(device) if bf16 is None else bf16
        self._sampler: LlamaSampler | None = None
        turns = {"<user>", "<assistant>", tokenizer.bos_token}
        self._has_turns = turns <= tokenizer.get_vocab().keys()
        default = foreign.PLACEHOLDER if self._has_turns else foreign.ZERO_SHOT
        self.template = foreign.check_template(default if template is None else template)
        self.stops = foreign.end_tokens(model, tokenizer)
        probe = self.template.replace(foreign.PLACEHOLDER, "1")
        self.opening = "" if self._has_turns else foreign.opening_of(tokenizer, probe)

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str | None = None,
        bf16: bool | None = None,
        template: str | None = None,
    ) -> Policy:
        """A policy from a checkpoint's name or folder, ours or any Hugging Face folder of a causal
        language model. Raises `ValueError` when there is none or it cannot be read.
        """
        model, tokenizer = checkpoints.load(name, device or default_device())
        return cls(model, tokenizer, bf16, template)

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

    @property
    def context(self) -> int:
        """How many tokens the model takes."""
        return getattr(self.model.config, "max_position_embeddings", None) or 10**9

    def encode(self, prompt: str, prefix: str = "") -> list[int]:
        """Token ids of a prompt with the assistant's turn opened, and begun with `prefix` (which
        may begin with the policy's `opening`, or leave it out).
        """
        text = self.template.replace(foreign.PLACEHOLDER, prompt)
        if self._has_turns:
            return encode_prompt(self.tokenizer, text, prefix)
        begun = foreign.after_opening(prefix, self.opening)
        return foreign.asked_ids(self.tokenizer, text) + list(encode_text(self.tokenizer, begun))

    def spell(self, prefix: str, token_ids: Sequence[int]) -> str:
        """The text of a response: `prefix`, with the policy's opening before it unless it begins
        with that, and the new tokens, with a blank between only where the model writes one.
        """
        if self._has_turns:
            new = self.decode(token_ids)
            return f"{prefix} {new}" if prefix and new else prefix + new
        begun = foreign.after_opening(prefix, self.opening)
        before = list(encode_text(self.tokenizer, begun))
        new = self.decode([*before, *token_ids])[len(self.decode(before)) :]
        return (prefix if begun != prefix else self.opening + prefix) + new

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
        given = prefixes or [""] * len(prompts)
        requests = [
            Sample(prompt, prefix, n, temperature, max_new_tokens, stop)
            for prompt, prefix in zip(prompts, given, strict=True)
        ]
        return self.sample_each(requests, [seed] * len(requests), progress)

    def sample_each(
        self, requests: Sequence[Sample], seeds: Sequence[int], progress=None
    ) -> list[list[Response]]:
        """Responses to requests that may differ in all they ask for, each with a seed of its own,
        in one batch (or, where there are many rows, in turns: prompts of like length together).
        """
        if not requests:
            return []
        ids = [self._begun(r.prompt, r.prefix) for r in requests]
        counts = [r.n for r in requests]
        stops = {r.stop: self._stops(r.stop) for r in requests}
        options = [(r.temperature, r.max_new_tokens) for r in requests]
        top_ps = [r.top_p for r in requests]
        Settings.of(ids, counts, *map(list, zip(*options, strict=True)), (), self.context, top_ps)
        # Keyed before reordering: occurrences of a prompt are counted in the given order.
        keys = row_keys(ids, counts, seeds).split(counts)
        found: list[list[Generation]] = [[] for _ in requests]
        for turn in _turns(ids, counts):
            asked = [requests[i] for i, _, _ in turn]
            run = self.sampler.sample if self.sampler else partial(generate_plain, self.model)
            groups = run(
                [ids[i] for i, _, _ in turn],
                [end - start for _, start, end in turn],
                temperature=[r.temperature for r in asked],
                max_new_tokens=[r.max_new_tokens for r in asked],
                stop=[stops[r.stop] for r in asked],
                top_p=[r.top_p for r in asked],
                keys=torch.cat([keys[i][start:end] for i, start, end in turn]),
                progress=progress,
            )
            for (i, _, _), group in zip(turn, groups, strict=True):
                found[i] += group
        return [
            [self._response(r.prefix, made) for made in group]
            for r, group in zip(requests, found, strict=True)
        ]

    def _begun(self, prompt: str, prefix: Prefix) -> list[int]:
        """Token ids of a prompt with the assistant's turn begun by a prefix."""
        if isinstance(prefix, str):
            return self.encode(prompt, prefix)
        return self.encode(prompt) + list(prefix)

    def _response(self, prefix: Prefix, made: Generation) -> Response:
        """What was generated behind a prefix, with it."""
        if isinstance(prefix, str):
            text, before = self.spell(prefix, made.token_ids), self._ids(prefix)
        else:
            text, before = self.spell("", [*prefix, *made.token_ids]), tuple(prefix)
        return Response(text, made.token_ids, made.logprobs, made.finished, before)

    def _ids(self, text: Prefix) -> tuple[int, ...]:
        """Token ids of a piece of a response, as they are where they are given."""
        if isinstance(text, str) and not self._has_turns:
            text = foreign.after_opening(text, self.opening)
        return prefix_ids(self.tokenizer, text)

    def _stops(self, words: tuple[str, ...]) -> tuple[int, ...]:
        """The ids that end a response: the model's own, and those of single words."""
        stops = list(self.stops)
        for word in words:
            token = self.tokenizer.encode(word, add_special_tokens=False)
            if len(token) != 1:
                raise ValueError(f"{word!r} is not a single token")
            stops.append(token[0])
        return tuple(stops)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of generated tokens, without the end tokens that close it; special words within
        stay.
        """
        ids = list(token_ids)
        while ids and ids[-1] in self.stops:
            ids.pop()
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

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
        return forward_logprobs(self.model, rows, max_tokens)

    def logprobs_each(self, requests: Sequence[Logprobs]) -> list[list[float]]:
        """The log-probability (nats, the sum over its tokens) of every text of every request."""
        contexts = [self._begun(r.prompt, r.prefix) for r in requests]
        texts = [[list(self._ids(text)) for text in r.texts] for r in requests]
        return self.continuation_logprobs(contexts, texts)

    def continuation_logprobs(
        self, contexts: list[list[int]], continuations: list[list[list[int]]]
    ) -> list[list[float]]:
        """The log-probability (nats, summed over its tokens) of every continuation of every context
        (token ids).
        """
        if self.sampler is None:
            flat = [(c, x) for c, group in zip(contexts, continuations, strict=True) for x in group]
            sums = iter([float(v.sum()) for v in forward_logprobs(self.model, flat, 16_384)])
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


def _turns(ids: list[list[int]], counts: list[int]) -> Iterator[list[tuple[int, int, int]]]:
    """(prompt, first sample, end) of the rows of every turn, `MAX_ROWS` at most."""
    turn, rows = [], 0
    for i in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        for start in range(0, counts[i], MAX_ROWS):
            end = min(counts[i], start + MAX_ROWS)
            if turn and rows + end - start > MAX_ROWS:
                yield turn
                turn, rows = [], 0
            turn.append((i, start, end))
            rows += end - start
    yield turn
