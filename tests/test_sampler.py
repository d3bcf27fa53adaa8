"""The sampler against the model's own forward pass, transformers' greedy text, and the softmax's
frequencies.
"""

import pytest
import torch
from rounding import assert_same_up_to_rounding
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    TopPLogitsWarper,
)

from o1lib.model.generation import nucleus, pick_token, row_keys, uniform_noise
from o1lib.model.network import build_model
from o1lib.model.plain import generate_plain
from o1lib.model.policy import Policy
from o1lib.model.requests import Sample
from o1lib.model.sampler import LlamaSampler
from o1lib.model.tokenizer import build_tokenizer
from o1lib.tasks import Countdown

tokenizer = build_tokenizer()
task = Countdown(4)
PROMPTS = [task.prompt(p) for p in task.problems("val_inputs", 6)] + [
    "think : make 5 from 2 3",
    "solve : compute ( 1 + 2 ) * 3",
]


@pytest.fixture(scope="module")
def policy():
    """Random weights, sharpened so that greedy choices are not near-ties."""
    model = build_model("nano", seed=1).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(3)
    return Policy(model, tokenizer, bf16=False)


def forward_logprobs(model, prompt, response, temperature=1.0):
    with torch.inference_mode():
        logits = (
            model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].float()
            / temperature
        )
    return logits.log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_the_forward_pass(policy, temperature):
    groups = policy.sample(PROMPTS, 3, max_new_tokens=60, temperature=temperature)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample in group:
            truth = forward_logprobs(
                policy.model, policy.encode(prompt), sample.token_ids, temperature
            )
            assert torch.allclose(torch.tensor(sample.logprobs), truth, atol=1e-4)


def test_scoring_equals_sampling(policy):
    groups = policy.sample(PROMPTS, 2, max_new_tokens=40)
    flat = [(p, s) for p, g in zip(PROMPTS, groups, strict=True) for s in g]
    scored = policy.logprobs([p for p, _ in flat], [s.token_ids for _, s in flat], max_tokens=300)
    for (_, sample), logprobs in zip(flat, scored, strict=True):
        assert torch.allclose(torch.tensor(sample.logprobs), logprobs, atol=1e-4)


def test_greedy_equals_transformers(policy):
    ours = policy.sample(PROMPTS, temperature=0, max_new_tokens=80)
    for prompt, group in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([policy.encode(prompt)])
        out = policy.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=80,
            pad_token_id=0,
        )
        assert group[0].token_ids == out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("shape", [(8, 8), (8, 2), (4, 1)])
def test_any_head_layout(shape):
    heads, kv_heads = shape
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        initializer_range=0.3,
        rms_norm_eps=1e-5,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # gains that are not one, as after training
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
    policy = Policy(model, tokenizer, bf16=False)
    for prompt, group in zip(PROMPTS, policy.sample(PROMPTS, 2, max_new_tokens=30), strict=True):
        for sample in group:
            truth = forward_logprobs(model, policy.encode(prompt), sample.token_ids)
            assert torch.allclose(torch.tensor(sample.logprobs), truth, atol=1e-4)


def test_independent_of_the_batch(policy):
    """Rows that finish early, other prompts, their order and number have no part in a sample, up
    to rounding.
    """
    options = {"max_new_tokens": 50, "seed": 5, "stop": ("no", "(", "cat")}
    together = policy.sample(PROMPTS, 4, **options)
    reversed_ = policy.sample(PROMPTS[::-1], 4, **options)[::-1]
    assert any(s.finished for g in together for s in g)
    assert (
        any(not s.finished for g in together for s in g)
        or len({len(s.token_ids) for g in together for s in g}) > 5
    )
    for prompt, group, again in zip(PROMPTS, together, reversed_, strict=True):
        alone = policy.sample([prompt], 4, **options)[0]
        fewer = policy.sample([prompt], 2, **options)[0]
        for other in (again, alone, fewer):
            for i, (a, b) in enumerate(zip(group, other, strict=False)):
                assert_same_up_to_rounding(
                    policy, prompt, a.token_ids, b.token_ids, seed=5, index=i
                )


def test_same_up_to_rounding_means_something(policy):
    """The assertion itself: another seed's chain, or one with another word, is not the same."""
    [[one]] = policy.sample(PROMPTS[:1], max_new_tokens=30, seed=5)
    [[other]] = policy.sample(PROMPTS[:1], max_new_tokens=30, seed=6)
    changed = [*one.token_ids[:10], (one.token_ids[10] + 500) % 1000, *one.token_ids[11:]]
    for wrong in (other.token_ids, changed, one.token_ids[:-1]):
        with pytest.raises(AssertionError):
            assert_same_up_to_rounding(policy, PROMPTS[0], one.token_ids, wrong, seed=5)


def test_a_repeated_prompt_gets_other_samples(policy):
    first, second = policy.sample([PROMPTS[0]] * 2, 3, max_new_tokens=20)
    together = policy.sample([PROMPTS[0]], 6, max_new_tokens=20)[0]
    for i, (a, b) in enumerate(zip(first + second, together, strict=True)):
        assert_same_up_to_rounding(policy, PROMPTS[0], a.token_ids, b.token_ids, seed=0, index=i)


def test_frequencies_match_the_softmax(policy):
    """Chi-square of 20,000 first tokens against the model's probabilities, at the 0.1% level."""
    n = 20_000
    samples = [s for _ in range(1) for s in policy.sample([PROMPTS[0]], n, max_new_tokens=1)[0]]
    with torch.inference_mode():
        probs = (
            policy.model(torch.tensor([policy.encode(PROMPTS[0])]))
            .logits[0, -1]
            .softmax(-1)
            .double()
        )
    counts = torch.bincount(
        torch.tensor([s.token_ids[0] for s in samples]), minlength=len(probs)
    ).double()
    common = probs * n >= 5
    observed = torch.cat((counts[common], counts[~common].sum()[None]))
    expected = torch.cat((probs[common], probs[~common].sum()[None])) * n
    keep = expected > 0
    statistic = float(((observed - expected)[keep] ** 2 / expected[keep]).sum())
    freedom = int(keep.sum()) - 1
    # Wilson-Hilferty: the 99.9% quantile of chi-square.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert freedom > 5
    assert statistic < limit


def test_the_nucleus_is_that_of_transformers():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * 3
    for top_p in (0.05, 0.4, 0.8, 0.99):
        ours = nucleus(logits.softmax(-1), torch.full((6, 1), top_p))
        theirs = TopPLogitsWarper(top_p)(None, logits).softmax(-1)
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_only_the_nucleus_is_drawn(policy):
    """A tiny nucleus is the greedy word, however hot; requests of one batch may differ in it; the
    log-probability is that of the distribution drawn from, on both paths.
    """
    asked = [Sample(PROMPTS[0], n=4, max_new_tokens=12, top_p=p) for p in (1e-4, 0.6, 1.0)]
    tiny, some, every = policy.sample_each(asked, [5] * 3)
    [[greedy]] = policy.sample(PROMPTS[:1], temperature=0, max_new_tokens=12)
    assert all(r.token_ids == greedy.token_ids for r in tiny)
    assert all(abs(x) < 1e-6 for r in tiny for x in r.logprobs)
    assert len({tuple(r.token_ids) for r in every}) == 4
    ids = policy.encode(PROMPTS[0])
    for response in some:
        with torch.inference_mode():
            logits = policy.model(torch.tensor([ids + response.token_ids])).logits[0]
        kept = TopPLogitsWarper(0.6)(None, logits[len(ids) - 1 : -1].float()).log_softmax(-1)
        truth = kept.gather(-1, torch.tensor(response.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(response.logprobs), truth, atol=1e-4)
    plain = generate_plain(policy.model, [ids], 4, max_new_tokens=12, seed=5, top_p=0.6)
    fast = policy.sampler.sample([ids], 4, max_new_tokens=12, seed=5, top_p=0.6)
    assert [g.token_ids for g in plain[0]] == [g.token_ids for g in fast[0]]
    with pytest.raises(ValueError, match="top_p must be above 0"):
        policy.sample_each([Sample(PROMPTS[0], top_p=0.0)], [0])


def test_noise_is_uniform_and_reproducible():
    keys = row_keys([[1, 2, 3], [1, 2, 4]], 500, 0)
    assert len(set(keys.tolist())) == 1000
    noise = uniform_noise(keys, 0, 64)
    assert torch.equal(noise[:, 10:20], uniform_noise(keys, 10, 10))
    assert noise.min() > 0
    assert noise.max() < 1
    counts = torch.histc(noise.flatten(), 20, 0, 1)
    assert ((counts - 3200).abs() < 5 * 3200**0.5).all()
    # Neighboring positions and neighboring rows are uncorrelated.
    centered = noise - 0.5
    assert abs(float((centered[:, 1:] * centered[:, :-1]).mean())) < 5 / 12 / 64000**0.5
    assert abs(float((centered[1:] * centered[:-1]).mean())) < 5 / 12 / 64000**0.5


def test_noise_is_never_one():
    """The key whose noise has all bits set (the hash is undone by hand): the last word is drawn
    only if it is possible.
    """
    bits, x = 64, (1 << 64) - 1

    def undo_shift(x, by):
        y = x
        for _ in range(bits // by + 1):
            y = x ^ (y >> by)
        return y

    x = undo_shift(x, 31)
    for shift, factor in ((27, 0x94D049BB133111EB), (30, 0xBF58476D1CE4E5B9)):
        x = undo_shift(x * pow(factor, -1, 1 << bits) % (1 << bits), shift)
    key = (x - 0x9E3779B97F4A7C15) % (1 << bits)
    key = torch.tensor([key - (1 << bits) if key >> 63 else key])
    noise = uniform_noise(key, 0, 1)[0]
    assert 0.9999999 < noise.item() < 1
    token, logprob = pick_token(torch.tensor([[0.0, 0.0, float("-inf")]]), 1.0, noise)
    assert token.item() == 1
    assert logprob.isfinite()


def test_choose_at_the_edges():
    logits = torch.tensor([[0.0, float("-inf"), 0.0]])
    for noise in (1e-7, 0.25, 0.4999, 0.5001, 0.75, 1 - 1e-7):
        token, logprob = pick_token(logits, 1.0, torch.tensor([noise]))
        assert token.item() == (0 if noise < 0.5 else 2)
        assert logprob.item() == pytest.approx(-0.6931, abs=1e-3)


def test_plain_path_serves_other_models():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=128,
            initializer_range=0.5,
        )
    ).eval()
    assert not LlamaSampler.supports(model)
    policy = Policy(model, tokenizer, bf16=False)
    groups = policy.sample(PROMPTS, 2, max_new_tokens=20)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample in group:
            truth = forward_logprobs(model, policy.encode(prompt), sample.token_ids)
            assert torch.allclose(torch.tensor(sample.logprobs), truth, atol=1e-4)


def test_plain_and_fast_paths_draw_the_same(policy):
    ids = [policy.encode(p) for p in PROMPTS]
    options = {"max_new_tokens": 25, "seed": 2, "stop": (tokenizer.eos_token_id,)}
    fast = policy.sampler.sample(ids, 2, **options)
    plain = generate_plain(policy.model, ids, 2, **options)
    for prompt, group, other in zip(PROMPTS, fast, plain, strict=True):
        for i, (a, b) in enumerate(zip(group, other, strict=True)):
            assert_same_up_to_rounding(policy, prompt, a.token_ids, b.token_ids, seed=2, index=i)


def test_bf16_is_close(policy):
    """Mean KL of the bfloat16 sampler to the float32 model, on its own samples: small, and logged
    in notebook 01.
    """
    rough = Policy(policy.model, tokenizer, bf16=True)
    groups = rough.sample(PROMPTS, 4, max_new_tokens=40)
    flat = [(p, s) for p, g in zip(PROMPTS, groups, strict=True) for s in g]
    exact = policy.logprobs([p for p, _ in flat], [s.token_ids for _, s in flat])
    gaps = torch.cat([torch.tensor(s.logprobs) - e for (_, s), e in zip(flat, exact, strict=True)])
    assert gaps.abs().mean() < 0.1


def test_refresh_follows_the_weights(policy):
    before = policy.sample(PROMPTS[:1], temperature=0, max_new_tokens=10)[0][0].token_ids
    weight = policy.model.model.layers[0].mlp.down_proj.weight
    saved = weight.detach().clone()
    with torch.no_grad():
        weight.neg_()
    policy.refresh()
    after = policy.sample(PROMPTS[:1], max_new_tokens=10, temperature=0)[0][0]
    truth = forward_logprobs(policy.model, policy.encode(PROMPTS[0]), after.token_ids)
    assert torch.allclose(torch.tensor(after.logprobs), truth, atol=1e-4)
    with torch.no_grad():
        weight.copy_(saved)
    policy.refresh()
    assert policy.sample(PROMPTS[:1], temperature=0, max_new_tokens=10)[0][0].token_ids == before


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"stop": ("two words",)},
    ],
)
def test_bad_options_are_refused(policy, options):
    with pytest.raises(ValueError, match=r".+"):
        policy.sample(PROMPTS[:1], **options)


def test_edges(policy):
    assert policy.sample([]) == []
    with pytest.raises(ValueError, match="no room"):
        policy.sample(["1 " * 2000])
    long = policy.sample(["1 " * 1140], max_new_tokens=512)[0][0]
    assert len(long.token_ids) <= 1152 - 1143
    # A row's room in the context is its own, whatever it is sampled with.
    short = "1 " * 1135
    together = policy.sample([short, "1 " * 1140], max_new_tokens=512)
    assert together[1][0].token_ids == long.token_ids
    assert together[0][0].token_ids == policy.sample([short])[0][0].token_ids
    prefix = policy.sample(PROMPTS[:1], prefixes=["<think> use 4"], max_new_tokens=5)[0][0]
    assert prefix.text.startswith("<think> use 4 ")
    assert len(prefix.token_ids) == 5
