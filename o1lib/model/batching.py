"""Batches of token rows, and the optimizer: what every training stands on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

# oneDNN prepares a kernel for every new matrix shape, which costs more than using it: lengths are
# rounded up to a multiple, so that shapes repeat, and the kernels are kept. (Twice as fast as rows
# of any length.)
LENGTH_MULTIPLE = 32
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")


def like_lengths(lengths: list[int], limit: int) -> Iterator[tuple[list[int], int]]:
    """Indices of rows of like length, longest first, with the length to pad them to: at most
    `limit` tokens together.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    while order:
        rows = [order.pop()]
        longest = -(-(lengths[rows[0]] - 1) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE + 1
        while order and (len(rows) + 1) * longest <= limit:
            rows.append(order.pop())
        yield rows, longest


def padded(rows: list[list], length: int, fill) -> torch.Tensor:
    """Rows padded on the right, shape (rows, length)."""
    return torch.tensor([row + [fill] * (length - len(row)) for row in rows])


def make_optimizer(model, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """AdamW with decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)
