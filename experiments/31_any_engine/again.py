"""Read again what the readings that collect.py left leave open: second passes, in a file of the same form.

    python experiments/31_any_engine/again.py OUT --first FILE --engine rapidocr --data DATA --part train --size 640

The first pass is taken from the file, with the seconds that it took; the second one is read.
"""

import argparse
import json
from math import inf
from pathlib import Path

import numpy as np
from collect import engine_of, processor, resized
from tables import FOLDERS, REFERENCE, Readings

from dld_spotter.data.photos import ReferenceSize, read_image
from dld_spotter.inference.adaptive_engine import ENGINE_RULE
from dld_spotter.inference.engines.engine import Engine, Line
from dld_spotter.inference.predictor import Predictor
from dld_spotter.selection.sizes.outcomes import Way


class Replayed(Engine):
    """Gives what was read before in place of its first reading of an image, and then reads.

    Args:
        engine: reads.
        min_score: words of less are dropped.
    """

    name = "replayed"

    def __init__(self, engine: Engine, min_score: float) -> None:
        super().__init__(engine.threads)
        self.engine, self.min_score, self.first, self.before = engine, min_score, [], True

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        return None

    def version(self) -> str:
        """See :meth:`Engine.version`."""
        return self.engine.version()

    def show(self, words: list, width: int) -> None:
        """What was read before in an image that is so many pixels wide."""
        self.first, self.width, self.before = words, width, True

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`."""
        if not self.before:
            return self.engine.read(image)
        self.before = False
        factor = image.shape[1] / self.width
        return [Line(np.array(polygon) * factor, text, score) for polygon, text, score in self.first]


def main() -> None:
    """Read what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=Path, required=True)
    parser.add_argument("--engine", default="rapidocr")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", default="train")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--gain-threshold", type=float, default=2.0)
    parser.add_argument("--min-score", type=float, default=0.5)
    asked = parser.parse_args()
    engine = Replayed(engine_of(asked.engine), asked.min_score)
    predictor = Predictor(engine, rule=ENGINE_RULE, reference=ReferenceSize(long=REFERENCE))
    first = Readings.of([asked.first], asked.data, asked.part)
    way = Way(asked.size, asked.gain_threshold)
    done = set()
    if asked.out.is_file():
        lines = map(json.loads, asked.out.open())
        done = {(row["kind"], row["name"], row["factor"]) for row in lines if row["size"] == way.size}
    with asked.out.open("a") as file:
        for key, known in first.rows.items():
            row = known.get(Way(way.size, inf))
            if key in done or row is None:
                continue
            image = resized(read_image(asked.data / FOLDERS[asked.part][key[0]] / "images" / key[1]), key[2])
            engine.show(row["words"], image.shape[1])
            size = predictor.reference(*image.shape[:2])
            start = processor()
            (reading,) = predictor.read_points([image], [way.point(*size)], decided=False)
            took = row["processor"] + processor() - start
            words = [(np.round(word.polygon, 1).tolist(), word.text, round(float(word.score), 4)) for word in reading.words]
            again = {"gain_threshold": way.gain_threshold, "again": round(reading.second_pass_share, 4)}
            file.write(json.dumps(row | again | {"processor": round(took, 3), "words": words}) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
