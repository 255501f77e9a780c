"""Gathers the fates of words while a data set is read, or from files of predictions, and leaves them behind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dld_spotter.core.files import write_text
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.fate_tables import FateReport, summarize
from dld_spotter.metrics.fates import Claim, Evidence, Fate, ImageFates, Predicted, TrueWord, find_fates
from dld_spotter.metrics.protocols import TotalTextProtocol
from dld_spotter.metrics.rules import Rules

if TYPE_CHECKING:
    from dld_spotter.budget.requests import Request
    from dld_spotter.core.batches import Sample
    from dld_spotter.evaluation.measuring import Counting, Samples
    from dld_spotter.inference.predictor import Predictor, Reading

MARGIN = 0.6
"""Around an example, of its height."""


@dataclass(frozen=True)
class Example:
    """A word as an example of its fate.

    Args:
        fate: of a true word, or the claim of a false prediction.
        crop: ``(h, w, 3)`` uint8 RGB, the word and what is round it.
        truth: polygon ``(P, 2)`` of the true word in pixels of the crop; None of an invented one.
        region: its own region, or the false prediction; None where there is none.
        caption: the true text and what was read.
    """

    fate: str
    crop: np.ndarray
    truth: np.ndarray | None
    region: np.ndarray | None
    caption: str


@dataclass
class FateCollector:
    """Called with every image that is read and its reading, finds the fates of its words.

    Each image is read once more, in a single pass at the scale of its reading, whatever the score, and its true words are
    read from the truth's boxes in that pass.

    Args:
        predictor: has read it.
        counting: how words are counted.
        most: examples that are kept of each fate.
        boxes: whether words are read from the truth's boxes, which a black-box engine cannot.
    """

    predictor: "Predictor"
    counting: "Counting"
    most: int = 6
    boxes: bool = True
    images: dict[str, ImageFates] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def __call__(self, sample: "Sample", reading: "Reading") -> None:
        """Find the fates in an image; raises ConfigError of an engine that is to read the truth's boxes."""
        from dld_spotter.inference.inspection import inspect  # here, as files of predictions are explained without

        polygons = sample.instances.polygons if self.boxes else None
        seen = inspect(self.predictor, sample.image, reading.scale, polygons)
        predictions, found = (self.counting.form.as_read(words, keep_scores=True) for words in (reading.words, seen.regions))
        regions = beside(predictions, found)
        texts = None if seen.boxes is None else [word.text for word in seen.boxes]
        rules = self.counting.rules
        lexicon = rules.lexicon and rules.lexicon.of(sample.name)
        fates = find_fates(Evidence(sample.instances, predictions, regions, texts), rules, lexicon)
        self.images[sample.name] = fates
        for example in examples_of(fates, sample.instances, sample.image):
            known = self.examples.setdefault(example.fate, [])
            if len(known) < self.most:
                known.append(example)

    @property
    def report(self) -> FateReport:
        """What the fates found so far add up to."""
        return summarize(self.images.values())

    def leave(self, folder: Path) -> FateReport:
        """Write ``fates.json``, ``fates.png`` and ``fates_examples.png``, and print the tables."""
        return leave(folder, self.images, self.counting.rules, examples=self.examples)


def explain(
    predictor: "Predictor", samples: "Samples", rules: Rules | None = None, request: "Request | None" = None, most: int = 6
) -> FateCollector:
    """Read images and find the fates of their words: its ``report`` adds them up, its ``leave`` writes them.

    Args:
        predictor: reads.
        samples: images with their words, such as ``ICDAR2015(folder)``.
        rules: how words are counted; None for those of ICDAR, end to end, without a lexicon.
        request: a scale, a cost weight or a budget; None leaves it to the predictor.
        most: examples that are kept of each fate.
    """
    from dld_spotter.budget.requests import Request  # here, as files of predictions are explained without
    from dld_spotter.evaluation.measuring import Counting, evaluate
    from dld_spotter.evaluation.predictions import PredictionForm

    rules = rules or Rules()
    fates = FateCollector(predictor, Counting(rules, PredictionForm(rules.protocol == TotalTextProtocol.name)), most)
    evaluate(predictor, samples, request or Request(), fates.counting, resamples=1, observers=[fates])
    return fates


def beside(predictions: Sequence[Word], regions: Sequence[Word]) -> list[Word]:
    """The regions that are none of the predictions: of another polygon."""
    known = {word.polygon.tobytes() for word in predictions}
    return [word for word in regions if word.polygon.tobytes() not in known]


def explain_files(
    truths: Mapping[str, TextInstances], predictions: Mapping[str, Sequence[Word]], rules: Rules
) -> dict[str, ImageFates]:
    """Find the fates of words in files, as far as polygons and texts tell.

    Args:
        truths: image -> its true words.
        predictions: image -> what was predicted; nothing where it is missing.
        rules: how words are counted.
    """
    return {
        image: find_fates(Evidence(truth, predictions.get(image, [])), rules, rules.lexicon and rules.lexicon.of(image))
        for image, truth in truths.items()
    }


def leave(
    folder: Path,
    images: Mapping[str, ImageFates],
    rules: Rules,
    scored: bool = True,
    examples: Mapping[str, Sequence[Example]] | None = None,
) -> FateReport:
    """Write what became of the words of a data set, and print the tables on stderr.

    Args:
        folder: gets ``fates.json``, ``fates.png`` and, with examples, ``fates_examples.png``.
        images: image -> fates.
        rules: how words were counted.
        scored: whether predictions have scores.
        examples: fate -> its examples.
    """
    import json

    from dld_spotter.evaluation.fate_view import draw_examples, draw_fates, show_fates  # matplotlib takes long to import

    report = summarize(images.values(), scored)
    title = f"{len(images)} images, {rules.protocol}, {rules.task}, IoU above {rules.iou:g}, lexicon {rules.lexicon_name}"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"images": len(images), "protocol": rules.protocol, "task": rules.task, "iou": rules.iou}
    content = facts | {"lexicon": rules.lexicon_name} | report.to_dict() | {"words": [*_rows(images)]}
    content |= {"false_predictions": [*_false_rows(images, scored)]}
    write_text(folder / "fates.json", json.dumps(content, indent=1) + "\n")
    show_fates(report, title)
    draw_fates(report, title, folder / "fates.png")
    if examples:
        draw_examples(examples, folder / "fates_examples.png")
    return report


def _rows(images: Mapping[str, ImageFates]) -> Iterator[dict[str, Any]]:
    """Every true word that counts, as JSON has it; places in the truth from 1."""
    for image, fates in images.items():
        for word in fates.words:
            region = word.region
            yield {
                "image": image,
                "index": word.index + 1,
                "text": word.text,
                "fate": str(word.fate),
                "height": round(word.height, 2),
                "read": region and region.text,
                "score": region and round(float(region.score), 4),
                "iou": round(word.iou, 4),
                "found": word.found,
                "right": word.right,
                "box": word.box,
                "box_right": word.box_right,
                "exact": word.exact,
            }


def _false_rows(images: Mapping[str, ImageFates], scored: bool) -> Iterator[dict[str, Any]]:
    """Every prediction that counts and is no match."""
    for image, fates in images.items():
        for one in fates.predictions:
            if one.claim is not Claim.MATCHED:
                yield {
                    "image": image,
                    "text": one.word.text,
                    "score": round(float(one.word.score), 4) if scored else None,
                    "claim": str(one.claim),
                    "index": None if one.owner is None else one.owner + 1,
                    "polygon": one.word.polygon.tolist(),
                }


def examples_of(fates: ImageFates, truth: TextInstances, pixels: np.ndarray) -> Iterator[Example]:
    """Every lost word and every false prediction without a lost word of an image ``(H, W, 3)``, as examples."""
    for word in fates.words:
        if word.fate is not Fate.READ:
            yield _example(str(word.fate), pixels, truth.polygons[word.index], word.region, _caption(word))
    for one in fates.predictions:
        if one.claim not in (Claim.MATCHED, Claim.OF_LOST_WORD):
            yield _example(str(one.claim), pixels, *_of_false(one, truth))


def _of_false(one: Predicted, truth: TextInstances) -> tuple[np.ndarray | None, Word, str]:
    """True polygon, region and caption of a false prediction."""
    owner = None if one.owner is None else truth.polygons[one.owner]
    return owner, one.word, f"\N{RIGHTWARDS ARROW} {one.word.text} ({one.word.score:.2f})"


def _caption(word: TrueWord) -> str:
    read = "" if word.region is None else f" \N{RIGHTWARDS ARROW} {word.region.text} ({word.region.score:.2f})"
    box = "" if word.box is None else f"\nbox: {word.box}"
    return f"{word.text}{read}{box}"


def _example(fate: str, pixels: np.ndarray, truth: np.ndarray | None, region: Word | None, caption: str) -> Example:
    outlines = [polygon for polygon in (truth, region and region.polygon) if polygon is not None]
    points = np.concatenate(outlines)
    margin = MARGIN * np.ptp(outlines[0][:, 1]) + 2
    limit = np.array([pixels.shape[1], pixels.shape[0]])
    left, top = np.floor(points.min(0) - margin).clip(0, limit - 1).astype(int)
    right, bottom = np.maximum(np.ceil(points.max(0) + margin).clip(0, limit).astype(int), (left + 1, top + 1))
    corner = np.array([left, top])
    moved = [None if polygon is None else polygon - corner for polygon in (truth, region and region.polygon)]
    return Example(fate, pixels[top:bottom, left:right].copy(), *moved, caption)
