"""How well two readings agree."""

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.inference.agreement import Agreement, compare_words


def test_words_are_counted_where_sides_differ():
    word = Word(np.array([[0, 0], [9, 0], [9, 4], [0, 4]], np.float32), "cat", 0.9)
    far = Word(word.polygon + 50, "dog", 0.5)
    assert compare_words([], []) == (0, 0, 0, 0)
    assert compare_words([word, far], [far, word]) == (2, 2, 2, 2)
    assert compare_words([word], []) == compare_words([], [word]) == (1, 0, 0, 0)
    assert compare_words([word], [Word(word.polygon + 0.6, "cut", 0.9005)]) == (1, 0, 0, 1)
    assert Agreement().shares() == {"polygons": 1, "texts": 1, "scores": 1}
