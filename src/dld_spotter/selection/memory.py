"""The latest images of a training, kept to learn from again."""

from typing import Any

import torch
from torch import Tensor

from dld_spotter.core.errors import ConfigError


class Memory:
    """The latest rows of aligned columns.

    Args:
        capacity: rows kept.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ConfigError(f"selection.capacity must be at least 1, found {capacity}; raise it")
        self.capacity = capacity
        self.columns: list[Tensor] = []
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def add(self, *rows: Tensor) -> None:
        """Keep rows ``(B, ...)`` of each column in the place of the oldest; of more than there is room for the last ones."""
        rows = tuple(row[-self.capacity :] for row in rows)
        if not self.columns:
            self.columns = [row.new_empty(self.capacity, *row.shape[1:]) for row in rows]
        count = len(rows[0])
        places = torch.arange(self.seen, self.seen + count, device=rows[0].device) % self.capacity
        for column, row in zip(self.columns, rows, strict=True):
            column[places] = row
        self.seen += count

    def rows(self) -> list[Tensor]:
        """All rows of every column, in any order."""
        return [column[: len(self)] for column in self.columns]

    def state(self) -> dict[str, Any]:
        """Its rows, in their places, and how many there were."""
        return {"columns": [row.cpu().clone() for row in self.rows()], "seen": self.seen, "capacity": self.capacity}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Take over what :meth:`state` gave; of another capacity nothing, since rows would change their places."""
        if state["capacity"] == self.capacity:
            self.seen = state["seen"]
            self.columns = [rows.new_empty(self.capacity, *rows.shape[1:], device=device) for rows in state["columns"]]
            for column, rows in zip(self.columns, state["columns"], strict=True):
                column[: len(rows)] = rows.to(device)

    def draw(self, count: int) -> list[Tensor]:
        """Rows drawn with replacement, the same of every column."""
        index = torch.randint(len(self), (count,), device=self.columns[0].device)
        return [column[index] for column in self.columns]
