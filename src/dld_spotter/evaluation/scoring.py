"""Scores files of predictions: figures with intervals, and on request a baseline, other protocols, or every word explained."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from omegaconf import MISSING

from dld_spotter.core.bootstrap import bootstrap, resample
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.hmean import hmean
from dld_spotter.data.readers.fields import name_scripts
from dld_spotter.metrics.explanation import Verdict, differences, explain_image
from dld_spotter.metrics.formats import Annotations, begins_with_percentages, printable, read_annotations
from dld_spotter.metrics.lexicons import Lexicon, image_key
from dld_spotter.metrics.matching import Hmean, ImageCounts, ImageMatch, match_images
from dld_spotter.metrics.protocols import check_task, find_protocol
from dld_spotter.metrics.rules import Rules


@dataclass
class Paths:
    """Where files are written."""

    output_dir: str = "."


@dataclass
class ScoreConfig:
    """The keys of the command line."""

    gt: str = MISSING
    preds: str = MISSING
    protocol: str = "rrc"
    task: str = "end_to_end"
    lexicon: str | None = "none"
    policy: str = "adelaidet"
    iou: float = 0.5
    confidences: str = "auto"
    resamples: int = 1000
    baseline: str | None = None
    compare: str | None = None
    explain: str | None = None
    images: str | None = None
    paths: Paths = field(default_factory=Paths)


def score(cfg: ScoreConfig) -> dict[str, Any]:
    """Score a set of predictions.

    Returns:
        precision, recall, hmean and its interval, the counts behind them, what was left out of them, and the rules they
        were counted by; with ``baseline``, ``compare`` or ``explain`` what that asks for as well.
    """
    task = check_task(cfg.task)
    find_protocol(cfg.protocol)
    if sum(question is not None for question in (cfg.baseline, cfg.compare, cfg.explain)) > 1:
        raise ConfigError("baseline=, compare= and explain= are three questions; ask one at a time")
    truth = read_annotations(cfg.gt, task, cfg.protocol, truth=True)
    if not truth.images:
        raise DataError(f"gt={cfg.gt} holds no image; give one line of JSON for each image of the ground truth")
    predictions = _read_predictions(cfg, cfg.preds, truth)
    lexicon = None if cfg.lexicon in ("none", None) else Lexicon.read(cfg.lexicon, cfg.policy)
    matches = _match(cfg, cfg.protocol, truth, predictions, lexicon)
    result = _report(cfg, truth, predictions, lexicon, matches)
    if cfg.compare is not None:
        return result | _compare(cfg, truth, predictions, lexicon)
    if _explains_all(cfg, truth):
        return result | {"fates": _fates(cfg, truth, predictions, lexicon)}
    if cfg.explain is not None:
        return result | {"explanation": _explain(cfg, truth, predictions, lexicon)}
    if cfg.baseline is not None:
        return result | {"baseline": _baseline(cfg, truth, lexicon, matches)}
    return result


def _read_predictions(cfg: ScoreConfig, path: str, truth: Annotations) -> Annotations:
    predictions = read_annotations(path, cfg.task, cfg.protocol, confidences=cfg.confidences)
    unknown = sorted(predictions.images.keys() - truth.images.keys())
    if unknown:
        raise DataError(
            f"{path} holds image {printable(unknown[0])} (one of {len(unknown)}) that gt={cfg.gt} does not know; remove it or "
            f"give the ground truth of the same data set, whose images are named like {next(iter(truth.images))}"
        )
    absent = truth.images.keys() - predictions.images.keys()
    _note(path, absent, "is an image of the ground truth without a file here, so its words are missed")
    for source, annotations in ((cfg.gt, truth), (path, predictions)):
        _note(source, annotations.ignored_files, "is no annotation and was left out")
        _note(source, annotations.undecodable_files, "holds bytes that are no UTF-8, which read as \ufffd")
    if name_scripts([word.text for words in truth.images.values() for word in words]):
        print(
            f"note: gt={cfg.gt}: a script stands before every text, as in MLT, and counts as part of it; leave it out",
            file=sys.stderr,
        )
    if begins_with_percentages(word.text for words in predictions.images.values() for word in words):
        print(
            f"note: {path}: every text begins with a number from 0 to 100 and a comma, which were read as part of the text; "
            "if these are confidences, divide them by 100",
            file=sys.stderr,
        )
    return predictions


def _note(source: str, names: Iterable[str], what: str) -> None:
    """Tell on stderr what was found beside the words, and how much of it."""
    names = sorted(names)
    if names:
        others = f" (and {len(names) - 1} more)" * (len(names) > 1)
        print(f"note: {source}: {names[0]}{others} {what}", file=sys.stderr)


def _match(
    cfg: ScoreConfig, protocol: str, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None
) -> dict[str, ImageMatch]:
    if lexicon and lexicon.shared:
        lexicon.shared.nearest(word.text for words in predictions.images.values() for word in words)  # all at once is faster
    truths, words, lists = zip(
        *((truth.truth(image), predictions.images.get(image, []), lexicon and lexicon.of(image)) for image in truth.images),
        strict=True,
    )
    matches = match_images(truths, words, protocol, check_task(cfg.task), cfg.iou, lists, exact=False)
    return dict(zip(truth.images, matches, strict=True))


def _counts(matches: Mapping[str, ImageMatch]) -> np.ndarray:
    """Matched, predicted and true words ``(N, 3)`` of each image."""
    return np.array([match.counts for match in matches.values()], float)


def _hmean(counts: np.ndarray) -> np.ndarray:
    """Hmean ``(R,)`` of mean counts ``(R, 3)``."""
    return hmean(*counts.T)


def _report(
    cfg: ScoreConfig, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None, matches: Mapping[str, ImageMatch]
) -> dict[str, Any]:
    counts = [match.counts for match in matches.values()]
    interval = bootstrap(_hmean, _counts(matches), resamples=resample(len(matches), cfg.resamples))
    return {
        "protocol": cfg.protocol,
        "task": cfg.task,
        "iou": cfg.iou,
        "lexicon": lexicon.name if lexicon else "none",
        "policy": lexicon.policy if lexicon else None,
        **asdict(Hmean.of(counts)),
        "hmean_interval": [interval.low, interval.high],
        **ImageCounts(*(sum(column) for column in zip(*counts, strict=True)))._asdict(),
        "ignored_truth": sum(int(match.ignored_truth.sum()) for match in matches.values()),
        "ignored_predictions": sum(int(match.ignored_words.sum()) for match in matches.values()),
        "dropped_by_lexicon": sum(map(len, predictions.images.values())) - sum(len(m.words) for m in matches.values()),
        "confidences": predictions.confidences,
        "images": len(matches),
        "images_without_predictions": len(truth.images.keys() - predictions.images.keys()),
        "ignored_files": len(truth.ignored_files) + len(predictions.ignored_files),
    }


def _baseline(
    cfg: ScoreConfig, truth: Annotations, lexicon: Lexicon | None, matches: Mapping[str, ImageMatch]
) -> dict[str, Any]:
    predictions = _read_predictions(cfg, cfg.baseline, truth)
    others = _match(cfg, cfg.protocol, truth, predictions, lexicon)
    draws = resample(len(matches), cfg.resamples)
    difference = bootstrap(lambda a, b: _hmean(a) - _hmean(b), _counts(matches), _counts(others), resamples=draws)
    return {
        "preds": cfg.baseline,
        **_report(cfg, truth, predictions, lexicon, others),
        "difference": difference.value,
        "difference_interval": [difference.low, difference.high],
    }


def _compare(cfg: ScoreConfig, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None) -> dict[str, Any]:
    names = [find_protocol(name.strip()).name for name in cfg.compare.split(",")]
    reports = {
        name: _report(replace(cfg, protocol=name), truth, predictions, lexicon, _match(cfg, name, truth, predictions, lexicon))
        for name in names
    }
    differing = []
    for image in truth.images:
        verdicts = {name: _verdicts(cfg, name, image, truth, predictions, lexicon) for name in names}
        differing += [{"image": image, **row} for row in differences(verdicts)]
    from dld_spotter.evaluation.score_view import show_comparison  # here, as a plain score needs neither rich nor matplotlib

    show_comparison(reports, differing)
    return {"compare": reports, "differences": differing}


def _explains_all(cfg: ScoreConfig, truth: Annotations) -> bool:
    """Whether the fates of all words are asked for, rather than an explanation of one image."""
    return cfg.explain is not None and cfg.explain.lower() == "true" and cfg.explain not in truth.images


def _fates(cfg: ScoreConfig, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None) -> dict[str, Any]:
    from dld_spotter.evaluation.fates import explain_files, leave

    rules = Rules(cfg.protocol, cfg.task, cfg.iou, lexicon)
    truths = {image: truth.truth(image) for image in truth.images}
    folder = Path(cfg.paths.output_dir)
    report = leave(folder, explain_files(truths, predictions.images, rules), rules, predictions.confidences)
    return {"folder": str(folder), **report.to_dict()}


def _explain(cfg: ScoreConfig, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None) -> dict[str, Any]:
    image = cfg.explain if cfg.explain in truth.images else image_key(PurePath(cfg.explain).stem)
    if image not in truth.images:
        known = f"{printable(next(iter(truth.images)))}, ... ({len(truth.images)} in all)"
        raise ConfigError(f"explain={cfg.explain} is no image of gt={cfg.gt}; its images are {known}")
    verdicts = _verdicts(cfg, cfg.protocol, image, truth, predictions, lexicon)
    from dld_spotter.evaluation.score_view import draw_verdicts, find_photo, show_verdicts

    show_verdicts(verdicts, f"image {image}, {cfg.protocol}, {cfg.task}")
    path = Path(cfg.paths.output_dir) / f"explained_{image}_{cfg.protocol}_{cfg.task}.png"
    photo = None if cfg.images is None else find_photo(Path(cfg.images), image)
    draw_verdicts(verdicts, truth.images[image], predictions.images.get(image, []), photo, path)
    return {"image": image, "picture": str(path), "words": [asdict(verdict) for verdict in verdicts]}


def _verdicts(
    cfg: ScoreConfig, protocol: str, image: str, truth: Annotations, predictions: Annotations, lexicon: Lexicon | None
) -> list[Verdict]:
    words = predictions.images.get(image, [])
    return explain_image(truth.truth(image), words, protocol, check_task(cfg.task), cfg.iou, lexicon and lexicon.of(image))
