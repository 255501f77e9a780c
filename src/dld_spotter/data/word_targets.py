"""Targets of detectors that are taught one word at a time: where each word of a view is, and whether it counts."""

from collections.abc import Sequence

import numpy as np
import torch

from dld_spotter.core.batches import TextInstances, View, WordTargets
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights


def word_targets(view: View, instances: Sequence[TextInstances], min_height: float = 4.0, points: int = 8) -> WordTargets:
    """Bring the words of B images to a view.

    Args:
        view: of these images.
        instances: their words, in pixels of the reference.
        min_height: words lower than this many pixels of the view are don't-care in it.
        points: points of each of a word's two sides.
    """
    boundaries = polygons_to_boundaries([polygon for words in instances for polygon in words.polygons], points)
    image_index = np.repeat(np.arange(len(instances)), [len(words) for words in instances])
    factors = view.factors.numpy()[image_index]
    heights = word_heights(boundaries) * np.sqrt(factors.prod(1))
    ignored = np.concatenate([np.zeros(0, bool), *(words.ignore for words in instances)])
    care = ~ignored & (heights >= min_height)
    moved = boundaries * factors[:, None, None].astype(np.float32)
    return WordTargets(torch.from_numpy(moved), torch.from_numpy(image_index), torch.from_numpy(care), len(instances))
