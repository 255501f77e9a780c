"""Small samples made by hand."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dld_spotter.core.batches import Sample, TextInstances


def box(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def turned_box(x: float, y: float, width: float, height: float, degrees: float) -> np.ndarray:
    """A box of this size with its centre at (x, y)."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    return (corners @ rotation.T + (x, y)).astype(np.float32)


def sample(height: int = 96, width: int = 128, polygons=(), texts=None, ignore=None, name: str = "sample") -> Sample:
    """Dark noise with words filled white, exact to a fraction of a pixel."""
    image = np.random.default_rng(height * width).integers(0, 60, (height, width, 3), np.uint8)
    if len(polygons):
        fine = np.zeros((height * 8, width * 8), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(fine, [np.rint(polygon * 8 - 0.5).astype(np.int32)], 255)
        words = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)[..., None]
        image = np.maximum(image, words)
    texts = ["word"] * len(polygons) if texts is None else texts
    return Sample(image, TextInstances.of(polygons, texts, ignore), name)


def write_crops(folder: Path, crops: Sequence[tuple[str, np.ndarray]], margin: int = 0) -> Path:
    """Write a ``words_map.tsv`` folder of texts and images ``(h, w, 3)``, each word filling its crop but for a margin.

    Crop N comes from a photo of its own, ``img_N.jpg``; of three or more, one (``img_3.jpg``) lies in the last tenth.
    """
    (folder / "words").mkdir(parents=True)
    lines = ["word\timage\tgt_line\tx0\ty0\tw\th\tx1\ty1\tx2\ty2\tx3\ty3\tx4\ty4\ttext"]
    for number, (text, image) in enumerate(crops, start=1):
        cv2.imwrite(str(folder / "words" / f"word_{number}.png"), image[..., ::-1])
        height, width = image.shape[:2]
        left, top, right, bottom = 100 + margin, 50 + margin, 99 + width - margin, 49 + height - margin
        corners = (left, top, right, top, right, bottom, left, bottom)
        fields = (f"word_{number}.png", f"img_{number}.jpg", 1, 100, 50, width, height, *corners, text)
        lines.append("\t".join(map(str, fields)))
    (folder / "words_map.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
