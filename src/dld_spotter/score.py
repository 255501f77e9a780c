"""Score anybody's prediction files: ``python -m dld_spotter.score gt=PATH preds=PATH``."""

import json
import sys
from collections.abc import Sequence

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dld_spotter.core.errors import ConfigError, SpotterError
from dld_spotter.core.storage import storage_errors
from dld_spotter.evaluation.scoring import ScoreConfig, score

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
  confidences=auto  yes, no, or auto: a number from 0 to 1 after the corners of every prediction is its confidence
  resamples=1000 of the 95 % bootstrap intervals over images

More questions, one at a time:

  baseline=PATH  other predictions of the same images: the difference in Hmean, paired over images
  compare=rrc,totaltext,davar   the same files under several protocols, and the words on which they differ
  explain=IMAGE  which rule decided on each word of an image: a table, and a picture in paths.output_dir=FOLDER (here),
                 drawn on the photo where images=FOLDER holds it
  explain=true   what became of every true word, and how much Hmean each fate costs: tables, fates.json and fates.png in
                 paths.output_dir=FOLDER (docs/fates.md)

Line forms: x1,y1,...,x4,y4[,confidence],text  or  x1,y1,...,xn,yn,####text; the text ### marks don't-care regions.
What each protocol counts is in docs/protocols.md.
"""


def _parse(arguments: Sequence[str]) -> ScoreConfig:
    """Read ``key=value``, ``--key=value`` and ``--key value``; a value is taken as it stands."""
    cfg = OmegaConf.structured(ScoreConfig)
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        key, given, value = argument.removeprefix("--").partition("=")
        if not given and argument.startswith("--") and rest:
            given, value = "=", rest.pop(0)
        try:
            if not given:
                raise ConfigError(f"{argument} cannot be understood; give key=value, and --help lists the keys")
            OmegaConf.update(cfg, key, None if value == "null" else value)
        except OmegaConfBaseException as error:
            known = ", ".join(ScoreConfig.__dataclass_fields__)
            message = str(error).splitlines()[0]
            raise ConfigError(f"{argument} cannot be understood ({message}); the keys are {known}") from error
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
        with storage_errors():
            print(json.dumps(score(_parse(arguments))))
    except SpotterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
