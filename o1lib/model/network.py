"""The policy's network: an ordinary `LlamaForCausalLM` with a small config, and one dial for its
size.
"""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from o1lib.model.tokenizer import build_tokenizer

CONTEXT = 1152  # positions the policy is trained on; chains are sampled within it
SIZES = {  # one dial: layers, width, feed-forward width
    "pico": (3, 64, 192),
    "nano": (4, 128, 384),
    "micro": (6, 256, 384),
    "small": (8, 384, 768),
}


def build_model(size: str = "nano", seed: int = 0, tokenizer=None) -> LlamaForCausalLM:
    """A freshly initialized policy of a named size (about 0.2M, 0.9M, 3M and 10M weights), the same
    for the same seed.
    """
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}; choose from {', '.join(SIZES)}")
    layers, width, inner = SIZES[size]
    tokenizer = tokenizer or build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        # The default 0.02 is for wide models; at our widths it learns half as fast.
        initializer_range=0.06,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
