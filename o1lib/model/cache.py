"""The keys and values of a batch of rows, written in place (`o1lib.model.sampler` reads them).

Prompts are padded on the left, so that all rows write the same slot at every step. Keys are stored
transposed, as their product wants them. Rows that have ended are dropped by moving a few rows of
the tail into their places; room for slots grows by doubling.
"""

from __future__ import annotations

import torch


class Cache:
    """Room for `slots` tokens of every row, in every layer.

    `keys` are (rows, kv_heads, head_dim, slots) and `values` (rows, kv_heads, slots, head_dim),
    one tensor a layer.
    """

    def __init__(self, keys: list[torch.Tensor], values: list[torch.Tensor]):
        self.keys, self.values = keys, values

    @classmethod
    def empty(
        cls, layers: int, rows: int, kv_heads: int, head_dim: int, slots: int, **options
    ) -> Cache:
        """Unwritten room; `options` are the tensors' dtype and device."""
        return cls(
            [torch.empty(rows, kv_heads, head_dim, slots, **options) for _ in range(layers)],
            [torch.empty(rows, kv_heads, slots, head_dim, **options) for _ in range(layers)],
        )

    @property
    def rows(self) -> int:
        return self.keys[0].shape[0]

    @property
    def slots(self) -> int:
        return self.keys[0].shape[-1]

    def write(self, layer: int, start: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put the keys and values (rows, length, kv_heads, head_dim) of new tokens into slots
        start.. of a layer.
        """
        stop = start + keys.shape[1]
        self.keys[layer][..., start:stop] = keys.permute(0, 2, 3, 1)
        self.values[layer][:, :, start:stop] = values.transpose(1, 2)

    def read(self, layer: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first `stop` slots of a layer: keys (rows * kv_heads, head_dim, stop), values (rows
        * kv_heads, stop, head_dim).
        """
        keys, values = self.keys[layer], self.values[layer]
        return keys.flatten(0, 1)[..., :stop], values.flatten(0, 1)[:, :stop]

    def copied(self, rows: torch.Tensor, used: int, slots: int) -> Cache:
        """The given rows (indices; a row may occur often) with their first `used` slots, and room
        for `slots`.
        """
        layers, (_, kv_heads, head_dim, _) = len(self.keys), self.keys[0].shape
        options = {"dtype": self.keys[0].dtype, "device": self.keys[0].device}
        new = Cache.empty(layers, len(rows), kv_heads, head_dim, slots, **options)
        for layer in range(layers):
            new.keys[layer][..., :used] = self.keys[layer][..., :used][rows]
            new.values[layer][:, :, :used] = self.values[layer][:, :, :used][rows]
        return new

    def keep(self, alive: torch.Tensor, multiple: int = 1) -> torch.Tensor:
        """Drop the rows that are not alive, in place; returns the old index of every row that
        stays.

        A few of the ended rows stay when their number is to be a multiple.
        """
        n_alive = int(alive.sum())
        n = min(self.rows, -(-n_alive // multiple) * multiple)
        tail = alive[n:].nonzero()[:, 0] + n
        holes = (~alive[:n]).nonzero()[: len(tail), 0]
        for tensors in (self.keys, self.values):
            for layer, tensor in enumerate(tensors):
                tensor[holes] = tensor[tail]
                tensors[layer] = tensor[:n]
        kept = torch.arange(n, device=alive.device)
        kept[holes] = tail
        return kept
