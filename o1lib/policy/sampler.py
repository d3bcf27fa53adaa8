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

Used in notebook 01, section 8.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from o1lib.policy.generation import (
    Generation,
    check_options,
    choose,
    collect,
    row_keys,
    uniform_noise,
)

KEEP = 0.95  # rows are dropped from the cache when about this share, or fewer, are alive
# oneDNN prepares a kernel for every new matrix shape: rows are taken in multiples, so that shapes repeat.
ROW_MULTIPLE = 16
READ_MULTIPLE = 8  # slots are read in multiples: fewer different shapes, little read in vain


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
            if n_alive <= KEEP * len(active) - ROW_MULTIPLE:
                kept, holes, tail = self._packed(alive)
                active, token, pads, noise = active[kept], token[kept], pads[kept], noise[kept]
                alive = alive[kept]
                cache = [self._dropped(pair, len(kept), holes, tail) for pair in cache]
                bias = self._bias(pads, slot, slots)
            if slot == slots:
                slots = min(2 * slots, longest + max_new)
                every = torch.arange(len(active), device=self.device)
                cache = [self._moved(pair, every, slot, slots) for pair in cache]
                bias = self._bias(pads, slot, slots)
            bias[..., slot] = 0
            # Slots are read in multiples; the bias hides those not yet written.
            read = min(slots, -(-(slot + 1) // READ_MULTIPLE) * READ_MULTIPLE)
            positions = (slot - pads).clamp_(max=self.limit - 1)[:, None]
            hidden = self._forward(token[:, None], positions, cache, slot, bias[..., :read])[:, 0]
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
        hidden, cache, pads = self._prefill(contexts, longest, counts, longest + width)
        owner = torch.arange(len(contexts), device=self.device).repeat_interleave(
            torch.tensor(counts, device=self.device)
        )
        if cache[0][1].shape[1] < longest + width:
            every = torch.arange(len(rows), device=self.device)
            cache = [self._moved(pair, every, longest, longest + width) for pair in cache]
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.device)
        places = torch.arange(cache[0][1].shape[1], device=self.device)
        steps = torch.arange(width, device=self.device)
        pads = pads[owner]
        unseen = (places[None, None] < pads[:, None, None]) | (
            places[None, None] > longest + steps[None, :, None]
        )
        bias = torch.zeros(unseen.shape, dtype=self.cache_dtype, device=self.device)
        bias = bias.masked_fill_(unseen, -1e9)[:, None]
        positions = (longest - pads)[:, None] + steps
        after = self._forward(ids, positions.clamp_(max=self.limit - 1), cache, longest, bias)
        states = torch.cat((hidden[owner][:, None], after[:, :-1]), 1)
        chosen = self._logits(states).log_softmax(-1).gather(-1, ids[:, :, None])[..., 0].cpu()
        values = [chosen[i, : len(row)] for i, row in enumerate(rows)]
        ends = torch.tensor(counts).cumsum(0).tolist()
        return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _prefill(self, prompts, longest: int, n, most: int):
        """Prompts, padded on the left, computed once each; their keys and values copied to the n
        rows of their group (n: one number, or one per prompt).
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
        repeats = torch.as_tensor(n, device=self.device)
        groups = torch.arange(len(prompts), device=self.device).repeat_interleave(repeats)
        slots = min(most, -(-(longest + 64) // 32) * 32)
        return x[:, -1], [self._moved(pair, groups, longest, slots) for pair in cache], pads

    def _packed(self, alive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """How to drop finished rows with little copying: live rows of the tail move into holes at the front.

        Returns the row that each kept place takes, the places filled, and the rows that fill them. As many finished rows
        stay as make up a multiple: shapes that repeat are faster.
        """
        n_alive = int(alive.sum())
        n = -(-n_alive // ROW_MULTIPLE) * ROW_MULTIPLE if n_alive > ROW_MULTIPLE else n_alive
        tail = alive[n:].nonzero()[:, 0] + n
        holes = (~alive[:n]).nonzero()[: len(tail), 0]
        kept = torch.arange(n, device=self.device)
        kept[holes] = tail
        return kept, holes, tail

    def _dropped(self, pair, n: int, holes: torch.Tensor, tail: torch.Tensor):
        """The cache of a layer with the rows `tail` moved to the places `holes`, cut to `n` rows; in place."""
        shortened = []
        for tensor in pair:
            rows = tensor.view(-1, self.kv_heads, *tensor.shape[1:])
            rows[holes] = rows[tail]
            shortened.append(tensor[: n * self.kv_heads])
        return tuple(shortened)

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
