"""Score anybody's prediction files: ``python -m dld_spotter.score gt=PATH preds=PATH``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dld_spotter.errors import ConfigError, DataError, SpotterError
from dld_spotter.metrics.formats import Annotations, read_annotations
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.matching import Hmean, ImageCounts, ImageMatch, match_image
from dld_spotter.metrics.protocols import check_task, find_protocol

HELP = """\
usage: python -m dld_spotter.score gt=PATH preds=PATH [key=value ...]

Scores predictions against ground truth and prints one JSON object.

  gt=PATH        ground truth: zip archive, folder (gt_img_N.txt, N.txt) or .jsonl
  preds=PATH     predictions: zip archive, folder (res_img_N.txt, N.txt) or .jsonl as predict writes it
  protocol=rrc   rrc (ICDAR), totaltext (AdelaiDet, DeepSolo) or davar (the DLD authors)
  task=end_to_end   detection, end_to_end or word_spotting
  lexicon=none   none, a file with one word a line, or a folder with one such file per image
  policy=adelaidet  adelaidet (drop words farther than 1.5 edits), davar (nearest, however far) or score_weighted
  iou=0.5        a pair needs more than this

Line forms: x1,y1,...,x4,y4[,confidence],text  or  x1,y1,...,xn,yn,####text; the text ### marks don't-care regions.
"""


@dataclass
class ScoreConfig:
    """The keys of the command line."""

    gt: str = MISSING
    preds: str = MISSING
    protocol: str = "rrc"
    task: str = "end_to_end"
    lexicon: str = "none"
    policy: str = "adelaidet"
    iou: float = 0.5


def score(cfg: ScoreConfig) -> dict[str, Any]:
    """Score a set of predictions.

    Returns:
        precision, recall, hmean, the counts behind them, what was left out of them, and the rules they were counted by.
    """
    protocol, task = find_protocol(cfg.protocol), check_task(cfg.task)
    truth = read_annotations(cfg.gt, task, protocol.name, truth=True)
    predictions = read_annotations(cfg.preds, task, protocol.name)
    _refuse_unknown_images(cfg, truth, predictions)
    lexicon = None if cfg.lexicon in ("none", None) else Lexicon.read(cfg.lexicon, cfg.policy)
    if lexicon and lexicon.shared:
        lexicon.shared.nearest(word.text for words in predictions.images.values() for word in words)  # all at once is faster
    matches = {
        image: match_image(
            truth.truth(image), predictions.images.get(image, []), protocol, task, cfg.iou, lexicon and lexicon.of(image)
        )
        for image in truth.images
    }
    return _report(cfg, lexicon, matches) | {
        "images_without_predictions": len(truth.images.keys() - predictions.images.keys()),
        "ignored_files": len(truth.ignored_files) + len(predictions.ignored_files),
    }


def _report(cfg: ScoreConfig, lexicon: Lexicon | None, matches: dict[str, ImageMatch]) -> dict[str, Any]:
    counts = [match.counts for match in matches.values()]
    totals = ImageCounts(*(sum(column) for column in zip(*counts, strict=True)))
    return {
        "protocol": cfg.protocol,
        "task": cfg.task,
        "iou": cfg.iou,
        "lexicon": lexicon.name if lexicon else "none",
        "policy": lexicon.policy if lexicon else None,
        **asdict(Hmean.of(counts)),
        **totals._asdict(),
        "ignored_truth": sum(int(match.ignored_truth.sum()) for match in matches.values()),
        "ignored_predictions": sum(int(match.ignored_words.sum()) for match in matches.values()),
        "images": len(matches),
    }


def _refuse_unknown_images(cfg: ScoreConfig, truth: Annotations, predictions: Annotations) -> None:
    unknown = sorted(predictions.images.keys() - truth.images.keys())
    if unknown:
        raise DataError(
            f"preds={cfg.preds} holds image {unknown[0]} (one of {len(unknown)}) that gt={cfg.gt} does not know; "
            f"remove it or give the ground truth of the same data set, whose images are named like {next(iter(truth.images))}"
        )


def _parse(arguments: Sequence[str]) -> ScoreConfig:
    try:
        cfg = OmegaConf.merge(OmegaConf.structured(ScoreConfig), OmegaConf.from_dotlist(list(arguments)))
    except OmegaConfBaseException as error:
        known = ", ".join(ScoreConfig.__dataclass_fields__)
        message = str(error).splitlines()[0]
        raise ConfigError(f"{' '.join(arguments)} cannot be understood ({message}); the keys are {known}") from error
    for key in ("gt", "preds"):
        if OmegaConf.is_missing(cfg, key):
            raise ConfigError(f"{key}= is missing; give {key}=PATH, a zip archive, a folder or a .jsonl file")
    return OmegaConf.to_object(cfg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 for bad input, 2 for bad keys."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0 if arguments else 2
    try:
        print(json.dumps(score(_parse(arguments)), ensure_ascii=False))
    except SpotterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
