"""How well words are read on given regions."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torchmetrics import Metric


class _MeanOverWords(Metric):
    """Mean of one value per word; upper and lower case are one unless ``case_sensitive``."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    words: Tensor

    def __init__(self, case_sensitive: bool = False) -> None:
        super().__init__()
        self.case_sensitive = case_sensitive
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("words", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[str]) -> None:
        """Count texts read against the true ones."""
        for text, truth in zip(preds, target, strict=True):
            self.total += self._value(text, truth) if self.case_sensitive else self._value(text.upper(), truth.upper())
        self.words += len(target)

    def compute(self) -> Tensor:
        """The mean, 0 where there was no word."""
        return self.total / self.words.clamp(min=1)

    @abstractmethod
    def _value(self, text: str, truth: str) -> float:
        """Value of one word."""


class WordAccuracy(_MeanOverWords):
    """Share of words read without a fault."""

    def _value(self, text: str, truth: str) -> float:
        return float(text == truth)


class NormalizedEditSimilarity(_MeanOverWords):
    """1-NED: one minus the edit distance over the longer text's length, averaged over words."""

    def _value(self, text: str, truth: str) -> float:
        return Levenshtein.normalized_similarity(text, truth)
