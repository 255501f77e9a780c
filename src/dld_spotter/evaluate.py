"""Score a checkpoint on a data set.

``python -m dld_spotter.evaluate ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from dld_spotter.budget.requests import BUDGETS, Request
from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.core.batches import Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.dataset import has_curved_words, report_damage
from dld_spotter.evaluation.measuring import score_at
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.inference.loading import DynamicSpotter, reader_of
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.protocols import TotalTextProtocol
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.selectors import FixedScale, Selector
from dld_spotter.selection.survey import allocate_set, survey
from dld_spotter.tradeoff import table

ALLOCATIONS = ("stream", "set")
"""Ways to hold a budget: image after image, or over all of them at once."""


def run(config: DictConfig, folder: Path) -> None:
    """Score and leave ``evaluation.json`` and ``predictions.zip`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    assembly.adopt(config, checkpoint)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    reader = reader_of(checkpoint, device=config.device)
    selector = pick_selector(checkpoint, reader, request, config.scales).to(reader.device)
    lexicon = None if config.lexicon in (None, "none") else Lexicon.read(config.lexicon, config.policy)
    rules = Rules(config.protocol, config.task, config.iou, lexicon)
    loader = assembly.build_test_loader(config, config.images)
    plan = plan_for(request, config.allocation, reader, loader)
    point, words = score_at(
        reader.reader,
        selector,
        request.gamma,
        loader,
        rules,
        config.resamples,
        reader.spending(request) if plan is None else None,
        plan,
        request.max_cost,
    )
    report_damage([loader.dataset])
    facts = {
        "dataset": config.data.name,
        "protocol": config.protocol,
        "task": config.task,
        "lexicon": rules.lexicon_name,
        "vocabulary": reader.spotter.vocabulary.name if reader.spotter.vocabulary else "none",
        "images": len(words),
        "checkpoint": str(checkpoint.path),
        "requested": asdict(request) | {"allocation": config.allocation if request.spending else None},
        "spent": {"budget": point.relative_cost, "budget_gflops": point.gflops, "budget_ms": 1000 * point.seconds},
    }
    (folder / "evaluation.json").write_text(json.dumps(facts | asdict(point), indent=1) + "\n", "utf-8")
    polygons = config.protocol == TotalTextProtocol.name or has_curved_words(loader.dataset)
    write_predictions(folder / "predictions.zip", words, polygons)
    rich.print(table([point], f"{config.data.name}: {len(words)} images, {config.task}, lexicon {facts['lexicon']}"))
    if request.spending:
        name, amount = request.spending
        print(f"{name}={amount:g}: {facts['spent'][name]:.4g} {BUDGETS[name]} spent per image")
    print(f"everything is in {folder}")


def pick_selector(checkpoint: Checkpoint, reader: DynamicSpotter, request: Request, scales: Sequence[float]) -> Selector:
    """The checkpoint's selector, or a fixed scale where one is asked for or there is no selector.

    Raises:
        ConfigError: what is requested cannot be done with this checkpoint.
    """
    if request.scale is None:
        reader.check(request)
    if reader.selector is not None and request.scale is None:
        if foreign := sorted(set(reader.selector.scales) - set(scales)):
            raise ConfigError(f"scales={list(scales)} lacks {foreign}, which the selector chooses among; leave scales out")
        return reader.selector
    scale = 1.0 if request.scale is None else request.scale
    return FixedScale(checkpoint.provenance["scales"], gamma=0.0, factors=[1.0], scale=scale)


def plan_for(request: Request, allocation: str, reader: DynamicSpotter, loader: DataLoader) -> dict[str, int] | None:
    """The scales of all images at once where ``allocation=set`` is asked for beside a budget.

    Raises:
        ConfigError: there is no such allocation, or the budget cannot be met.
    """
    if allocation not in ALLOCATIONS:
        raise ConfigError(f"allocation={allocation} is unknown; choose one of {', '.join(ALLOCATIONS)}")
    if allocation == "stream" or not request.spending:
        return None
    line = reader.line() if request.budget_ms else None
    return allocate_set(survey(reader.selector, loader, reader.flops), request, line)


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
