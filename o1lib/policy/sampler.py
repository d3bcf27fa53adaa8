"""The engine room: batched sampling from a small Llama on a CPU, several times faster than
`generate`.

What makes it fast, in the order of what it saves:

* finished rows are dropped, so no step is spent on padding;
* the KV cache is written in place and grows by doubling; keys are stored transposed, as their
  product wants them; there are few KV heads and they are never repeated;
* the prompt is computed once per group of samples;
* small matrices are joined (q, k, v and the rotated q, k in one product; gate and up in another),
  RMS-norm gains are folded into them;
* bfloat16 where the processor has it; random numbers for many steps are drawn at once.

What makes it exact: the noise of a token is a hash of (seed, prompt, sample, position), so a sample
does not depend on what else is in the batch; in float32 the log-probabilities equal the model's own
forward pass to rounding.

Left out on purpose: compilation, custom kernels, paged memory. Models that are not a plain Llama go
through `generate_plain`.

Used in notebook 01, section 5.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

# oneDNN prepares a kernel for every new matrix shape: rows and slots are taken in multiples, so
# that shapes repeat.
KEEP = 0.9  # rows are dropped from the cache when about this share, or fewer, are alive
ROW_MULTIPLE = 16
READ_MULTIPLE = 32


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
    return (_shift_right(x, 40).float() + 0.5) * 2.0**-24


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


class LlamaSampler:
    """A `LlamaForCausalLM`'s weights, laid out for decoding.

    Args:
        model: a Llama with rotary positions of the default kind and no biases; see `supports`.
        dtype: float32 for exactness, bfloat16 for speed. The weights are copied: call `refresh`
            after a training step.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype = torch.float32):
        if not self.supports(model):
            raise ValueError(
                f"{type(model).__name__} with this configuration is not a plain Llama; use generate_plain"
            )
        self.model, self.dtype = model, dtype
        config = model.config
        self.device = next(model.parameters()).device
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = model.model.layers[0].self_attn.head_dim
        self.eps, self.limit = config.rms_norm_eps, config.max_position_embeddings
        # A narrow cache stays in the processor's own; float32 products on it need no preparation of
        # kernels.
        self.cache_dtype = dtype if self.width >= 64 else torch.float32
        frequencies = model.model.rotary_emb.inv_freq.float().to(self.device)
        angles = torch.arange(self.limit, device=self.device)[:, None] * frequencies
        angles = torch.cat((angles, angles), -1)
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)
        self.refresh()

    @staticmethod
    def supports(model: PreTrainedModel) -> bool:
        c = model.config
        rope = getattr(c, "rope_parameters", None) or {}
        return (
            c.model_type == "llama"
            and rope.get("rope_type", "default") == "default"
            and not getattr(c, "attention_bias", False)
            and not getattr(c, "mlp_bias", False)
            and c.hidden_act == "silu"
        )

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the model's present weights."""
        w, cast = self.model.model, lambda t: t.float().t().contiguous().to(self.dtype)
        self.embedding = w.embed_tokens.weight.to(self.dtype)
        self.layers = []
        for layer in w.layers:
            a, m = layer.self_attn, layer.mlp
            before, after = (
                layer.input_layernorm.weight.float(),
                layer.post_attention_layernorm.weight.float(),
            )
            q, k, v = (p.weight.float() * before for p in (a.q_proj, a.k_proj, a.v_proj))
            q = q * self.width**-0.5
            # rotate_half is linear: its columns are computed by the same product instead of
            # shuffling activations.
            joined = torch.cat((q, k, self._rotated(q), self._rotated(k), v))
            gate_up = torch.cat(
                (m.gate_proj.weight.float() * after, m.up_proj.weight.float() * after)
            )
            self.layers.append(
                (cast(joined), cast(a.o_proj.weight), cast(gate_up), cast(m.down_proj.weight))
            )
        self.head = cast(self.model.lm_head.weight.float() * w.norm.weight.float())

    def _rotated(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight whose output is `rotate_half` of this weight's output, head by head: (x1, x2)
        -> (-x2, x1).
        """
        first, second = weight.view(-1, 2, self.width // 2, weight.shape[1]).unbind(1)
        return torch.stack((-second, first), 1).view_as(weight)

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        """RMS norm without its gain; the gain is part of the next matrix."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x * (size.square_().mul_(1 / x.shape[-1]).add_(self.eps).rsqrt_())).to(self.dtype)

    def _forward(self, tokens, positions, cache, start: int, bias) -> torch.Tensor:
        """Hidden states (rows, length, hidden) of new tokens; their keys and values are written to
        `cache` at `start`.

        tokens, positions: (rows, length).
        cache: per layer keys (rows * kv_heads, width, slots), values (rows * kv_heads, slots, width).
        bias: (rows, 1, length or 1, slots read), large and negative where a slot may not be seen.
        """
        rows, length = tokens.shape
        h, g, d, read = self.heads, self.kv_heads, self.width, bias.shape[-1]
        cos, sin = self.cos[positions].view(-1, 1, d), self.sin[positions].view(-1, 1, d)
        x = self.embedding[tokens].view(rows * length, -1)
        for (joined, output, gate_up, down), (keys, values) in zip(self.layers, cache, strict=True):
            plain, turned, v = (self._norm(x) @ joined).split(((h + g) * d, (h + g) * d, g * d), -1)
            qk = torch.addcmul(plain.view(-1, h + g, d) * cos, turned.view(-1, h + g, d), sin)
            k = qk[:, h:].view(rows, length, g, d).permute(0, 2, 3, 1)
            keys.view(rows, g, d, -1)[..., start : start + length] = k
            values.view(rows, g, -1, d)[:, :, start : start + length] = v.view(
                rows, length, g, d
            ).transpose(1, 2)
            # Query heads that share a KV head become rows of one product: nothing is repeated.
            q = (
                qk[:, :h]
                .view(rows, length, g, h // g, d)
                .permute(0, 2, 3, 1, 4)
                .reshape(rows * g, -1, d)
            )
            scores = torch.bmm(q.to(self.cache_dtype), keys[:, :, :read])
            scores.view(rows, h, length, read).add_(bias)
            mixed = torch.bmm(scores.softmax(-1), values[:, :read])
            mixed = (
                mixed.view(rows, g, h // g, length, d)
                .permute(0, 3, 1, 2, 4)
                .reshape(rows * length, h * d)
            )
            x = torch.addmm(x, mixed.to(self.dtype), output)
            gate, up = (self._norm(x) @ gate_up).chunk(2, -1)
            x = torch.addmm(x, torch.nn.functional.silu(gate) * up, down)
        return x.view(rows, length, -1)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return (self._norm(x) @ self.head).float()

    @torch.inference_mode()
    def sample(
        self,
        prompts: list[list[int]],
        n: int = 1,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 512,
        seed: int = 0,
        stop: tuple[int, ...] = (),
        keys: torch.Tensor | None = None,
        progress=None,
    ) -> list[list[Generation]]:
        """`n` continuations of each prompt (token ids).

        Args:
            temperature: 0 takes the most probable token; log-probabilities are then those of
                temperature 1.
            max_new_tokens: tokens per row at most; also cut at the model's context.
            stop: token ids that end a row (they are kept as its last token).
            keys: noise keys (prompts * n,), by default from (seed, prompt, sample).
            progress: called with the number of rows that finished.

        Raises:
            ValueError: for an empty or over-long prompt, or options out of range.
        """
        check_options(prompts, n, temperature, max_new_tokens, self.limit)
        if not prompts:
            return []
        keys = row_keys(prompts, n, seed) if keys is None else keys
        longest = max(map(len, prompts))
        max_new = min(max_new_tokens, self.limit - min(map(len, prompts)))
        room = torch.tensor([self.limit - len(p) for p in prompts], device=self.device)
        room = room.repeat_interleave(n)  # each row's own limit, whatever else is in the batch
        hidden, cache, pads = self._prefill(prompts, longest, n, longest + max_new)
        rows = len(prompts) * n
        tokens_out = torch.zeros(rows, max_new, dtype=torch.int64, device=self.device)
        logprobs_out = torch.zeros(rows, max_new, device=self.device)
        lengths = room.clamp(max=max_new).cpu()
        finished = torch.zeros(rows, dtype=torch.bool)
        stops = torch.tensor(stop, dtype=torch.int64, device=self.device)

        active = torch.arange(rows, device=self.device)  # the output row of each live cache row
        hidden, pads = hidden.repeat_interleave(n, 0), pads.repeat_interleave(n)
        # Rows that are not alive have ended and wait to be dropped.
        alive = torch.ones(rows, dtype=torch.bool, device=self.device)
        keys = keys.to(self.device)
        slots = cache[0][1].shape[1]
        bias = self._bias(pads, longest, slots)
        for step in range(max_new):
            logits = self._logits(hidden)
            if step % 64 == 0:
                noise = uniform_noise(keys[active], step, min(64, max_new - step))
            token, logprob = choose(logits, temperature, noise[:, step % 64])
            tokens_out[active, step] = token
            logprobs_out[active, step] = logprob
            ended = torch.isin(token, stops) & alive
            n_ended = int(ended.sum())
            alive &= ended | (room[active] > step + 1)
            if n_ended:
                done = active[ended].cpu()
                lengths[done], finished[done] = step + 1, True
                alive &= ~ended
                if progress:
                    progress(n_ended)
            n_alive = int(alive.sum())
            if n_alive == 0 or step + 1 == max_new:
                break
            slot = longest + step
            # Dropping copies the cache, so it is done in bulk, or when the cache grows anyway.
            if n_alive <= KEEP * len(active) - ROW_MULTIPLE or slot == slots:
                kept = self._kept(alive)
                active, token, pads, noise = active[kept], token[kept], pads[kept], noise[kept]
                slots = min(2 * slots, longest + max_new) if slot == slots else slots
                cache = [self._moved(pair, kept, slot, slots) for pair in cache]
                alive = alive[kept]
                bias = self._bias(pads, slot, slots)
            bias[..., slot] = 0
            # Slots are read in multiples, so that the shapes of the products repeat; the bias hides
            # those not yet written.
            read = min(slots, -(-(slot + 1) // READ_MULTIPLE) * READ_MULTIPLE)
            positions = (slot - pads).clamp_(max=self.limit - 1)[:, None]
            hidden = self._forward(token[:, None], positions, cache, slot, bias[..., :read])[:, 0]
        return _collect(tokens_out, logprobs_out, lengths, finished, n)

    def _prefill(self, prompts, longest: int, n: int, most: int):
        """Prompts, padded on the left, computed once each; their keys and values copied to the n
        rows of their group.
        """
        pads = torch.tensor([longest - len(p) for p in prompts], device=self.device)
        ids = torch.tensor(
            [[0] * (longest - len(p)) + list(p) for p in prompts], device=self.device
        )
        cache = [self._empty(len(prompts), longest) for _ in self.layers]
        places = torch.arange(longest, device=self.device)
        hidden_from = (places[None, :] < pads[:, None])[:, None, None, :] | (
            places[None, :] > places[:, None]
        )[None, None]
        bias = torch.zeros(
            hidden_from.shape, dtype=self.cache_dtype, device=self.device
        ).masked_fill_(hidden_from, -1e9)
        x = self._forward(ids, (places[None, :] - pads[:, None]).clamp_(min=0), cache, 0, bias)
        groups = torch.arange(len(prompts), device=self.device).repeat_interleave(n)
        slots = min(most, -(-(longest + 64) // READ_MULTIPLE) * READ_MULTIPLE)
        return x[:, -1], [self._moved(pair, groups, longest, slots) for pair in cache], pads

    def _kept(self, alive: torch.Tensor) -> torch.Tensor:
        """The live rows, and as many finished ones as make up a multiple (shapes that repeat are
        faster), in order.
        """
        n_alive = int(alive.sum())
        spare = (-n_alive) % ROW_MULTIPLE if n_alive > ROW_MULTIPLE else 0
        chosen = alive.clone()
        chosen[(~alive).nonzero()[:spare, 0]] = True
        return chosen.nonzero()[:, 0]

    def _empty(self, rows: int, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Room for the keys (rows * kv_heads, width, slots) and values (rows * kv_heads, slots,
        width) of a layer.
        """
        rows, options = rows * self.kv_heads, {"dtype": self.cache_dtype, "device": self.device}
        return torch.empty(rows, self.width, slots, **options), torch.empty(
            rows, slots, self.width, **options
        )

    def _moved(self, pair, kept: torch.Tensor, used: int, slots: int):
        """The cache of the kept rows, with room for `slots`."""
        new, g = self._empty(len(kept), slots), self.kv_heads
        rows = (
            kept if g == 1 else (kept[:, None] * g + torch.arange(g, device=self.device)).flatten()
        )
        new[0][:, :, :used] = pair[0][:, :, :used][rows]
        new[1][:, :used] = pair[1][:, :used][rows]
        # Slots not yet written are read, and hidden by the bias: they must be finite.
        new[0][:, :, used:] = 0
        new[1][:, used:] = 0
        return new

    def _bias(self, pads: torch.Tensor, used: int, slots: int) -> torch.Tensor:
        """(rows, 1, 1, slots): zero where a slot may be seen, large and negative on padding and on
        slots not yet written.
        """
        places = torch.arange(slots, device=self.device)
        hidden_from = (places[None, :] < pads[:, None]) | (places >= used)[None, :]
        bias = torch.zeros(hidden_from.shape, dtype=self.cache_dtype, device=self.device)
        return bias.masked_fill_(hidden_from, -1e9)[:, None, None]


def check_options(prompts, n: int, temperature: float, max_new_tokens: int, limit: int) -> None:
    """Raise `ValueError` for options out of range."""
    if n < 1 or max_new_tokens < 1:
        raise ValueError(f"n and max_new_tokens must be at least 1, got {n} and {max_new_tokens}")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 or a positive number, got {temperature}")
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
    if temperature == 0:
        token = logits.argmax(-1)
        return token, logits.log_softmax(-1).gather(-1, token[:, None])[:, 0]
    logprobs = (logits / temperature).log_softmax(-1)
    cumulative = logprobs.exp().cumsum(-1)
    # The sum may fall a rounding error short of one: the noise is scaled to what is there.
    token = torch.searchsorted(cumulative, (noise * cumulative[:, -1])[:, None], right=True)[:, 0]
    token = token.clamp_(max=logits.shape[-1] - 1)
    return token, logprobs.gather(-1, token[:, None])[:, 0]


def _collect(tokens, logprobs, lengths, finished, n: int) -> list[list[Generation]]:
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
            group, _collect(tokens_out, logprobs_out, lengths, finished, n), strict=True
        ):
            results[i] = samples
    return results
