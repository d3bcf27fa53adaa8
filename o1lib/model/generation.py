"""Generation, the part that every model shares: keyed noise, the choice of a token, options, and a plain path.

The noise of a token is a hash of (seed, prompt, sample, position), so what else is in the batch has no part in a sample. *Up to
rounding*: matrix products of another shape round otherwise, and where the noise lies within such a rounding of the boundary between
two words, the other word is drawn (in about one chain of some hundred with random weights, hardly ever with trained ones).

Used by `o1lib.model.sampler` (a plain Llama, fast) and `o1lib.model.policy`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Generation:
    """What one row produced: token ids and their log-probabilities (nats, under the distribution
    sampled from).

    `finished` says that the row ended with a stop token (which is included) rather than at the
    length limit.
    """

    token_ids: list[int]
    logprobs: list[float]
    finished: bool


def uniform_noise(keys: torch.Tensor, start: int, length: int) -> torch.Tensor:
    """Uniform numbers in (0, 1), shape (rows, length), for positions start.. of each row's key: a
    SplitMix64 hash.

    Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", with the
    finalizer of Stafford's mix 13.
    """
    positions = torch.arange(start + 1, start + length + 1, device=keys.device)
    x = keys[:, None] + positions * -7046029254386353131
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        x = (x ^ _shift_right(x, shift)) * factor
    x = x ^ _shift_right(x, 31)
    # In float32 the largest of these rounds up to one, which would draw the last word, however impossible.
    return ((_shift_right(x, 40).float() + 0.5) * 2.0**-24).clamp_(max=1 - 2.0**-24)


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical shift of 64-bit integers (torch's own is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def row_keys(prompts: list[list[int]], n: int, seed: int) -> torch.Tensor:
    """One 64-bit key per (prompt, sample), shape (prompts * n,). A prompt that occurs again gets
    further samples, not copies.
    """
    seen: dict[bytes, int] = {}
    keys = []
    for prompt in prompts:
        raw = ",".join(map(str, prompt)).encode()
        first = seen.get(raw, 0)
        seen[raw] = first + n
        digest = zlib.crc32(raw) << 32 | zlib.crc32(b"o1lib" + raw)
        for sample in range(first, first + n):
            keys.append(
                (digest ^ zlib.crc32(f"{seed} {sample}".encode()) * 0x9E3779B97F4A7C15)
                & (1 << 63) - 1
            )
    return torch.tensor(keys, dtype=torch.int64)


def check_temperature(temperature: float) -> None:
    """Raise `ValueError` for a temperature that is neither 0 nor a number large enough to divide by."""
    if temperature != 0 and not 1e-6 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0, or from 1e-6 upwards, got {temperature}")


def check_options(prompts, n: int, temperature: float, max_new_tokens: int, limit: int) -> None:
    """Raise `ValueError` for options out of range."""
    if n < 1 or max_new_tokens < 1:
        raise ValueError(f"n and max_new_tokens must be at least 1, got {n} and {max_new_tokens}")
    check_temperature(temperature)
    for prompt in prompts:
        if not prompt:
            raise ValueError("a prompt is empty")
        if len(prompt) >= limit:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens leaves no room in a context of {limit}"
            )


def choose(
    logits: torch.Tensor, temperature: float, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token per row and its log-probability: the largest logit, or the one at which the
    cumulative probability passes the noise.

    logits (rows, vocabulary) float32, noise (rows,) uniform in (0, 1).
    """
    probabilities = (logits if temperature in (0, 1) else logits / temperature).softmax(-1)
    if temperature == 0:
        token = logits.argmax(-1, keepdim=True)
    else:
        cumulative = probabilities.cumsum(-1)
        # The sum may fall a rounding error short of one: the noise is scaled to what is there.
        token = torch.searchsorted(cumulative, (noise * cumulative[:, -1])[:, None], right=True)
        token.clamp_(max=logits.shape[-1] - 1)
    return token[:, 0], probabilities.gather(-1, token)[:, 0].log()


def collect(tokens, logprobs, lengths, finished, n: int) -> list[list[Generation]]:
    rows = [
        Generation(ids[:length], values[:length], bool(end))
        for ids, values, length, end in zip(
            tokens.tolist(), logprobs.tolist(), lengths.tolist(), finished.tolist(), strict=True
        )
    ]
    return [rows[i : i + n] for i in range(0, len(rows), n)]


@torch.inference_mode()
def generate_plain(
    model: PreTrainedModel,
    prompts: list[list[int]],
    n: int = 1,
    *,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    seed: int = 0,
    stop: tuple[int, ...] = (),
) -> list[list[Generation]]:
    """The same interface through the model's own forward pass and cache: any causal language model
    of transformers.

    Rows are grouped by prompt length, so that no padding and no assumption about the model's
    positions is needed.
    """
    limit = getattr(model.config, "max_position_embeddings", None) or 10**9
    check_options(prompts, n, temperature, max_new_tokens, limit)
    keys = row_keys(prompts, n, seed).view(len(prompts), n)
    device = next(model.parameters()).device
    results: list[list[Generation] | None] = [None] * len(prompts)
    for length in sorted({len(p) for p in prompts}):
        group = [i for i, p in enumerate(prompts) if len(p) == length]
        ids = torch.tensor([prompts[i] for i in group], device=device).repeat_interleave(n, 0)
        group_keys = keys[group].flatten().to(device)
        max_new = min(max_new_tokens, limit - length)
        rows = len(ids)
        tokens_out = torch.zeros(rows, max_new, dtype=torch.int64, device=device)
        logprobs_out = torch.zeros(rows, max_new, device=device)
        lengths = torch.full((rows,), max_new)
        finished = torch.zeros(rows, dtype=torch.bool)
        stops = torch.tensor(stop, dtype=torch.int64, device=device)
        cache = None
        for step in range(max_new):
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            noise = uniform_noise(group_keys, step, 1)[:, 0]
            token, logprob = choose(output.logits[:, -1].float(), temperature, noise)
            tokens_out[:, step], logprobs_out[:, step] = token, logprob
            ended = torch.isin(token, stops).cpu() & ~finished
            lengths[ended] = step + 1
            finished |= ended
            if finished.all():
                break
            ids = token[:, None]
        for i, samples in zip(
            group, collect(tokens_out, logprobs_out, lengths, finished, n), strict=True
        ):
            results[i] = samples
    return results
