"""Parameter-efficient fine-tuning through Hugging Face's PEFT: low-rank changes of a network whose
own weights stay as they are.

Source: Hu et al. (2021), LoRA, arXiv 2106.09685.
"""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, get_peft_model


def low_rank(model, rank: int, seed: int = 0) -> PeftModel:
    """A network every linear layer of which (the output layer apart) learns W + 2 B A, with A of
    `rank` rows and B of `rank` columns; its own weights are frozen. B begins at zero, so nothing
    changes at first.

    Raises `ValueError` for a rank below 1.
    """
    if rank < 1:
        raise ValueError(f"a rank is at least 1, got {rank}")
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def merged(adapted: PeftModel):
    """An ordinary network with the changes added to its weights."""
    return adapted.merge_and_unload()
