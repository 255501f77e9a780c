"""Score a checkpoint on a data set.

``python -m dld_spotter.evaluate ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter import assembly
from dld_spotter.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.data.dataset import report_damage
from dld_spotter.entry import entry_point
from dld_spotter.errors import ConfigError
from dld_spotter.evaluation import Rules, score_at
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.models.selector import FixedScale, Selector
from dld_spotter.reading import usable_device
from dld_spotter.structures import Word
from dld_spotter.tradeoff import table

CURVED = frozenset({"totaltext", "ctw1500"})
"""Protocols and data sets whose words are polygons of any length."""


def run(config: DictConfig, folder: Path) -> None:
    """Score and leave ``evaluation.json`` and ``predictions.zip`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(config.ckpt)
    assembly.adopt(config, checkpoint)
    for key in ("gamma", "scale"):
        if not isinstance(config[key], int | float | None):
            raise ConfigError(f"{key}={config[key]} must be a number, or null to leave it to the checkpoint")
    selector = pick_selector(checkpoint, config.scale, config.gamma)
    if config.gamma is not None:
        selector.check(config.gamma)
    lexicon = None if config.lexicon in (None, "none") else Lexicon.read(config.lexicon, config.policy)
    loader = assembly.build_test_loader(config, config.images)
    device = usable_device(config.device)
    point, words = score_at(
        checkpoint.spotter().to(device),
        selector.to(device),
        config.gamma,
        loader,
        Rules(config.protocol, config.task, config.iou, lexicon),
        config.resamples,
    )
    report_damage([loader.dataset])
    facts = {
        "dataset": config.data.name,
        "protocol": config.protocol,
        "task": config.task,
        "lexicon": "none" if lexicon is None else f"{lexicon.name}, {config.policy}",
        "images": len(words),
        "checkpoint": str(checkpoint.path),
        "requested": {"gamma": config.gamma, "budget": None, "scale": config.scale},
    }
    (folder / "evaluation.json").write_text(json.dumps(facts | asdict(point), indent=1) + "\n", "utf-8")
    write_predictions(folder / "predictions.zip", words, bool(CURVED & {config.protocol, config.data.name}))
    rich.print(table([point], f"{config.data.name}: {len(words)} images, {config.task}, lexicon {facts['lexicon']}"))
    print(f"everything is in {folder}")


def pick_selector(checkpoint: Checkpoint, scale: float | None, gamma: float | None) -> Selector:
    """The checkpoint's selector, or a fixed scale where one is asked for or there is no selector.

    Raises:
        ConfigError: gamma is given where nothing can choose.
    """
    found = checkpoint.selector()
    if gamma is not None and (scale is not None or found is None):
        reason = "a scale is given too" if scale is not None else f"{checkpoint.path} holds no selector"
        raise ConfigError(f"gamma={gamma:g} cannot be used because {reason}; leave gamma out")
    if found is not None and scale is None:
        return found
    return FixedScale(checkpoint.provenance["scales"], gamma=0.0, factors=[1.0], scale=1.0 if scale is None else scale)


def write_predictions(path: Path, words: Mapping[str, Sequence[Word]], polygons: bool = False) -> None:
    """Write a text file per image in the form of the data set's official script; ``score`` reads both.

    Args:
        path: the archive.
        words: image -> its words, in pixels of the original image.
        polygons: the form for curved words, ``NAME.txt`` with ``x1,y1,...,xn,yn,####text`` lines, else that of ICDAR,
            ``res_NAME.txt`` with ``x1,y1,...,x4,y4,text`` lines, polygons being reduced to their corners in whole pixels.
    """
    member, line = ("{}.txt", polygon_line) if polygons else ("res_{}.txt", corner_line)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, found in words.items():
            archive.writestr(member.format(name), "\n".join(map(line, found)))


def corner_line(word: Word) -> str:
    """``x1,y1,...,x4,y4,text`` in whole pixels."""
    return ",".join(map(str, corners(word.polygon).ravel().tolist())) + f",{word.text}"


def polygon_line(word: Word) -> str:
    """``x1,y1,...,xn,yn,####text`` in hundredths of a pixel."""
    return ",".join(f"{value:.2f}" for value in word.polygon.ravel().tolist()) + f",####{word.text}"


def corners(polygon: np.ndarray) -> np.ndarray:
    """Ends of the upper and of the lower side of a polygon ``(P, 2)``, as whole pixels ``(4, 2)``."""
    half = len(polygon) // 2
    return np.rint(polygon[[0, half - 1, half, -1]]).astype(int)


@entry_point("evaluate")
def main(config: DictConfig) -> None:
    """Compose, evaluate, report."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
