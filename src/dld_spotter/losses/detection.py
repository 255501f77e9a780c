"""Loss of the text map (DB, arXiv 1911.08947, section 3.5), per image, so that a selector can weigh images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps, DetectionTargets

LEAST_CELLS = 1000
"""Of an image with little text, so many of the hardest cells without text count nevertheless."""


class DetectionLoss(nn.Module):
    """Balanced cross-entropy of the text map, dice of the binarised map, L1 of the threshold map.

    What a cell counts (``care``) weighs its cross-entropy, so that such cells are among the hardest, too. Of families without a
    threshold map the text map is judged by :class:`ShrunkTextLoss` alone.

    Args:
        negative_ratio: the hardest non-text cells are kept, this many per text cell.
        sharpness: the k of the differentiable binarisation ``sigmoid(k * (text - threshold))``.
        dice: weight of the dice term.
        border: weight of the threshold term.
        shrunk: how a text map without a threshold map is judged.
    """

    def __init__(
        self,
        negative_ratio: float = 3.0,
        sharpness: float = 10.0,
        dice: float = 1.0,
        border: float = 2.0,
        shrunk: "ShrunkTextLoss | None" = None,
    ) -> None:
        super().__init__()
        self.shrunk = shrunk or ShrunkTextLoss()
        self.negative_ratio = negative_ratio
        self.sharpness = sharpness
        self.dice = dice
        self.border = border

    def forward(self, maps: DetectionMaps, targets: DetectionTargets) -> Tensor:
        """Map logits and targets ``(B, h, w)`` to the loss ``(B,)`` of each image."""
        if maps.threshold is None:
            return self.shrunk(maps.text, targets.text, targets.care)
        text, threshold = maps.text.float(), maps.threshold.float()
        entropy = F.binary_cross_entropy_with_logits(text, targets.text, reduction="none") * targets.care
        known = (targets.care > 0).float()
        loss = balanced_mean(entropy, targets.text * known, self.negative_ratio)
        border_probability = 0.3 + 0.4 * threshold.sigmoid()  # the target runs from 0.3 far from the outline to 0.7 on it
        difference = (border_probability - (0.3 + 0.4 * targets.border)).abs() * targets.border_care
        loss = loss + self.border * difference.sum((1, 2)) / targets.border_care.sum((1, 2)).clamp(min=1)
        binary = torch.sigmoid(self.sharpness * (text.sigmoid() - border_probability)) * known
        wanted = targets.text * known
        overlap = 2 * (binary * wanted).sum((1, 2)) + 1
        return loss + self.dice * (1 - overlap / (binary.square().sum((1, 2)) + wanted.square().sum((1, 2)) + 1))


class ShrunkTextLoss(nn.Module):
    """Balanced cross-entropy and dice of a map of shrunk text without a threshold map, as PP-OCR's detector has it.

    Args:
        negative_ratio: the hardest non-text cells are kept, this many per text cell.
        entropy: weight of the cross-entropy.
        dice: weight of the dice term.
    """

    def __init__(self, negative_ratio: float = 3.0, entropy: float = 5.0, dice: float = 1.0) -> None:
        super().__init__()
        self.negative_ratio, self.entropy, self.dice = negative_ratio, entropy, dice

    def forward(self, logits: Tensor, text: Tensor, care: Tensor) -> Tensor:
        """Compare images with what they should show.

        Args:
            logits: ``(B, h, w)``.
            text: the same shape, 1 inside a shrunk word.
            care: the same shape, what each cell counts in both terms, 0 where the answer is unknown.

        Returns:
            the loss ``(B,)`` of each image.
        """
        logits = logits.float()
        entropy = F.binary_cross_entropy_with_logits(logits, text, reduction="none") * care
        balanced = balanced_mean(entropy, text * (care > 0), self.negative_ratio)
        probability = logits.sigmoid()
        overlap = 2 * (probability * text * care).sum((1, 2)) + 1
        dice = 1 - overlap / ((probability.square() + text) * care).sum((1, 2)).add(1)
        return self.entropy * balanced + self.dice * dice


def balanced_mean(entropy: Tensor, positive: Tensor, negative_ratio: float) -> Tensor:
    """Mean over the text cells and the hardest others; without text, over a fixed number of others.

    Args:
        entropy: ``(B, h, w)`` loss of each cell.
        positive: the same shape, 1 in text that counts.
        negative_ratio: others that are kept per text cell.

    Returns:
        ``(B,)``.
    """
    cells = entropy[0].numel()
    positives = positive.sum((1, 2))
    negatives = (negative_ratio * positives).clamp(min=min(LEAST_CELLS, cells)).clamp(max=cells)
    hardest = ((1 - positive) * entropy).flatten(1)
    most = int(negatives.max())
    top = hardest.topk(most, dim=1).values
    chosen = torch.arange(most, device=top.device)[None] < negatives[:, None]
    return ((positive * entropy).sum((1, 2)) + (top * chosen).sum(1)) / (positives + negatives)
