"""From a predictor and a data set to one table of outcomes, and from tables to the trade-off."""

import subprocess
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from math import isinf
from pathlib import Path
from typing import Protocol

from rich.progress import track

from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.requests import Request
from dld_spotter.core.batches import Sample
from dld_spotter.core.bootstrap import resample
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.journal import Journal
from dld_spotter.core.words import Word
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.inference.predictor import Predictor, Reading
from dld_spotter.metrics.rules import Rules
from dld_spotter.tradeoff import Measures, Outcomes, Point, TradeOff, cost_grid, mix_points, oracle_points, static_points


class Samples(Iterable[Sample], Sized, Protocol):
    """Images with their words, one by one, such as :meth:`SpottingDataModule.test_samples`."""


@dataclass(frozen=True)
class Counting:
    """How words are counted: by which rules, and in which form they are written.

    Args:
        rules: protocol, task, IoU and lexicon.
        form: of the archive that the official script would read.
    """

    rules: Rules
    form: PredictionForm

    def measures(self, sample: Sample, reading: Reading) -> Measures:
        """What the reading of an image gave and took."""
        counts = self.rules.count(sample.name, sample.instances, self.form.as_read(reading.words))
        return Measures.of(*counts, reading.relative_cost, reading.gflops, reading.seconds)


def measure(
    predictor: Predictor,
    samples: Samples,
    scales: Sequence[float],
    counting: Counting,
    label: str,
    journal: Journal | None = None,
) -> Outcomes:
    """Read every image at every scale once, in a single pass.

    Args:
        predictor: reads; its policy is not asked.
        samples: N images; of several with one name the first counts, since a damaged file's place is taken by another.
        scales: K of them, ascending, with 1.0.
        counting: how words are counted.
        label: what the progress bar says.
        journal: keeps what was read; images that are in it are not read again.

    Returns:
        the table; seconds are wall time per image from pixels to words, GFLOP are NaN where they are not known.
    """
    return _table(predictor, samples, [OperatingPoint(scale) for scale in scales], counting, label, journal)


def measure_second_pass(
    predictor: Predictor,
    samples: Samples,
    scales: Sequence[float],
    counting: Counting,
    label: str,
    journal: Journal | None = None,
) -> Outcomes:
    """The same with a second pass where that promises enough, by the predictor's own rule."""
    points = [OperatingPoint(scale, predictor.rule.gain_threshold) for scale in scales]
    return _table(predictor, samples, points, counting, label, journal)


def _table(
    predictor: Predictor,
    samples: Samples,
    points: Sequence[OperatingPoint],
    counting: Counting,
    label: str,
    journal: Journal | None,
) -> Outcomes:
    rows: dict[str, Measures] = {}
    prepared = False
    for sample in track(samples, description=label):
        if sample.name in rows:
            continue
        if journal is not None and sample.name in journal.rows:
            rows[sample.name] = Measures(journal.rows[sample.name])
            continue
        if not prepared:  # the first run of every size prepares kernels
            _read_points(predictor, sample, points)
            prepared = True
        readings = _read_points(predictor, sample, points)
        rows[sample.name] = Measures.stack(counting.measures(sample, reading) for reading in readings)
        if journal is not None:
            journal.add(sample.name, rows[sample.name].values.tolist())
    if not rows:
        raise DataError("there is no image to read; give another data=")
    return Outcomes.of(tuple(rows), tuple(point.scale for point in points), Measures.stack(rows.values()))


def _read_points(predictor: Predictor, sample: Sample, points: Sequence[OperatingPoint]) -> list[Reading]:
    """Read an image at several operating points, each time from its pixels."""
    return [predictor.read_points([sample.image], [point], decided=False)[0] for point in points]


def follow(
    predictor: Predictor, samples: Samples, counting: Counting, outcomes: Outcomes, journal: Journal | None = None
) -> dict[float, Measures]:
    """Read every image at each of the policy's cost weights.

    An image whose operating point is a single pass at a scale of the table is not read again: its row of the table counts,
    with what deciding took.

    Args:
        predictor: reads, and its policy decides.
        samples: the images of the table.
        counting: how words are counted.
        outcomes: of these images and of the same weights.
        journal: keeps what was read; images that are in it are not read again.

    Returns:
        cost weight -> measures ``(N,)`` in the order of the table.

    Raises:
        DataError: an image of the table is missing.
    """
    policy, rows = predictor.policy, {}
    places = {name: k for k, name in enumerate(outcomes.names)}
    for sample in track(samples, description="following the policy"):
        if sample.name in rows or sample.name not in places:
            continue
        if journal is not None and sample.name in journal.rows:
            rows[sample.name] = Measures(journal.rows[sample.name])
            continue
        known: dict[OperatingPoint, Measures] = {}
        rows[sample.name] = Measures.stack(
            _followed(predictor, sample, gamma, counting, outcomes, places[sample.name], known) for gamma in policy.gammas
        )
        if journal is not None:
            journal.add(sample.name, rows[sample.name].values.tolist())
    refuse_missing(outcomes.names, rows)
    table = Measures.stack(rows[name] for name in outcomes.names)
    return {gamma: table[:, g] for g, gamma in enumerate(policy.gammas)}


def _followed(
    predictor: Predictor,
    sample: Sample,
    gamma: float,
    counting: Counting,
    outcomes: Outcomes,
    row: int,
    known: dict[OperatingPoint, Measures],
) -> Measures:
    """Measures of one image at one cost weight; several may ask for the same operating point."""
    reference = predictor.reference_of(sample.image)
    start = time.perf_counter()
    point = predictor.decide(reference, gamma)
    seconds = time.perf_counter() - start
    if isinf(point.second_pass) and point.scale in outcomes.scales:
        k = outcomes.scales.index(point.scale)
        own, read = predictor.policy.gflops, outcomes.measures[row, k]
        return read.plus(own * float(read.relative_cost / read.gflops), own, seconds)
    if point not in known:
        if not known:  # the first run of a size prepares kernels
            predictor.read_points([sample.image], [point])
        (reading,) = predictor.read_points([sample.image], [point])
        known[point] = counting.measures(sample, reading)
    return known[point].plus(seconds=seconds)


def refuse_missing(names: Sequence[str], known: Container[str]) -> None:
    """Raise DataError if a table of outcomes has images that the data set lacks."""
    if missing := [name for name in names if name not in known]:
        raise DataError(f"the table has {len(missing)} images that the data set lacks, such as {missing[0]}; give its data set")


def evaluate(
    predictor: Predictor,
    samples: Samples,
    request: Request,
    counting: Counting,
    resamples: int = 1000,
    observers: Sequence[Callable[[Sample, Reading], None]] = (),
) -> tuple[Point, dict[str, list[Word]]]:
    """Read every image once, as :meth:`Predictor.read` does for a request.

    Args:
        predictor: reads.
        samples: the test images.
        request: a scale, a cost weight, a budget, a cap, or nothing.
        counting: how words are counted.
        resamples: bootstrap resamples.
        observers: called with every image and its reading, outside of what is timed.

    Returns:
        the point of the trade-off, and per image its words in pixels of the original image.
    """
    rows: list[Measures] = []
    read: dict[str, list[Word]] = {}
    for sample in track(samples, description="reading"):
        if sample.name in read:
            continue
        try:
            (reading,) = predictor.read_request([sample.image], request)
        except ConfigError as error:
            raise ConfigError(f"{sample.name}: {error}") from error
        rows.append(counting.measures(sample, reading))
        read[sample.name] = list(reading.words)
        for observe in observers:
            observe(sample, reading)
    if not rows:
        raise DataError("there is no image to read; give another data=")
    given = _given(predictor, request)
    method = "static" if "scale" in given else "dynamic"
    return Point.of(method, "student", Measures.stack(rows), resample(len(rows), resamples), **given), read


def _given(predictor: Predictor, request: Request) -> dict[str, float]:
    """What a point was asked for: its scale, its cost weight or its budget."""
    if request.scale is not None or predictor.policy is None:
        return {"scale": 1.0 if request.scale is None else request.scale}
    if request.budgeted:
        return {} if request.budget is None else {"budget": request.budget}
    return {"gamma": predictor.policy.weight(request.gamma)}


def trade_off(
    tables: Mapping[str, Outcomes],
    model: str,
    followed: Mapping[str, Mapping[float, Measures]],
    dataset: str,
    spotter: str,
    rules: Rules,
    resamples: int = 1000,
) -> TradeOff:
    """Every point of the trade-off from the tables alone.

    Args:
        tables: model -> its outcomes on the same images; static points of each.
        model: the one among whose scales random policy and oracle choose, where there are several.
        followed: model -> cost weight -> measures ``(N,)`` of what its policy chose: its dynamic points.
        dataset: name of the data set.
        spotter: name of the spotter.
        rules: how words were counted.
        resamples: bootstrap resamples.
    """
    images = len(next(iter(tables.values())).names)
    drawn = resample(images, resamples)
    points: list[Point] = []
    for name, table in tables.items():
        points += static_points(table, name, drawn)
    for name, choices in followed.items():
        points += [Point.of("dynamic", name, measures, drawn, gamma=gamma) for gamma, measures in choices.items()]
    outcomes = tables[model]
    if len(outcomes.scales) > 1:
        grid = cost_grid(outcomes)
        points += mix_points(outcomes, model, grid, drawn) + oracle_points(outcomes, model, grid, drawn)
    return TradeOff(dataset, rules.protocol, rules.task, rules.lexicon_name, images, spotter, commit(), tuple(points))


@cache
def commit() -> str | None:
    """Version of the code, where it runs from a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():  # installed, maybe within the checkout of something else
        return None
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
