"""What a detector finds on validation photos, and what PP-OCR's recogniser reads there.

    python experiments/27_ppocr_words/evaluate.py WEIGHTS --data DATA [--scales 1.0 0.5] [--photos 100]

WEIGHTS is a checkpoint of train_detector.py, or ``start`` for PP-OCRv6 small as it comes. Boxes are smallest rectangles around
what is above the threshold, grown back as if their text had been shrunk by each of several ratios; the one that fits best is
taken. Scores are chosen best for each figure, so that trainings can be compared: these are validation figures.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import validation_photos
from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample, TextInstances, Word
from dld_spotter.core.charset import PRINTABLE_ASCII, Charset
from dld_spotter.data.photos import scaled_size
from dld_spotter.data.views import make_view
from dld_spotter.metrics.matching import Hmean, match_images
from dld_spotter.models.ppocr.detector import PPOCRDetector
from dld_spotter.models.ppocr.recognizer import COLUMN, HEIGHT, PPOCRRecognizer
from dld_spotter.models.ppocr.weights import detector_state, recognizer_state
from dld_spotter.models.proposals import TextMapDecoder

LONGEST = 1280
"""Pixels of the longest side at scale 1."""
SHRINKS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Ratios by which boxes are grown back: the smaller, the larger the boxes. Targets are drawn with 0.4."""
DECODER = TextMapDecoder(threshold=0.3, min_score=0.3, curved_below=0.0, points=2, stride=1, max_words=300)
SCORES = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
WIDEST = 960
CHARSET = Charset(PRINTABLE_ASCII)


@dataclass(frozen=True)
class Figures:
    """What is found and read at one scale.

    Args:
        found: share of the words with a region of IoU >= 0.5, whatever its score.
        fitting: share of the words with one of IoU >= 0.8.
        shrink: the ratio of the boxes.
        detection: precision, recall and Hmean at the best score.
        detection_score: that score.
        reading: the same end to end; None where nothing was read.
        reading_score: the best product of both scores.
        seconds: of finding, for one photo.
    """

    found: float
    fitting: float
    shrink: float
    detection: Hmean
    detection_score: float
    reading: Hmean | None
    reading_score: float
    seconds: float


def start() -> PPOCRDetector:
    """PP-OCR's detector as it comes."""
    detector = PPOCRDetector()
    detector.load_state_dict(detector_state())
    return detector


def reader() -> PPOCRRecognizer:
    """PP-OCR's recogniser as it comes."""
    recognizer = PPOCRRecognizer(len(CHARSET))
    recognizer.load_state_dict(recognizer_state(CHARSET))
    return recognizer.eval()


@torch.inference_mode()
def evaluate(
    detector: PPOCRDetector, recognizer: PPOCRRecognizer | None, photos: Dataset[Sample], count: int, scale: float
) -> Figures:
    """Find the words of the first ``count`` photos at a scale, and read them from full resolution."""
    detector.eval()
    truths: list[TextInstances] = []
    found: dict[float, list[list[Word]]] = {shrink: [] for shrink in SHRINKS}
    seconds = 0.0
    for index in range(count):
        sample = photos[index]
        began = time.perf_counter()
        probability, factor = text_map(detector, sample.image, scale)
        seconds += time.perf_counter() - began
        truths.append(sample.instances)
        for shrink, words in found.items():
            words.append(boxes(probability, factor, shrink))
    shares = {shrink: overlap_shares(truths, words) for shrink, words in found.items()}
    best = max(SHRINKS, key=lambda shrink: sum(shares[shrink]))
    words = found[best]
    detection, detection_score = best_score(truths, words, "detection")
    reading, reading_score = None, 0.0
    if recognizer is not None:
        texts = [read(recognizer, photos[index].image, words[index]) for index in range(count)]
        reading, reading_score = best_score(truths, texts, "end_to_end")
    return Figures(*shares[best], best, detection, detection_score, reading, reading_score, seconds / count)


def text_map(detector: PPOCRDetector, image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``(H, W)`` in a view of an image, and the factors (x, y) from its pixels to the view's."""
    height, width = image.shape[:2]
    factor = min(1.0, LONGEST / max(height, width)) * scale
    view = make_view([image], factor, detector.stride)
    rows, columns = scaled_size(height, width, factor)
    _, logits = detector(view.images)
    return logits[0, :rows, :columns].float().sigmoid().numpy(), view.factors[0].numpy()


def boxes(probability: np.ndarray, factor: np.ndarray, shrink: float) -> list[Word]:
    """Smallest rectangles of what is found, in pixels of the image; their texts are empty."""
    regions = replace(DECODER, shrink=shrink)(probability, *probability.shape)
    corners = np.concatenate([regions.boundaries[:, 0], regions.boundaries[:, 1, ::-1]], axis=1) / factor
    return [Word(quad, "", float(score)) for quad, score in zip(corners, regions.scores, strict=True)]


def overlap_shares(truths: Sequence[TextInstances], words: Sequence[Sequence[Word]]) -> tuple[float, float]:
    """Shares of the words that count which have a region of IoU >= 0.5 and >= 0.8."""
    best = [
        match.iou[~match.ignored_truth].max(1, initial=0) for match in match_images(truths, words, task="detection", exact=True)
    ]
    overlap = np.concatenate(best)
    return float((overlap >= 0.5).mean()), float((overlap >= 0.8).mean())


def best_score(truths: Sequence[TextInstances], words: Sequence[Sequence[Word]], task: str) -> tuple[Hmean, float]:
    """The highest Hmean that a least score gives, and that score."""
    found = []
    for score in SCORES:
        kept = [[word for word in one if word.score >= score] for one in words]
        counts = [match.counts for match in match_images(truths, kept, task=task, exact=False)]
        found.append((Hmean.of(counts), score))
    return max(found, key=lambda pair: pair[0].hmean)


def read(recognizer: PPOCRRecognizer, image: np.ndarray, words: Sequence[Word]) -> list[Word]:
    """Read words from strips of the image; strips of one width go through the recogniser together."""
    strips = [cut(image, word.polygon) for word in words]
    texts: list[Word | None] = [None] * len(words)
    for width in {strip.shape[1] for strip in strips}:
        rows = [i for i, strip in enumerate(strips) if strip.shape[1] == width]
        pixels = torch.from_numpy(np.stack([strips[i] for i in rows])).permute(0, 3, 1, 2)
        labels, scores = recognizer.read(recognizer.encode(pixels))
        for i, indices, score in zip(rows, labels.tolist(), scores.tolist(), strict=True):
            texts[i] = Word(words[i].polygon, CHARSET.decode(indices), words[i].score * score)
    return [word for word in texts if word and word.text]


def cut(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Straighten a word ``(4, 2)`` to 48 rows, its width rounded to whole steps of the recogniser."""
    lengths = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    width, height = max(lengths[0], lengths[2], 1), max(lengths[1], lengths[3], 1)
    columns = int(np.clip(COLUMN * round(HEIGHT * width / height / COLUMN), 2 * COLUMN, WIDEST))
    larger = max(1, int(height // HEIGHT))  # words taller than a strip are cut out larger, and reduced with a filter
    size = (columns * larger, HEIGHT * larger)
    corners = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32) - 0.5, corners)
    strip = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return strip if larger == 1 else cv2.resize(strip, (columns, HEIGHT), interpolation=cv2.INTER_AREA)


def show(scale: float, figures: Figures) -> str:
    """One line of figures, in %."""
    found, detection, reading = figures, figures.detection, figures.reading
    end = f"end to end {100 * reading.hmean:.1f} at {figures.reading_score:g}" if reading else "not read"
    return (
        f"scale {scale:g}: found {100 * found.found:.1f}, IoU 0.8 {100 * found.fitting:.1f} (shrink {figures.shrink:g}); "
        f"precision {100 * detection.precision:.1f}, recall {100 * detection.recall:.1f}, Hmean {100 * detection.hmean:.1f} "
        f"at {figures.detection_score:g}; {end}; {1000 * figures.seconds:.0f} ms"
    )


def main() -> None:
    """Evaluate a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 0.5])
    parser.add_argument("--photos", type=int, default=100)
    arguments = parser.parse_args()
    detector = start()
    if arguments.weights != "start":
        detector.load_state_dict(torch.load(arguments.weights, weights_only=True)["average"])
    photos, recognizer = validation_photos(arguments.data / "icdar2015" / "train"), reader()
    for scale in arguments.scales:
        print(show(scale, evaluate(detector, recognizer, photos, min(arguments.photos, len(photos)), scale)), flush=True)


if __name__ == "__main__":
    main()
