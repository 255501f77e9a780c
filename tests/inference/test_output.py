from pathlib import Path

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.inference.output import to_json
from dld_spotter.inference.predictor import Reading


def test_a_line_of_predict_holds_all_that_a_reading_says():
    word = Word(np.array([[1.04, 2], [11, 2], [11, 7], [1, 7]], np.float32), "cat", 0.98765)
    reading = Reading((word,), 0.3, 8.5, 0.091, 0.37, 640, 480, second_pass_share=0.125, dropped=3)
    assert to_json(Path("a/b.jpg"), reading) == {
        "image": "a/b.jpg",
        "width": 640,
        "height": 480,
        "scale": 0.3,
        "second_pass": 0.125,
        "relative_cost": 0.37,
        "gflops": 8.5,
        "seconds": 0.091,
        "dropped": 3,
        "pieces": 1,
        "turned": 0,
        "words": [{"polygon": [[1.0, 2.0], [11.0, 2.0], [11.0, 7.0], [1.0, 7.0]], "text": "cat", "score": 0.9877}],
    }
