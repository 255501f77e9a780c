"""Give a student that can read its operating points, between its cheapest and its best reading.

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
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dld_spotter.budget.candidates import CANDIDATES, Candidates
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.pass_latency import Work
from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_student import given_student
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.hmean import false_positive_cost_at, hmean
from dld_spotter.core.score_scaling import SCORE_SCALING, ScoreScaling
from dld_spotter.core.words import Cost
from dld_spotter.inference.checkpoint import save_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.second_pass.probing import Probe, Prober, learn_gains, probe_all, worth
from dld_spotter.inference.timing import pass_latency_of, work_of
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.metrics.reliability import Reliability
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule

THRESHOLDS = tuple(np.geomspace(0.25, 1024, 25).round(3).tolist())
"""Gain thresholds of a second pass that are tried, expected words per cost of the whole image."""
UNITS = ("GFLOP", "seconds")
"""Of cost models by which operating points are chosen."""


def try_points(
    probes: list[list[Probe]], scales: Sequence[float], rule: SecondPassRule, cost: Cost
) -> tuple[Candidates, Gains, np.ndarray]:
    """What every pair of scale and gain threshold brings and takes, what second passes bring, and the Hmean of each pair.

    Gains are learned from each half of the images for the other one, and from all for use. ``cost`` is that of a view, GFLOP.
    """
    fixed = hmean(*np.array([[probe.counts for probe in row] for row in probes]).sum(0).T)
    false_positive_cost = false_positive_cost_at(float(fixed.max()))
    halves = [learn_gains(probes[1 - half :: 2] or probes, false_positive_cost) for half in (0, 1)]
    points = [OperatingPoint(s, threshold) for s, threshold in product(scales, (*THRESHOLDS, inf)) if s < 1 or threshold == inf]
    place = {scale: k for k, scale in enumerate(scales)}
    rules = [replace(rule, gains=gains) for gains in halves]
    totals, costs, work = [], [], []
    for point in points:
        chosen = [row[place[point.scale]] for row in probes]
        found = [probe.after(point.second_pass, rules[k % 2], cost) for k, probe in enumerate(chosen)]
        totals.append(np.sum([counts for counts, _ in found], axis=0))
        costs.append(np.mean([probe.relative(result, cost) for probe, (_, result) in zip(chosen, found, strict=True)]))
        work.append(Work(*np.mean([work_of(result, cost) for _, result in found], axis=0).tolist()))
    counted = np.array(totals)
    losses = -worth(counted, false_positive_cost) / np.maximum(counted[:, 2], 1)
    tried = Candidates.of(points, losses, np.array(costs), work, len(probes))
    return tried, learn_gains(probes, false_positive_cost), hmean(*counted.T)


def fit_scores(probes: list[list[Probe]]) -> tuple[ScoreScaling, tuple[float | None, float | None]]:
    """From scores to how likely words are right, at all scales alike; and the expected calibration error before and after.

    Errors are None where nothing was read.
    """
    scores, right = np.concatenate([probe.scored for row in probes for probe in row]).T
    scaling = ScoreScaling.fit(scores, right)
    before, after = (Reliability.of(np.stack([values, right], axis=1)).error for values in (scores, scaling(scores)))
    return scaling, (before, after)


def rule_for(rule: SecondPassRule, student: Spotter) -> SecondPassRule:
    """The rule that is asked for; where words are cut out of the full resolution, each is read once unless it says otherwise.

    Such a reader sees the same pixels in either pass: a first reading tells little of what a second one would
    (experiments/30_smaller_views).
    """
    return replace(rule, min_height=inf) if rule.min_height is None and student.full_resolution_crops else rule


def run(config: DictConfig, folder: Path) -> Path:
    """Fit operating points to the student of a checkpoint; both go to ``folder/student.ckpt``."""
    if config.second_pass.gain_threshold != SecondPassRule.gain_threshold:
        raise ConfigError(
            f"second_pass.gain_threshold={config.second_pass.gain_threshold} is what fit_operating_points looks for; "
            "leave it out"
        )
    checkpoint, student = given_student(config, ("images",))
    unit = assembly.create(config.cost)(student).unit
    if unit not in UNITS:
        raise ConfigError(f"operating points are chosen by FLOPs or by seconds, not by {unit}; give cost=flops or cost=latency")
    rule, scales = (
        rule_for(assembly.create(config.second_pass), student),
        [scale for scale in assembly.candidate_scales(config) if scale <= 1],
    )
    predictor = Predictor(
        TorchBackend(student, precision=config.precision), rule=rule, reference=assembly.build_reference(config)
    )
    unseen = assembly.build_validation_samples(config)  # of what it learnt from, a student is too sure
    samples = assembly.build_whole_samples(config, config.images) if unseen is None else unseen
    probes = probe_all(Prober(predictor, Rules(**config.evaluation.rules)), samples, scales, config.images)
    tried, gains, hmeans = try_points(probes, scales, rule, predictor.backend.cost)
    learned = replace(rule, gains=gains, min_height=rule.height)  # the height goes with the gains, whatever is usual later
    latency = pass_latency_of(predictor.backend, learned, predictor.reference)
    seconds = tried.seconds(latency)
    by_flops, by_clock = tried.best(), tried.best([one / seconds[-1] for one in seconds])
    points = by_flops if unit == "GFLOP" else tried.among(by_clock)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "student.ckpt"
    facts = {key: value for key, value in checkpoint.provenance.items() if key != "calibration"}
    scaling, errors = fit_scores(probes)
    facts |= {"scales": scales, "operating_points": points.to_dict(), "second_pass": learned.to_dict()}
    facts[CANDIDATES] = tried.to_dict()
    facts[SCORE_SCALING] = scaling.to_dict()
    save_checkpoint(path, {"student": student}, facts)
    assembly.save_config(config, folder)
    rich.print(show(tried, hmeans, seconds, by_flops, by_clock))
    print(
        f"seconds here: {latency.fixed:.4f} an image, {latency.again:.4f} a second pass, {latency.per_gflop:.5f} a GFLOP of "
        f"detecting, {latency.per_word:.5f} a word"
    )
    if None not in errors:
        print("expected calibration error of scores {:.3f}, after Platt scaling {:.3f}".format(*errors))
    rich.print(f"{checkpoint.path} with {len(points.costs)} operating points, seen on {points.images} images, is in {path}")
    return path


def show(
    tried: Candidates, hmeans: np.ndarray, seconds: Sequence[float], by_flops: OperatingPoints, by_clock: OperatingPoints
) -> Table:
    """One row a candidate; its last column says by what it is best at some cost weight."""
    title = "Scale of the first pass, gain threshold of a second one, means per image here"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("scale", "threshold", "cost", "GFLOP", "passes", "words", "ms", "Hmean"):
        table.add_column(name, justify="right")
    table.add_column("best by")
    for k, point in enumerate(tried.points):
        second = "none" if point.second_pass == inf else f"{point.second_pass:g}"
        best = {(True, True): "both", (True, False): "FLOPs", (False, True): "clock"}
        chosen = point in by_flops.points, point in by_clock.points
        table.add_row(
            *(f"{point.scale:g}", second, f"{tried.costs[k]:.3f}", f"{tried.gflops[k]:.2f}", f"{tried.passes[k]:.2f}"),
            *(f"{tried.words[k]:.1f}", f"{1000 * seconds[k]:.1f}", f"{100 * hmeans[k]:.1f}", best.get(chosen, "")),
        )
    return table


@entry_point("fit_operating_points")
def main(config: DictConfig) -> None:
    """Compose, fit, save."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
