"""The engine room: a small Llama's weights laid out for decoding, and its forward pass over a
cache.

What makes it fast, in the order of what it saves:

* the KV cache is written in place (`o1lib.model.cache`); there are few KV heads and they are never
  repeated: query heads that share one become rows of one product;
* what several rows begin with in common is computed once;
* q, k, v are one product, gate and up another; RMS-norm gains are folded into them; the dimensions
  of a head are reordered so that the rotation is one multiplication of complex numbers;
* bfloat16 where the processor has it.

In float32 its states equal the model's own forward pass up to rounding.

Left out on purpose: compilation, custom kernels, paged memory. Models that are no plain Llama go
through their own forward pass.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from o1lib.model.cache import Cache

MASKED = -1e9
# In bfloat16 oneDNN prepares a kernel for every new matrix shape: rows are dropped in multiples, so
# that shapes repeat.
BF16_ROWS = 16


class LlamaDecoder:
    """A Llama's backbone (and its vocabulary or value head), laid out for decoding.

    Args:
        model: a Llama with rotary positions of the default kind and no biases; see `supports`. Its
            head is `lm_head` (a language model) or `score` (one number a token).
        dtype: float32 for exactness, bfloat16 for speed. The weights are copied: call `refresh`
            after a training step.

    Raises `ValueError` for another model.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype = torch.float32):
        if not self.supports(model):
            raise ValueError(
                f"{type(model).__name__} with this configuration is not a plain Llama; "
                "it goes through its own forward pass"
            )
        self.model, self.dtype = model, dtype
        config = model.config
        self.device = next(model.parameters()).device
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = model.model.layers[0].self_attn.head_dim
        self.eps, self.limit = config.rms_norm_eps, config.max_position_embeddings
        # Batched products read a part of the cache in place in float32; in bfloat16 oneDNN copies
        # it first.
        self.cache_dtype = torch.float32 if self.device.type == "cpu" else dtype
        self.row_multiple = BF16_ROWS if dtype == torch.bfloat16 else 1
        frequencies = model.model.rotary_emb.inv_freq.float().to(self.device)
        angles = torch.arange(self.limit, device=self.device)[:, None] * frequencies
        # (positions, head_dim / 2), complex
        self.rotations = torch.polar(torch.ones_like(angles), angles)
        self.refresh()

    @staticmethod
    def supports(model: PreTrainedModel) -> bool:
        """Whether a model is a plain Llama."""
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
            joined = torch.cat((self._paired(q * self.head_dim**-0.5), self._paired(k), v))
            gate_up = torch.cat(
                (m.gate_proj.weight.float() * after, m.up_proj.weight.float() * after)
            )
            self.layers.append(
                (cast(joined), cast(a.o_proj.weight), cast(gate_up), cast(m.down_proj.weight))
            )
        head = getattr(self.model, "lm_head", None) or self.model.score
        self.head = cast(head.weight.float() * w.norm.weight.float())
        self.head_bias = None if head.bias is None else head.bias.float()

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight with the rows of each head in another order: the two that one angle rotates
        stand side by side, as real and imaginary part. Queries and keys are reordered alike, so
        their products stay what they are.
        """
        return (
            weight.view(-1, 2, self.head_dim // 2, weight.shape[1])
            .transpose(1, 2)
            .reshape_as(weight)
        )

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        """RMS norm without its gain; the gain is part of the next matrix."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x * (size.square_().mul_(1 / x.shape[-1]).add_(self.eps).rsqrt_())).to(self.dtype)

    def readings(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the head says of hidden states: logits, float32, (..., vocabulary or labels)."""
        logits = (self._norm(hidden) @ self.head).float()
        return logits if self.head_bias is None else logits + self.head_bias

    def forward(self, tokens, positions, cache: Cache, start: int, bias=None) -> torch.Tensor:
        """Hidden states (rows, length, hidden) of new tokens, which are written into the cache.

        Args:
            tokens, positions: (rows, length).
            start: the slot of the first of them.
            bias: (rows, 1, 1 or length, slots), large and negative where one of the first slots may
                not be seen; None: all are.
        """
        rows, length = tokens.shape
        h, g, d, stop = self.heads, self.kv_heads, self.head_dim, start + length
        rotations = self.rotations[positions].view(-1, 1, d // 2)
        x = self.embedding[tokens].view(rows * length, -1)
        for layer, (joined, output, gate_up, down) in enumerate(self.layers):
            heads = (self._norm(x) @ joined).to(self.cache_dtype).view(-1, h + 2 * g, d)
            pairs = torch.view_as_complex(heads[:, : h + g].float().unflatten(-1, (-1, 2)))
            rotated = torch.view_as_real(pairs * rotations).flatten(-2).to(self.cache_dtype)
            rotated = rotated.view(rows, length, h + g, d)
            cache.write(layer, start, rotated[:, :, h:], heads[:, h + g :].view(rows, length, g, d))
            keys, values = cache.read(layer, stop)
            q = rotated[:, :, :h].unflatten(2, (g, h // g)).permute(0, 2, 3, 1, 4)
            scores = torch.bmm(q.reshape(rows * g, -1, d), keys)
            if bias is not None:
                scores.view(rows, h, length, stop)[..., : bias.shape[-1]].add_(bias)
            mixed = torch.bmm(scores.softmax(-1), values)
            mixed = mixed.view(rows, h, length, d).transpose(1, 2).reshape(rows * length, h * d)
            x = torch.addmm(x, mixed.to(self.dtype), output)
            gate, up = (self._norm(x) @ gate_up).chunk(2, -1)
            x = torch.addmm(x, torch.nn.functional.silu(gate) * up, down)
        return x.view(rows, length, -1)

    def prefill(self, prompts: list[list[int]], counts, slots: int):
        """Prompts, padded on the left, computed once each, then repeated for the rows of their
        group.

        Args:
            counts: rows of each prompt, one number or (prompts,).
            slots: room in the cache.

        Returns hidden states (prompts, longest, hidden), the cache of all rows, and their pads
        (rows,).
        """
        longest = max(map(len, prompts))
        pads = torch.tensor([longest - len(p) for p in prompts], device=self.device)
        ids = torch.tensor(
            [[0] * (longest - len(p)) + list(p) for p in prompts], device=self.device
        )
        options = {"dtype": self.cache_dtype, "device": self.device}
        layers, shape = len(self.layers), (self.kv_heads, self.head_dim)
        cache = Cache.empty(layers, len(prompts), *shape, longest, **options)
        bias = self.bias(pads, longest) + torch.full((longest, longest), MASKED, **options).triu(1)
        positions = (torch.arange(longest, device=self.device) - pads[:, None]).clamp_(min=0)
        hidden = self.forward(ids, positions, cache, 0, bias)
        groups = self.groups(len(prompts), counts)
        return hidden, cache.copied(groups, longest, slots), pads[groups]

    def groups(self, prompts: int, counts) -> torch.Tensor:
        """The prompt of every row, (rows,)."""
        counts = torch.as_tensor(counts, device=self.device)
        return torch.arange(prompts, device=self.device).repeat_interleave(counts)

    def bias(self, pads: torch.Tensor, longest: int) -> torch.Tensor:
        """(rows, 1, 1, longest): large and negative on the padding of prompts, else zero."""
        padding = torch.arange(longest, device=self.device) < pads[:, None]
        bias = torch.zeros(padding.shape, dtype=self.cache_dtype, device=self.device)
        return bias.masked_fill_(padding, MASKED)[:, None, None]

    @torch.inference_mode()
    def continue_all(
        self, contexts: list[list[int]], continuations: list[list[list[int]]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states of several continuations of each context, which is computed once.

        Returns the states of the contexts (contexts, longest context, hidden; padded on the left),
        those of the continuations (rows, longest continuation, hidden; padded on the right), and
        the continuations' ids (rows, longest continuation).

        Raises `ValueError` for an empty context or continuation, or one that does not fit.
        """
        rows = [row for group in continuations for row in group]
        width, longest = max(map(len, rows)), max(map(len, contexts))
        if not all(contexts) or not all(rows) or longest + width > self.limit:
            raise ValueError(
                f"contexts and continuations must be nonempty and fit {self.limit} tokens"
            )
        counts = [len(group) for group in continuations]
        hidden, cache, pads = self.prefill(contexts, counts, longest + width)
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.device)
        steps = torch.arange(width, device=self.device)
        later = torch.full((width, width), MASKED, device=self.device).triu_(1)
        before = self.bias(pads, longest).expand(-1, -1, width, -1)
        bias = torch.cat((before, later.to(before).expand(len(rows), 1, -1, -1)), -1)
        positions = (longest - pads)[:, None] + steps
        after = self.forward(ids, positions.clamp_(max=self.limit - 1), cache, longest, bias)
        return hidden, after, ids
