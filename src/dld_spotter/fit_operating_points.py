"""Give a student that can read the steps between its cheapest and its best reading.

``python -m dld_spotter.fit_operating_points ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path

import numpy as np
import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Cost
from dld_spotter.inference.checkpoint import save_checkpoint
from dld_spotter.inference.second_pass.probing import Probe, Prober, learn_gains, probe_all, worth
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.fitting import given_student, price_at
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.tradeoff import hmean

PRICES = tuple(np.geomspace(0.25, 1024, 25).round(3).tolist())
"""Prices of a second look that are tried, expected words per cost of the whole image."""


def best_steps(
    probes: list[list[Probe]], scales: Sequence[float], rule: SecondPassRule, cost: Cost
) -> tuple[OperatingPoints, Gains, np.ndarray]:
    """The best steps that the probes allow, what second looks bring, and the Hmean of each step.

    Gains are learned from each half of the images for the steps of the other, and from all for use. ``cost`` is that of a view,
    in GFLOP.
    """
    fixed = hmean(np.array([[probe.counts for probe in row] for row in probes]).sum(0))
    false_price = price_at(float(fixed.max()))
    halves = [learn_gains(probes[1 - half :: 2] or probes, false_price) for half in (0, 1)]
    steps = [OperatingPoint(scale, price) for scale, price in product(scales, (*PRICES, inf)) if scale < 1 or price == inf]
    place = {scale: k for k, scale in enumerate(scales)}
    rules = [replace(rule, gains=gains) for gains in halves]
    found = [[row[place[step.scale]].at(step.price, rules[k % 2], cost) for k, row in enumerate(probes)] for step in steps]
    totals = np.array([np.sum([counts for counts, _ in row], axis=0) for row in found])
    costs = np.array([np.mean([cost for _, cost in row]) for row in found])
    losses = -worth(totals, false_price) / np.maximum(totals[:, 2], 1)
    ladder = OperatingPoints.on_hull(steps, losses, costs, len(probes))
    kept = [steps.index(OperatingPoint(scale, price)) for scale, price in zip(ladder.scales, ladder.prices, strict=True)]
    return ladder, learn_gains(probes, false_price), hmean(totals[kept])


def run(config: DictConfig, folder: Path) -> Path:
    """Fit a ladder to the student of a checkpoint; both go to ``folder/student.ckpt``."""
    if config.escalation.price != SecondPassRule.price:
        raise ConfigError(f"escalation.price={config.escalation.price} is what fit_ladder looks for; leave it out")
    checkpoint, student = given_student(config, ("images",))
    rule, scales = assembly.create(config.escalation), [scale for scale in assembly.candidate_scales(config) if scale <= 1]
    unseen = assembly.build_validation_loader(config)  # of what it learnt from, a student is too sure
    loader = assembly.build_whole_loader(config, config.images) if unseen is None else unseen
    prober = Prober(student, Rules(**config.evaluation.rules), rule)
    ladder, gains, hmeans = best_steps(probe_all(prober, loader, scales, config.images), scales, rule, prober.flops.cost)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "student.ckpt"
    facts = {key: value for key, value in checkpoint.provenance.items() if key != "calibration"}
    facts |= {"scales": scales, "ladder": ladder.plain(), "escalation": replace(rule, gains=gains).plain()}
    save_checkpoint(path, {"student": student}, facts)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    rich.print(show(ladder, hmeans))
    rich.print(f"{checkpoint.path} with {len(ladder.costs)} steps, seen on {ladder.images} images, is in {path}")
    return path


def show(ladder: OperatingPoints, hmeans: np.ndarray) -> Table:
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
