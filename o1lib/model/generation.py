"""Generation, the part that every model shares: keyed noise, the choice of a token, and options.

The noise of a token is a hash of (seed, prompt, sample, position), so what else is in the batch
has no part in a sample. *Up to
rounding*: matrix products of another shape round otherwise, and where the noise lies within such a
    rounding of the boundary between
two words, the other word is drawn (in about one chain of some hundred with random weights, hardly
ever with trained ones).

Used by `o1lib.model.sampler` (a plain Llama, fast) and `o1lib.model.plain` (any model).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch


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
    # In float32 the largest of these rounds up to one, which would draw the last word, however
    # impossible.
    return ((_shift_right(x, 40).float() + 0.5) * 2.0**-24).clamp_(max=1 - 2.0**-24)


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical shift of 64-bit integers (torch's own is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def row_keys(
    prompts: list[list[int]], n: int | Sequence[int], seeds: int | Sequence[int]
) -> torch.Tensor:
    """One 64-bit key per (prompt, sample), shape (rows,), of `n` samples a prompt. A prompt that
    occurs again with the same seed gets further samples, not copies.

    `n` and `seeds` are one number for all prompts or one for each.
    """
    seen: dict[tuple, int] = {}
    keys = []
    for prompt, count, seed in zip(prompts, each(n, prompts), each(seeds, prompts), strict=True):
        raw = ",".join(map(str, prompt)).encode()
        first = seen.get((raw, seed), 0)
        seen[raw, seed] = first + count
        digest = zlib.crc32(raw) << 32 | zlib.crc32(b"o1lib" + raw)
        for sample in range(first, first + count):
            keys.append(
                (digest ^ zlib.crc32(f"{seed} {sample}".encode()) * 0x9E3779B97F4A7C15)
                & (1 << 63) - 1
            )
    return torch.tensor(keys, dtype=torch.int64)


def each(value, prompts: Sequence) -> list:
    """A setting for every prompt: one for all is repeated."""
    if isinstance(value, (int, float)):
        return [value] * len(prompts)
    if len(value) != len(prompts):
        raise ValueError(f"{len(value)} settings for {len(prompts)} prompts")
    return list(value)


def check_top_p(top_p: float) -> None:
    """Raise `ValueError` for a probability of the nucleus that is not above 0 and at most 1."""
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")


def check_temperature(temperature: float) -> None:
    """Raise `ValueError` for a temperature that is neither 0 nor a number large enough to divide
    by.
    """
    if temperature != 0 and not 1e-6 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0, or from 1e-6 upwards, got {temperature}")


@dataclass(frozen=True)
class Settings:
    """What each prompt of a batch asks for.

    Args:
        counts: samples, (prompts,).
        limits: new tokens at most, (prompts,), cut at the model's context.
        temperatures: (prompts, 1), or one number where all agree.
        stops: (prompts, k) token ids that end a row, filled up with -1; (1, k) where all agree.
        top_ps: probabilities of the nucleus, (prompts, 1); None where all are 1.
    """

    counts: torch.Tensor
    limits: torch.Tensor
    temperatures: float | torch.Tensor
    stops: torch.Tensor
    top_ps: torch.Tensor | None = None

    @classmethod
    def of(cls, prompts, n, temperature, max_new_tokens, stop, context: int, top_p=1.0) -> Settings:
        """Checked settings. Raises `ValueError` for options out of range."""
        counts, limits = each(n, prompts), each(max_new_tokens, prompts)
        temperatures = each(temperature, prompts)
        for name, values in (("n", counts), ("max_new_tokens", limits)):
            if min(values) < 1:
                raise ValueError(f"{name} must be at least 1, got {min(values)}")
        for value in dict.fromkeys(temperatures):
            check_temperature(value)
        top_ps = each(top_p, prompts)
        for value in dict.fromkeys(top_ps):
            check_top_p(value)
        for prompt in prompts:
            if not prompt:
                raise ValueError("a prompt is empty")
            if len(prompt) >= context:
                raise ValueError(
                    f"a prompt of {len(prompt)} tokens leaves no room in a context of {context}"
                )
        limits = [min(limit, context - len(p)) for limit, p in zip(limits, prompts, strict=True)]
        same = len(set(temperatures)) == 1
        stops = [tuple(s) for s in stop] if stop and not isinstance(stop[0], int) else [tuple(stop)]
        stops = stops[:1] if len(set(stops)) == 1 else stops
        width = max(1, *map(len, stops))
        return cls(
            torch.tensor(counts),
            torch.tensor(limits),
            temperatures[0] if same else torch.tensor(temperatures)[:, None],
            torch.tensor([[*s, *[-1] * (width - len(s))] for s in stops]),
            None if set(top_ps) == {1} else torch.tensor(top_ps)[:, None],
        )

    def to(self, device) -> Settings:
        moved = {k: v.to(device) if torch.is_tensor(v) else v for k, v in vars(self).items()}
        return Settings(**moved)

    def temperature_of(self, prompts: torch.Tensor) -> float | torch.Tensor:
        """The temperature of rows, given their prompts: (rows, 1), or one number."""
        same = not torch.is_tensor(self.temperatures)
        return self.temperatures if same else self.temperatures[prompts]

    def top_p_of(self, prompts: torch.Tensor) -> torch.Tensor | None:
        """The probability of the nucleus of rows, given their prompts: (rows, 1), or None."""
        return None if self.top_ps is None else self.top_ps[prompts]

    def stops_at(self, tokens: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Whether each row's token ends it, (rows,)."""
        if len(self.stops) == 1:
            return torch.isin(tokens, self.stops[0])
        return (tokens[:, None] == self.stops[prompts]).any(1)


def nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The distribution (rows, vocabulary) cut to the fewest words whose probabilities reach
    `top_p`, (rows, 1), and made to sum to one again.

    Source: nucleus sampling, Holtzman et al. (2019), arXiv 1904.09751, equations 2 and 3.
    """
    ordered, words = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # what the likelier words have together
    kept = ordered.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(kept).scatter(-1, words, kept / kept.sum(-1, keepdim=True))


def pick_token(
    logits: torch.Tensor,
    temperature: float | torch.Tensor,
    noise: torch.Tensor,
    top_p: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token per row and its log-probability: the largest logit where the temperature is zero,
    else the word at which the cumulative probability passes the noise.

    Args:
        logits: (rows, vocabulary), float32.
        temperature: one number, or (rows, 1).
        noise: (rows,), uniform in (0, 1).
        top_p: (rows, 1), the probability of the nucleus that is drawn from; None: all words are.
    """
    if torch.is_tensor(temperature):
        greedy = temperature[:, 0] == 0
        token, logprob = pick_token(
            logits / torch.where(temperature == 0, 1.0, temperature), 1.0, noise, top_p
        )
        best, best_logprob = pick_token(logits, 0, noise)
        return torch.where(greedy, best, token), torch.where(greedy, best_logprob, logprob)
    probabilities = (logits if temperature in (0, 1) else logits / temperature).softmax(-1)
    if temperature == 0:
        token = logits.argmax(-1, keepdim=True)
    else:
        if top_p is not None:
            probabilities = nucleus(probabilities, top_p)
        cumulative = probabilities.cumsum(-1)
        # The sum may fall a rounding error short of one: the noise is scaled to what is there.
        token = torch.searchsorted(cumulative, (noise * cumulative[:, -1])[:, None], right=True)
        token.clamp_(max=logits.shape[-1] - 1)
    return token[:, 0], probabilities.gather(-1, token)[:, 0].log()


def as_generations(
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
    lengths: torch.Tensor,
    finished: torch.Tensor,
    counts: torch.Tensor,
) -> list[list[Generation]]:
    """Rows of output as one list of generations per prompt; `counts` says how many each has."""
    rows = iter(
        [
            Generation(ids[:length], values[:length], bool(end))
            for ids, values, length, end in zip(
                tokens.tolist(), logprobs.tolist(), lengths.tolist(), finished.tolist(), strict=True
            )
        ]
    )
    return [[next(rows) for _ in range(count)] for count in counts.tolist()]
