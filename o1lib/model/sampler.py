"""Batched sampling from a small Llama on a CPU, several times faster than `generate`.

What makes it fast, beside the engine (`o1lib.model.decoder`): finished rows are dropped, so no step
is spent on padding; the prompt is computed once per group of samples; random numbers for many steps
are drawn at once.

What makes it exact: the noise of a token is a hash of (seed, prompt, sample, position), so a sample
does not depend on what else is in the batch, up to rounding (`o1lib.model.generation`); in float32
the log-probabilities equal the model's own forward pass to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from o1lib.model.decoder import LlamaDecoder
from o1lib.model.generation import (
    Generation,
    Settings,
    as_generations,
    pick_token,
    row_keys,
    uniform_noise,
)

# Ended rows are dropped when they are this share of the batch.
ENDED_SHARE = 1 / 32
NOISE_STEPS = 64  # random numbers are drawn for so many steps at once
FIRST_SLOTS = 64  # room for so many new tokens at first


class LlamaSampler(LlamaDecoder):
    """Samples from a `LlamaForCausalLM`, and scores given continuations."""

    @torch.inference_mode()
    def sample(
        self,
        prompts: list[list[int]],
        n: int | Sequence[int] = 1,
        *,
        temperature: float | Sequence[float] = 1.0,
        max_new_tokens: int | Sequence[int] = 512,
        seed: int = 0,
        stop: tuple[int, ...] | Sequence[tuple[int, ...]] = (),
        top_p: float | Sequence[float] = 1.0,
        keys: torch.Tensor | None = None,
        progress=None,
    ) -> list[list[Generation]]:
        """Continuations of each prompt (token ids).

        Each of `n`, `temperature`, `max_new_tokens`, `stop` and `top_p` is one for all prompts or
        one for each.

        Args:
            temperature: 0 takes the most probable token; log-probabilities are then those of
                temperature 1.
            max_new_tokens: tokens per row at most; also cut at the model's context.
            stop: token ids that end a row (they are kept as its last token).
            top_p: the probability of the nucleus that is drawn from.
            keys: noise keys (rows,), by default from (seed, prompt, sample).
            progress: called with the number of rows that finished.

        Raises:
            ValueError: for an empty or over-long prompt, or options out of range.
        """
        if not prompts:
            return []
        settings = Settings.of(prompts, n, temperature, max_new_tokens, stop, self.limit, top_p)
        keys = row_keys(prompts, settings.counts.tolist(), seed) if keys is None else keys
        keys = keys.to(self.device)
        longest, max_new = max(map(len, prompts)), int(settings.limits.max())
        groups = self.groups(len(prompts), settings.counts)
        settings = settings.to(self.device)
        room = settings.limits[groups]  # a row's own limit, whatever else is in the batch
        slots = longest + min(max_new, FIRST_SLOTS)
        hidden, cache, pads = self.prefill(prompts, settings.counts, slots)
        hidden, rows = hidden[:, -1][groups], len(groups)
        tokens_out = torch.zeros(rows, max_new, dtype=torch.int64, device=self.device)
        logprobs_out = torch.zeros(rows, max_new, device=self.device)
        lengths, finished = room.clone(), torch.zeros(rows, dtype=torch.bool, device=self.device)

        active = torch.arange(rows, device=self.device)  # the output row of each cache row
        alive = torch.ones_like(finished)  # the others have ended and wait to be dropped
        bias = self.bias(pads, longest) if pads.any() else None
        for step in range(max_new):
            if step % NOISE_STEPS == 0:
                noise = uniform_noise(keys[active], step, min(NOISE_STEPS, max_new - step))
            token, logprob = pick_token(
                self.readings(hidden),
                settings.temperature_of(groups[active]),
                noise[:, step % NOISE_STEPS],
                settings.top_p_of(groups[active]),
            )
            tokens_out[active, step] = token
            logprobs_out[active, step] = logprob
            ended = settings.stops_at(token, groups[active]) & alive
            lengths[active[ended]] = step + 1
            finished[active[ended]] = True
            alive &= ~ended & (room[active] > step + 1)
            n_alive = int(alive.sum())
            if progress and (n_ended := int(ended.sum())):
                progress(n_ended)
            if n_alive == 0:
                break
            if cache.rows - n_alive >= max(self.row_multiple, ENDED_SHARE * cache.rows):
                kept = cache.keep(alive, self.row_multiple)
                active, token, pads, noise = active[kept], token[kept], pads[kept], noise[kept]
                alive, bias = alive[kept], None if bias is None else bias[kept]
            slot = longest + step
            if slot == cache.slots:
                every = torch.arange(cache.rows, device=self.device)
                cache = cache.copied(every, slot, min(2 * slot, longest + max_new))
            positions = (slot - pads).clamp_(max=self.limit - 1)[:, None]
            hidden = self.forward(token[:, None], positions, cache, slot, bias)[:, 0]
        return as_generations(tokens_out, logprobs_out, lengths, finished, settings.counts)

    @torch.inference_mode()
    def score(
        self, contexts: list[list[int]], continuations: list[list[list[int]]]
    ) -> list[list[torch.Tensor]]:
        """Log-probabilities (nats, float32) of the tokens of several continuations of each context,
        which is computed once.

        Raises `ValueError` for an empty context or continuation, or one that does not fit.
        """
        if not any(continuations):
            return [[] for _ in continuations]
        counts = [len(group) for group in continuations]
        before, after, ids = self.continue_all(contexts, continuations)
        states = torch.cat((before[:, -1:][self.groups(len(contexts), counts)], after[:, :-1]), 1)
        logits = self.readings(states)
        chosen = logits.log_softmax(-1).gather(-1, ids[:, :, None])[..., 0]
        rows = iter(chosen.cpu())
        return [[next(rows)[: len(row)] for row in group] for group in continuations]
