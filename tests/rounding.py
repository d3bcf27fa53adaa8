"""What "the same up to rounding" means for sampled chains, as an assertion."""

import torch

from o1lib.model.generation import row_keys, uniform_noise

NEAR = 1e-5  # how far rounding may move the boundary between two words


def assert_same_up_to_rounding(policy, prompt, one, other, *, seed, index=0, temperature=1.0):
    """Two token lists that the same noise drew for sample `index` of a prompt: equal, or first
    different where the noise lies within rounding of a boundary between the two words, by the
    model's own forward pass.
    """
    pairs = zip(one, other, strict=False)
    at = next((t for t, (a, b) in enumerate(pairs) if a != b), None)
    if at is None:
        assert len(one) == len(other)
        return
    ids = policy.encode(prompt)
    with torch.inference_mode():
        logits = policy.model(torch.tensor([ids + one[:at]])).logits[0, -1].double()
    cumulative = (logits / temperature).softmax(-1).cumsum(-1)
    noise = float(uniform_noise(row_keys([ids], index + 1, seed)[-1:], at, 1))
    between = cumulative[min(one[at], other[at]) : max(one[at], other[at])]
    assert (between - noise).abs().max() < NEAR, f"position {at}: {one[at]} or {other[at]}"
