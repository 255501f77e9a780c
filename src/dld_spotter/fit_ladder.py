"""Give a student that can read the steps between its cheapest and its best reading.

``python -m dld_spotter.fit_ladder ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice, product
from math import inf
from pathlib import Path

import lightning
import numpy as np
import rich
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.cost import FlopCost
from dld_spotter.data.views import make_view
from dld_spotter.entry import entry_point
from dld_spotter.errors import CheckpointError, ConfigError, DataError
from dld_spotter.escalation import Escalation, Place, back, likeliest, pack, places
from dld_spotter.evaluation import Rules
from dld_spotter.fit_selector import adopt
from dld_spotter.fitting import price_at
from dld_spotter.models.spotter import Spotter
from dld_spotter.reading import usable_device
from dld_spotter.structures import Look, SpottingBatch, TextInstances, Word
from dld_spotter.tradeoff import Ladder, Step

PRICES = tuple(np.geomspace(0.25, 256, 21).round(3).tolist())
"""Prices of a second look that are tried, words in doubt per area of the image."""


@dataclass(frozen=True)
class Probe:
    """What one image gave at one scale, and what a second look at each of its P places changed.

    Args:
        counts: ``(3,)`` matched, predicted and true words of the first look.
        cost: relative cost of the first look.
        worth: ``(P,)`` words in doubt per area of the image.
        changes: ``(P, 3)`` of the counts.
        areas: ``(P,)`` share of the image on the sheet.
        costs: ``(P,)`` relative cost of looking again.
        whole: ``(3,)`` counts where the whole image is read again, at a relative cost of 1.
    """

    counts: np.ndarray
    cost: float
    worth: np.ndarray
    changes: np.ndarray
    areas: np.ndarray
    costs: np.ndarray
    whole: np.ndarray

    def at(self, price: float, rule: Escalation) -> tuple[np.ndarray, float]:
        """Counts ``(3,)`` and relative cost at a price."""
        taken = self.worth >= price
        if self.areas[taken].sum() > rule.largest:
            return self.whole, self.cost + 1.0
        return self.counts + self.changes[taken].sum(0), self.cost + float(self.costs[taken].sum())


class Prober:
    """Reads images at every scale, and at the lower ones every place in doubt once more.

    Args:
        spotter: reads.
        rules: how words are counted.
        rule: where to look again.
    """

    def __init__(self, spotter: Spotter, rules: Rules, rule: Escalation) -> None:
        self.spotter, self.rules, self.rule = spotter, rules, rule
        self.flops = FlopCost(spotter)
        self.device = next(spotter.parameters()).device

    @torch.inference_mode()
    def probe(self, batch: SpottingBatch, scales: Sequence[float]) -> list[Probe]:
        """Probe the only image of a batch, at scales below 1.0 and at 1.0 last."""
        if len(batch) != 1:
            raise ConfigError(f"data.eval_batch_size={len(batch)} must be 1: places are those of one image")
        name, truth = batch.names[0], batch.instances[0]
        height, width = batch.views[1.0].sizes[0].tolist()
        reference = batch.views[1.0].images[0, :, :height, :width].permute(1, 2, 0).contiguous().numpy()
        best = self.read(reference)
        full = best.spent(self.flops.cost)
        nothing = np.zeros((0, 3)), np.zeros(0), np.zeros(0)
        probes = []
        for scale in scales:
            if scale == 1.0:
                counts = self.count(name, truth, best.words)
                probes.append(Probe(counts, 1.0, np.zeros(0), *nothing, counts))
                continue
            (first,), maps = self.spotter.inspect(batch.view(scale).to(self.device))
            found = first.words
            counts = self.count(name, truth, found)
            cost = first.spent(self.flops.cost) / full
            spots = places(maps[0], first.sizes[0], (height, width), found, self.rule)
            worth = np.array([place.doubt * height * width / place.area for place in spots])
            changes, areas, gflops = self.again(reference, spots, name, truth, found, counts) if spots else nothing
            whole = self.count(name, truth, likeliest(found + best.words))
            probes.append(Probe(counts, cost, worth, changes, areas, gflops / full, whole))
        return probes

    def again(
        self, reference: np.ndarray, spots: list[Place], name: str, truth: TextInstances, found: list[Word], counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changes of the counts, share of the image and GFLOP of each place, all read on one sheet."""
        sheet, corners = pack(reference, [place.box for place in spots])
        again = self.read(sheet)
        moved = [word for word in (back(word, spots, corners) for word in again.words) if word is not None]
        changes = np.zeros((len(spots), 3))
        for k, place in enumerate(spots):
            inside = [word for word in moved if place.holds(word)]
            changes[k] = self.count(name, truth, likeliest(found + inside)) - counts
        whole = reference.shape[0] * reference.shape[1]
        share = np.array([place.area for place in spots], float)
        share *= sheet.shape[0] * sheet.shape[1] / (share.sum() * whole)
        return changes, share, again.spent(self.flops.cost) * share / share.sum()

    def read(self, image: np.ndarray) -> Look:
        """Read an image ``(H, W, 3)`` at full resolution."""
        return self.spotter.inspect(make_view([image], 1.0, self.spotter.stride).to(self.device))[0][0]

    def count(self, name: str, truth: TextInstances, words: list[Word]) -> np.ndarray:
        """Matched, predicted and true words ``(3,)``."""
        return np.array(self.rules.count(name, truth, words), float)


def probe_all(prober: Prober, loader: DataLoader, scales: Sequence[float], count: int) -> list[list[Probe]]:
    """Probe the first ``count`` images of a loader of single ones."""
    probes: dict[str, list[Probe]] = {}
    for batch in track(islice(loader, count), "reading, and looking again", total=min(count, len(loader))):
        probes.setdefault(batch.names[0], prober.probe(batch, scales))
    if not probes:
        raise DataError("there is no image to read; give another data=")
    return list(probes.values())


def best_steps(probes: list[list[Probe]], scales: Sequence[float], rule: Escalation) -> tuple[Ladder, np.ndarray]:
    """The best steps that the probes allow, and the Hmean of each."""
    steps = [Step(scale, price) for scale, price in product(scales, (*PRICES, inf)) if scale < 1 or price == inf]
    place = {scale: k for k, scale in enumerate(scales)}
    found = [[row[place[step.scale]].at(step.price, rule) for row in probes] for step in steps]
    totals = np.array([np.sum([counts for counts, _ in row], axis=0) for row in found])
    costs = np.array([np.mean([cost for _, cost in row]) for row in found])
    matched, predicted, true = totals.T
    best = float((2 * matched / np.maximum(predicted + true, 1)).max())
    losses = (price_at(best) * (predicted - matched) - matched) / np.maximum(true, 1)
    ladder = Ladder.climb(steps, losses, costs, len(probes))
    kept = [steps.index(Step(scale, price)) for scale, price in zip(ladder.scales, ladder.prices, strict=True)]
    return ladder, 2 * matched[kept] / np.maximum(predicted[kept] + true[kept], 1)


def run(config: DictConfig, folder: Path) -> Path:
    """Fit a ladder to the student of a checkpoint; both go to ``folder/student.ckpt``."""
    if not isinstance(config.images, int) or config.images < 1:
        raise ConfigError(f"images={config.images} must be a whole number of at least 1")
    checkpoint = load_checkpoint(config.ckpt)
    if "student" not in checkpoint.parts():
        raise CheckpointError(f"{checkpoint.path} holds no student that could look twice; give the student.ckpt of a training")
    adopt(config, checkpoint)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    student = checkpoint.build("student").to(usable_device(config.device))
    rule, scales = assembly.create(config.escalation), [scale for scale in assembly.candidate_scales(config) if scale <= 1]
    unseen = assembly.build_validation_loader(config)  # of what it learnt from, a student is too sure
    loader = assembly.build_whole_loader(config, config.images) if unseen is None else unseen
    probes = probe_all(Prober(student, Rules(**config.evaluation.rules), rule), loader, scales, config.images)
    ladder, hmeans = best_steps(probes, scales, rule)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "student.ckpt"
    facts = {key: value for key, value in checkpoint.provenance.items() if key != "calibration"}
    save_checkpoint(
        path, {"student": student}, facts | {"scales": scales, "ladder": ladder.plain(), "escalation": asdict(rule)}
    )
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    rich.print(show(ladder, hmeans))
    rich.print(f"{checkpoint.path} with {len(ladder.costs)} steps, seen on {ladder.images} images, is in {path}")
    return path


def show(ladder: Ladder, hmeans: np.ndarray) -> Table:
    """One row a step."""
    table = Table("first look", "price of a second", title="Steps", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("relative cost", "Hmean"):
        table.add_column(name, justify="right")
    for scale, price, cost, value in zip(ladder.scales, ladder.prices, ladder.costs, hmeans, strict=True):
        table.add_row(f"scale {scale:g}", "none" if price == inf else f"{price:g}", f"{cost:.3f}", f"{100 * value:.1f}")
    return table


@entry_point("fit_ladder")
def main(config: DictConfig) -> None:
    """Compose, fit, save."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
