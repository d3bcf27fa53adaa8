"""The engine room: batched sampling from a small Llama on a CPU, several times faster than
`generate`.

What makes it fast, in the order of what it saves:

* finished rows are dropped, so no step is spent on padding;
* the KV cache is written in place (`o1lib.model.cache`); there are few KV heads and they are never repeated: query heads that
  share one become rows of one product;
* the prompt is computed once per group of samples;
* q, k, v are one product, gate and up another; RMS-norm gains are folded into them; the dimensions of a head are reordered so that
  the rotation is one multiplication of complex numbers;
* bfloat16 where the processor has it; random numbers for many steps are drawn at once.

What makes it exact: the noise of a token is a hash of (seed, prompt, sample, position), so a sample does not depend on what else
is in the batch, up to rounding (`o1lib.model.generation`); in float32 the log-probabilities equal the model's own forward pass to
rounding.

Left out on purpose: compilation, custom kernels, paged memory. Models that are not a plain Llama go through `generate_plain`.

Used in notebook 01, section 8.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from o1lib.model.cache import Cache
from o1lib.model.generation import (
    Generation,
    check_options,
    choose,
    collect,
    row_keys,
    uniform_noise,
)

# Ended rows are dropped when they are this share of the batch.
ENDED_SHARE = 1 / 32
NOISE_STEPS = 64  # random numbers are drawn for so many steps at once
FIRST_SLOTS = 64  # room for so many new tokens at first
HIDDEN = -1e9
# In bfloat16 oneDNN prepares a kernel for every new matrix shape: rows are dropped in multiples, so that shapes repeat.
BF16_ROWS = 16


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
        # Batched products read a part of the cache in place in float32; in bfloat16 oneDNN copies it first.
        self.cache_dtype = torch.float32 if self.device.type == "cpu" else dtype
        self.row_multiple = BF16_ROWS if dtype == torch.bfloat16 else 1
        frequencies = model.model.rotary_emb.inv_freq.float().to(self.device)
        angles = torch.arange(self.limit, device=self.device)[:, None] * frequencies
        self.turns = torch.polar(torch.ones_like(angles), angles)  # (positions, width / 2), complex
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
            joined = torch.cat((self._paired(q * self.width**-0.5), self._paired(k), v))
            gate_up = torch.cat(
                (m.gate_proj.weight.float() * after, m.up_proj.weight.float() * after)
            )
            self.layers.append(
                (cast(joined), cast(a.o_proj.weight), cast(gate_up), cast(m.down_proj.weight))
            )
        self.head = cast(self.model.lm_head.weight.float() * w.norm.weight.float())

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight with the rows of each head in another order: the two that one angle turns stand side by side, as real and
        imaginary part. Queries and keys are reordered alike, so their products stay what they are.
        """
        return (
            weight.view(-1, 2, self.width // 2, weight.shape[1]).transpose(1, 2).reshape_as(weight)
        )

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        """RMS norm without its gain; the gain is part of the next matrix."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x * (size.square_().mul_(1 / x.shape[-1]).add_(self.eps).rsqrt_())).to(self.dtype)

    def _forward(self, tokens, positions, cache: Cache, start: int, bias=None) -> torch.Tensor:
        """Hidden states (rows, length, hidden) of new tokens; their keys and values are written to `cache` at `start`.

        tokens, positions: (rows, length).
        bias: (rows, 1, length or 1, slots), large and negative where one of the first slots may not be seen; None: all are.
        """
        rows, length = tokens.shape
        h, g, d, stop = self.heads, self.kv_heads, self.width, start + length
        turns = self.turns[positions].view(-1, 1, d // 2)
        x = self.embedding[tokens].view(rows * length, -1)
        for layer, (joined, output, gate_up, down) in enumerate(self.layers):
            heads = (self._norm(x) @ joined).to(self.cache_dtype).view(-1, h + 2 * g, d)
            pairs = torch.view_as_complex(heads[:, : h + g].float().unflatten(-1, (-1, 2)))
            turned = torch.view_as_real(pairs * turns).flatten(-2).to(self.cache_dtype)
            turned = turned.view(rows, length, h + g, d)
            cache.write(layer, start, turned[:, :, h:], heads[:, h + g :].view(rows, length, g, d))
            keys, values = cache.read(layer, stop)
            q = turned[:, :, :h].unflatten(2, (g, h // g)).permute(0, 2, 3, 1, 4)
            scores = torch.bmm(q.reshape(rows * g, -1, d), keys)
            if bias is not None:
                scores.view(rows, h, length, stop)[..., : bias.shape[-1]].add_(bias)
            mixed = torch.bmm(scores.softmax(-1), values)
            mixed = mixed.view(rows, h, length, d).transpose(1, 2).reshape(rows * length, h * d)
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
        keys = keys.to(self.device)
        longest = max(map(len, prompts))
        max_new = min(max_new_tokens, self.limit - min(map(len, prompts)))
        # A row's own limit, whatever else is in the batch.
        room = torch.tensor([self.limit - len(p) for p in prompts], device=self.device)
        room = room.clamp_(max=max_new).repeat_interleave(n)
        hidden, cache, pads = self._prefill(prompts, n, longest + min(max_new, FIRST_SLOTS))
        rows = len(prompts) * n
        tokens_out = torch.zeros(rows, max_new, dtype=torch.int64, device=self.device)
        logprobs_out = torch.zeros(rows, max_new, device=self.device)
        lengths, finished = room.clone(), torch.zeros(rows, dtype=torch.bool, device=self.device)
        stops = torch.tensor(stop, dtype=torch.int64, device=self.device)

        active = torch.arange(rows, device=self.device)  # the output row of each cache row
        alive = torch.ones_like(finished)  # the others have ended and wait to be dropped
        bias = self._bias(pads, longest) if pads.any() else None
        for step in range(max_new):
            if step % NOISE_STEPS == 0:
                noise = uniform_noise(keys[active], step, min(NOISE_STEPS, max_new - step))
            token, logprob = choose(self._logits(hidden), temperature, noise[:, step % NOISE_STEPS])
            tokens_out[active, step] = token
            logprobs_out[active, step] = logprob
            ended = torch.isin(token, stops) & alive
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
            hidden = self._forward(token[:, None], positions, cache, slot, bias)[:, 0]
        return collect(tokens_out, logprobs_out, lengths, finished, n)

    @torch.inference_mode()
    def score(
        self, contexts: list[list[int]], continuations: list[list[list[int]]]
    ) -> list[list[torch.Tensor]]:
        """Log-probabilities (nats, float32) of the tokens of several continuations of each context, which is computed once.

        Raises `ValueError` for an empty context or continuation, or one that does not fit.
        """
        rows = [row for group in continuations for row in group]
        if not rows:
            return [[] for _ in continuations]
        width, longest = max(map(len, rows)), max(map(len, contexts))
        if not all(contexts) or not all(rows) or longest + width > self.limit:
            raise ValueError(
                f"contexts and continuations must be nonempty and fit {self.limit} tokens"
            )
        counts = [len(group) for group in continuations]
        hidden, cache, pads = self._prefill(contexts, counts, longest + width)
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.device)
        steps = torch.arange(width, device=self.device)
        later = torch.full((width, width), HIDDEN, device=self.device).triu_(1)
        before = self._bias(pads, longest).expand(-1, -1, width, -1)
        bias = torch.cat((before, later.to(before).expand(len(rows), 1, -1, -1)), -1)
        positions = (longest - pads)[:, None] + steps
        after = self._forward(ids, positions.clamp_(max=self.limit - 1), cache, longest, bias)
        states = torch.cat((hidden[:, None], after[:, :-1]), 1)
        chosen = self._logits(states).log_softmax(-1).gather(-1, ids[:, :, None])[..., 0].cpu()
        values = [chosen[i, : len(row)] for i, row in enumerate(rows)]
        ends = torch.tensor(counts).cumsum(0).tolist()
        return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _prefill(self, prompts, n, slots: int):
        """Prompts, padded on the left, computed once each, then repeated for the n rows of their group (n: one number, or one per
        prompt). Returns the last hidden states (rows, hidden), the cache with room for `slots`, and the pads (rows,).
        """
        longest = max(map(len, prompts))
        pads = torch.tensor([longest - len(p) for p in prompts], device=self.device)
        ids = torch.tensor(
            [[0] * (longest - len(p)) + list(p) for p in prompts], device=self.device
        )
        options = {"dtype": self.cache_dtype, "device": self.device}
        layers, shape = len(self.layers), (self.kv_heads, self.width)
        cache = Cache.empty(layers, len(prompts), *shape, longest, **options)
        bias = self._bias(pads, longest) + torch.full((longest, longest), HIDDEN, **options).triu(1)
        positions = (torch.arange(longest, device=self.device) - pads[:, None]).clamp_(min=0)
        hidden = self._forward(ids, positions, cache, 0, bias)[:, -1]
        counts = torch.as_tensor(n, device=self.device)
        groups = torch.arange(len(prompts), device=self.device).repeat_interleave(counts)
        return hidden[groups], cache.copied(groups, longest, slots), pads[groups]

    def _bias(self, pads: torch.Tensor, longest: int) -> torch.Tensor:
        """(rows, 1, 1, longest): large and negative on the padding of prompts, else zero."""
        padding = torch.arange(longest, device=self.device) < pads[:, None]
        bias = torch.zeros(padding.shape, dtype=self.cache_dtype, device=self.device)
        return bias.masked_fill_(padding, HIDDEN)[:, None, None]
