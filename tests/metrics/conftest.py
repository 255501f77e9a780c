"""Small images to score."""

import numpy as np
import pytest

from dld_spotter.core.batches import TextInstances, Word


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


@pytest.fixture
def image():
    """Build (truth, words) of one image from two lists of (left, top, right, bottom, text)."""

    def build(truth, words):
        texts = [text for *_, text in truth]
        instances = TextInstances.of([box(*sides) for *sides, _ in truth], texts, [text == "###" for text in texts])
        return instances, [Word(box(*sides), text, 1.0) for *sides, text in words]

    return build
