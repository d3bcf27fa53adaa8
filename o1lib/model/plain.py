"""The plain path: any causal language model of transformers, through its own forward pass and
cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel

from o1lib.model.generation import (
    Generation,
    Settings,
    as_generations,
    check_temperature,
    pick_token,
    row_keys,
    uniform_noise,
)


@torch.inference_mode()
def generate_plain(
    model: PreTrainedModel,
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
    """The same as `LlamaSampler.sample` through the model's own forward pass and cache: any causal
    language model of transformers.

    Rows are grouped by prompt length, so that no padding and no assumption about the model's
    positions is needed.
    """
    if not prompts:
        return []
    context = getattr(model.config, "max_position_embeddings", None) or 10**9
    device = next(model.parameters()).device
    settings = Settings.of(prompts, n, temperature, max_new_tokens, stop, context, top_p)
    keys = row_keys(prompts, settings.counts.tolist(), seed) if keys is None else keys
    counts, settings = settings.counts, settings.to(device)
    owner = torch.arange(len(prompts)).repeat_interleave(counts)  # the prompt of every row
    max_new = int(settings.limits.max())
    tokens_out = torch.zeros(len(owner), max_new, dtype=torch.int64, device=device)
    logprobs_out = torch.zeros(len(owner), max_new, device=device)
    lengths = settings.limits.cpu()[owner].clone()
    finished = torch.zeros(len(owner), dtype=torch.bool)
    sizes = torch.tensor([len(p) for p in prompts])[owner]
    for size in sizes.unique().tolist():
        rows = (sizes == size).nonzero()[:, 0]
        mine, room = owner[rows].to(device), lengths[rows].clone()
        ids = torch.tensor([prompts[i] for i in owner[rows].tolist()], device=device)
        ended, cache = torch.zeros(len(rows), dtype=torch.bool), None
        for step in range(int(room.max())):
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            noise = uniform_noise(keys[rows].to(device), step, 1)[:, 0]
            token, logprob = pick_token(
                output.logits[:, -1].float(),
                settings.temperature_of(mine),
                noise,
                settings.top_p_of(mine),
            )
            tokens_out[rows, step], logprobs_out[rows, step] = token, logprob
            stopped = settings.stops_at(token, mine).cpu() & ~ended & (room > step)
            lengths[rows[stopped]] = step + 1
            finished[rows[stopped]] = True
            if progress and (n_stopped := int(stopped.sum())):
                progress(n_stopped)
            ended |= stopped | (room <= step + 1)
            if ended.all():
                break
            ids = token[:, None]
    return as_generations(tokens_out, logprobs_out, lengths, finished, counts)


def continuations(
    policy, prompt: str, temperature: float, max_new_tokens: int, seed: int
) -> Iterator[str]:
    """What the policy adds to its text, token by token, by the model's own forward pass and cache.

    Greedy (temperature 0) it is what `policy.sample` gives, up to rounding; drawn, it is another
    chain of the same distribution. The end token comes as an empty item.
    """
    check_temperature(temperature)
    ends = set(policy.stops)
    limit = getattr(policy.model.config, "max_position_embeddings", None) or 10**9
    generator = torch.Generator().manual_seed(seed)
    context = policy.encode(prompt)
    ids = torch.tensor([context], device=next(policy.model.parameters()).device)
    cache, written, text = None, [], ""
    for _ in range(min(max_new_tokens, limit - len(context))):
        with torch.inference_mode():
            output = policy.model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[0, -1].float().cpu()
        if temperature == 0:
            token = int(logits.argmax())
        else:
            chances = (logits / temperature).softmax(-1)
            token = int(torch.multinomial(chances, 1, generator=generator))
        if token in ends:
            yield ""
            return
        written.append(token)
        longer = policy.decode(written)
        yield longer[len(text) :]
        text = longer
        ids = ids.new_tensor([[token]])


@torch.inference_mode()
def forward_logprobs(
    model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], max_tokens: int
) -> list[torch.Tensor]:
    """Log-probabilities (nats, float32) of the tokens of each (context, continuation)."""
    sizes = [len(context) + len(row) for context, row in rows]
    order = sorted(range(len(rows)), key=lambda i: -sizes[i])
    device = next(model.parameters()).device
    results: list = [None] * len(rows)
    while order:
        longest = sizes[order[0]]
        many = max(1, max_tokens // longest)
        turn, order = order[:many], order[many:]
        ids = torch.tensor([rows[i][0] + rows[i][1] + [0] * (longest - sizes[i]) for i in turn])
        logits = model(input_ids=ids[:, :-1].to(device), use_cache=False).logits.float()
        chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None].to(device))[..., 0].cpu()
        for row, i in enumerate(turn):
            first = len(rows[i][0]) - 1
            results[i] = chosen[row, first : first + len(rows[i][1])]
    return results
