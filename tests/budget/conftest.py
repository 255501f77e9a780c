"""Small tables of outcomes."""

from tests.tradeoff.conftest import random_table, worked

__all__ = ["random_table", "worked"]
