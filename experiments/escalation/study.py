"""Is a second look at doubtful places worth more than one look at a higher scale?

    python experiments/escalation/study.py CHECKPOINT results.csv [--images 60] [OVERRIDES of fit_selector ...]

Reads validation images of ``fit_selector``'s data at fixed scales in one look, and in two looks under several rules; writes
Hmean and mean relative cost of each, and how far each rule lies above the curve of fixed scales at equal cost.
"""

import argparse
import csv
from itertools import product
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from rich import print
from rich.progress import track
from rich.table import Table

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint
from dld_spotter.cost import FlopCost
from dld_spotter.entry import ROOT
from dld_spotter.escalation import Escalation, SecondLook, look
from dld_spotter.evaluation import Rules, charge
from dld_spotter.tradeoff.statistics import hmean_at_cost

SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
FIRST = (0.3, 0.4, 0.5, 0.6)
RULES = [Escalation(threshold, sure) for threshold, sure in product((0.15, 0.25, 0.35), (0.6, 0.75))]


def main() -> None:
    """Read and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=int, default=60)
    given, overrides = parser.parse_known_args()
    checkpoint = load_checkpoint(given.checkpoint)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("fit_selector", [f"data.validation.length={given.images}", *overrides])
    assembly.adopt(config, checkpoint)
    config.scales = list(SCALES)
    spotter, rules = checkpoint.spotter(), Rules()
    flops, rows = FlopCost(spotter), {}
    for batch in track(assembly.build_validation_loader(config), "reading"):
        name, truth = batch.names[0], batch.instances[0]
        looks = {f"fixed {scale:g}": look(spotter, batch.view(scale))[0] for scale in SCALES}
        for scale, rule in product(FIRST, RULES):
            label = f"{scale:g}, then threshold {rule.threshold:g} sure {rule.sure:g}"
            looks[label] = look(SecondLook(spotter, rule), batch.view(scale))[0]
        full = charge(looks["fixed 1"], flops)
        for label, found in looks.items():
            rows.setdefault(label, []).append([*rules.count(name, truth, found.words), charge(found, flops) / full])
    totals = {label: np.sum(row, axis=0) for label, row in rows.items()}
    count = len(next(iter(rows.values())))
    points = {label: (total[3] / count, 2 * total[0] / (total[1] + total[2])) for label, total in totals.items()}
    fixed = np.array([points[f"fixed {scale:g}"] for scale in SCALES])
    table = Table("", "cost", "Hmean", "above fixed scales")
    with given.results.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["reading", "relative_cost", "hmean", "above_fixed"])
        for label, (cost, value) in points.items():
            above = value - float(hmean_at_cost(fixed[:, 0], fixed[:, 1], cost))
            writer.writerow([label, f"{cost:.4f}", f"{value:.4f}", f"{above:.4f}"])
            table.add_row(label, f"{cost:.3f}", f"{100 * value:.1f}", f"{100 * above:+.1f}")
    print(table)


if __name__ == "__main__":
    main()
