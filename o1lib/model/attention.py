"""Attention with few key/value heads, without repeating them: two batched products, three times
faster than `scaled_dot_product_attention` on a CPU in bfloat16 at the lengths of our chains.

Registered with transformers under the name `grouped`; a model is switched with
`model.set_attn_implementation("grouped")`. It changes how the attention is computed, not what: a
test holds it against transformers' own.
"""

from __future__ import annotations

import torch
from transformers import AttentionInterface

NAME = "grouped"


def grouped_attention(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs
):
    """Causal attention. `query` (rows, heads, length, width), `key` and `value` (rows, kv_heads,
    length, width).

    `attention_mask` is None (plain causal) or additive / boolean, broadcastable to (rows, 1,
    length, length). Returns (rows, length, heads, width) and None, as transformers expects.
    """
    rows, heads, length, width = query.shape
    kv_heads, kv_length = key.shape[1], key.shape[2]
    per_group = heads // kv_heads
    scaling = width**-0.5 if scaling is None else scaling
    grouped = query.reshape(rows * kv_heads, per_group * length, width)
    keys = (key * scaling).reshape(rows * kv_heads, kv_length, width)
    scores = torch.bmm(grouped, keys.transpose(1, 2)).view(rows, heads, length, kv_length)
    if attention_mask is None:
        mask = torch.full((length, kv_length), -1e9, dtype=scores.dtype, device=scores.device)
        scores = scores + mask.triu_(1 + kv_length - length)
    elif attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask[..., :kv_length], -1e9)
    else:
        scores = scores + attention_mask[..., :kv_length]
    weights = scores.softmax(-1).view(rows * kv_heads, per_group * length, kv_length)
    mixed = torch.bmm(weights, value.reshape(rows * kv_heads, kv_length, width))
    return mixed.view(rows, heads, length, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
