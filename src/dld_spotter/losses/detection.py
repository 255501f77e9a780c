"""Loss of the text map (DB, arXiv 1911.08947, section 3.5), per image, so that a selector can weigh images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps, DetectionTargets

LEAST_CELLS = 1000
"""Of an image with little text, so many of the hardest cells without text count nevertheless."""


class DetectionLoss(nn.Module):
    """Balanced cross-entropy of the text map, dice of the binarised map, L1 of the threshold map.

    What a cell counts (``care``) weighs its cross-entropy, so that such cells are among the hardest, too.

    Args:
        negative_ratio: the hardest non-text cells are kept, this many per text cell.
        sharpness: the k of the differentiable binarisation ``sigmoid(k * (text - threshold))``.
        dice: weight of the dice term.
        border: weight of the threshold term.
    """

    def __init__(self, negative_ratio: float = 3.0, sharpness: float = 10.0, dice: float = 1.0, border: float = 2.0) -> None:
        super().__init__()
        self.negative_ratio = negative_ratio
        self.sharpness = sharpness
        self.dice = dice
        self.border = border

    def forward(self, maps: DetectionMaps, targets: DetectionTargets) -> Tensor:
        """Map logits and targets ``(B, h, w)`` to the loss ``(B,)`` of each image."""
        text, threshold = maps.text.float(), maps.threshold.float()
        entropy = F.binary_cross_entropy_with_logits(text, targets.text, reduction="none") * targets.care
        known = (targets.care > 0).float()
        loss = self._balanced(entropy, targets.text * known)
        border_probability = 0.3 + 0.4 * threshold.sigmoid()  # the target runs from 0.3 far from the outline to 0.7 on it
        difference = (border_probability - (0.3 + 0.4 * targets.border)).abs() * targets.border_care
        loss = loss + self.border * difference.sum((1, 2)) / targets.border_care.sum((1, 2)).clamp(min=1)
        binary = torch.sigmoid(self.sharpness * (text.sigmoid() - border_probability)) * known
        wanted = targets.text * known
        overlap = 2 * (binary * wanted).sum((1, 2)) + 1
        return loss + self.dice * (1 - overlap / (binary.square().sum((1, 2)) + wanted.square().sum((1, 2)) + 1))

    def _balanced(self, entropy: Tensor, positive: Tensor) -> Tensor:
        """Mean over the text cells and the hardest others, per image; without text, over a fixed number of others."""
        cells = entropy[0].numel()
        positives = positive.sum((1, 2))
        negatives = (self.negative_ratio * positives).clamp(min=min(LEAST_CELLS, cells)).clamp(max=cells)
        hardest = ((1 - positive) * entropy).flatten(1)
        most = int(negatives.max())
        top = hardest.topk(most, dim=1).values
        chosen = torch.arange(most, device=top.device)[None] < negatives[:, None]
        return ((positive * entropy).sum((1, 2)) + (top * chosen).sum(1)) / (positives + negatives)
