"""Low-rank changes: what they change, and what the merged network computes."""

import pytest
import torch

from o1lib.backends.peft import low_rank, merged
from o1lib.model.network import build_model
from o1lib.recipes.low_rank import low_rank_arm

IDS = torch.arange(20, 36)[None]


def test_nothing_changes_at_first_and_then_by_two_b_a():
    """The merged network against its own weights with the product added by hand."""
    model = build_model("pico").eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        adapted = low_rank(model, rank=3)
        assert torch.allclose(adapted(input_ids=IDS).logits, expected)
        for p in adapted.parameters():
            if p.requires_grad:
                p.normal_(std=0.1)
        by_hand = {}
        for name, module in adapted.base_model.model.named_modules():
            if hasattr(module, "lora_A"):
                product = module.lora_B["default"].weight @ module.lora_A["default"].weight
                assert torch.linalg.matrix_rank(product) == 3
                by_hand[f"{name}.weight"] = before[f"{name}.weight"] + 2 * product
        written = adapted(input_ids=IDS).logits
        network = merged(adapted)
        assert torch.allclose(network(input_ids=IDS).logits, written, atol=1e-4)
    assert len(by_hand) == 3 * 7
    for name, p in network.named_parameters():
        assert torch.allclose(p, by_hand.get(name, before[name]), atol=1e-6)


def test_a_rank_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        low_rank(build_model("pico"), 0)


def test_the_arm_learns_the_low_rank_part_alone(tmp_path):
    small = {"rate": 2e-3, "tokens": 2_000, "problems": 2}
    rows = list(low_rank_arm(0, tmp_path / "a", 4, **small))
    found = {row["metric"]: row["value"] for row in rows}
    # Of each of four layers: q, k, v, o, gate, up and down, rank x (inputs + outputs).
    sizes = [(128, 128), (128, 32), (128, 32), (128, 128), (128, 384), (128, 384), (384, 128)]
    assert found["weights"] == 4 * 4 * sum(a + b for a, b in sizes)
    whole = {r["metric"]: r["value"] for r in low_rank_arm(0, tmp_path / "b", None, **small)}
    assert whole["weights"] == 902_784
    assert set(whole) == set(found)
