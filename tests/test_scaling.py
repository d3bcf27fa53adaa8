"""The scaling experiment: what it counts, and when it looks."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.recipes.scaling import scaling_arm, training_flops


def test_it_looks_after_one_two_four_steps_and_at_the_end(tmp_path):
    start = Policy(build_model("pico").eval(), build_tokenizer())
    rows = list(scaling_arm(0, tmp_path, "pico", steps=5, prompts=2, problems=1, start=start))
    looked = [row["step"] for row in rows if row["metric"] == "pass@8, new numbers"]
    assert looked == [0, 1, 2, 4, 5]
    spent = {row["step"]: row["tokens"] for row in rows if row["metric"] == "reward"}
    assert all(spent[step] < spent[step + 1] for step in range(1, 5))


def test_operations_as_torch_counts_them():
    """Two a weight and token forward, four backward; what the attention itself takes, a few
    percent of a short text, is left out of the formula.
    """
    model, tokens = build_model("nano"), 32
    ids = torch.arange(5, 5 + tokens)[None]
    with FlopCounterMode(display=False) as forward:
        model(input_ids=ids)
    with FlopCounterMode(display=False) as both:
        model(input_ids=ids, labels=ids).loss.backward()
    weights = sum(p.numel() for p in model.parameters())
    counted = forward.get_total_flops() + both.get_total_flops()
    assert abs(counted / training_flops(weights, tokens) - 1) < 0.1
