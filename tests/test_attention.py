"""Grouped attention against transformers' own: padding, sliding windows, caches, gradients."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    StaticCache,
)

from o1lib.model.attention import NAME, grouped
from o1lib.model.network import build_model

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # so that the attention matters
}


def model_of(kind):
    torch.manual_seed(0)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    if kind == "mistral":
        return MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=5)).eval()
    if kind == "qwen2":
        window = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
        return Qwen2ForCausalLM(Qwen2Config(**SHAPE, **window)).eval()
    config = {"n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=64, **config)).eval()


def logits(model, name, **inputs):
    model.set_attn_implementation(name)
    with torch.inference_mode():
        return model(**inputs).logits


KINDS = ["llama", "mistral", "qwen2", "gpt2"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["none", "left", "right", "all seen"])
def test_masks_are_honored(kind, padding):
    model = model_of(kind)
    ids = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(1))
    inputs = {"input_ids": ids}
    real = torch.ones(3, 16, dtype=torch.int64)
    if padding == "left":
        real[0, :7], real[1, :2] = 0, 0
    if padding == "right":
        real[0, 9:], real[1, 14:] = 0, 0
    if padding != "none":
        inputs["attention_mask"] = real
        inputs["position_ids"] = (real.cumsum(-1) - 1).clamp(min=0)
    ours = logits(model, NAME, **inputs)
    for name in ("eager", "sdpa"):
        theirs = logits(model, name, **inputs)
        assert torch.allclose(ours[real > 0], theirs[real > 0], atol=1e-4), name


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_cache(kind):
    """Several new tokens after a cached beginning, then one at a time."""
    model = model_of(kind)
    ids = torch.randint(0, 50, (2, 16), generator=torch.Generator().manual_seed(1))
    truth = logits(model, "eager", input_ids=ids)
    model.set_attn_implementation(NAME)
    cache, parts = None, []
    with torch.inference_mode():
        for part in ids.split([6, 4, 1, 1, 4], 1):
            out = model(input_ids=part, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            parts.append(out.logits)
    assert torch.allclose(torch.cat(parts, 1), truth, atol=1e-4)


def test_with_a_cache_that_has_room():
    """A static cache holds more keys than tokens: the last query is not at the last key."""
    model = model_of("llama")
    ids = torch.randint(0, 50, (2, 10), generator=torch.Generator().manual_seed(1))
    truth = logits(model, "eager", input_ids=ids)
    model.set_attn_implementation(NAME)
    cache = StaticCache(config=model.config, max_cache_len=32)
    with torch.inference_mode():
        parts = [model(input_ids=p, past_key_values=cache).logits for p in ids.split([6, 3, 1], 1)]
    assert torch.allclose(torch.cat(parts, 1), truth, atol=1e-4)


def test_dropout_is_not_forgotten():
    model = model_of("llama")
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    ids = torch.arange(20)[None]
    model.train().set_attn_implementation(NAME)
    assert not torch.allclose(model(ids).logits, model(ids).logits)
    model.eval()
    assert torch.equal(model(ids).logits, model(ids).logits)


def test_plain_causal_needs_no_mask(monkeypatch):
    """What training does: no mask is built, whatever the rows are padded with at their ends."""
    from transformers import AttentionInterface

    from o1lib.model.attention import grouped_attention

    seen = []

    def spied(module, query, key, value, attention_mask, **kwargs):
        seen.append(attention_mask)
        return grouped_attention(module, query, key, value, attention_mask, **kwargs)

    monkeypatch.setitem(AttentionInterface._global_mapping, NAME, spied)
    model = build_model("nano")
    with grouped(model):
        model(torch.randint(0, 50, (2, 9)), use_cache=False)
    assert seen == [None] * 4


def test_the_former_way_comes_back():
    one, two = model_of("llama"), model_of("mistral")
    one.set_attn_implementation("eager")
    with grouped(one, two):
        assert one.config._attn_implementation == two.config._attn_implementation == NAME
    assert (one.config._attn_implementation, two.config._attn_implementation) == ("eager", "sdpa")
    with pytest.raises(KeyboardInterrupt), grouped(one, two):
        raise KeyboardInterrupt
    assert (one.config._attn_implementation, two.config._attn_implementation) == ("eager", "sdpa")
