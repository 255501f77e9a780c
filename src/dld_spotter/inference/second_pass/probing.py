"""What second passes bring, measured by reading everything again: every region, and whole images at every scale."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from rich.progress import track
from scipy.optimize import nnls

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import DataError
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Cost, SpottingResult, Word
from dld_spotter.data.photos import scaled_size
from dld_spotter.data.views import to_reference
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.second_pass.two_pass import merge_passes, read_once
from dld_spotter.metrics.reliability import scored_words
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.second_pass.gains import SHAPE, Gains, Table, second_scales
from dld_spotter.selection.second_pass.mosaic import from_mosaic, make_mosaic, mosaic_size
from dld_spotter.selection.second_pass.regions import Region, find_regions, owner
from dld_spotter.selection.second_pass.rule import SecondPass, SecondPassRule, choose

PRIOR = np.repeat([0.1, 1.0, 0.5, 1.0], SHAPE[1])
"""Gains of a unit of evidence before anything was seen, up to a common factor; heights that are rarely seen stay near it."""
STRENGTH = 1.0
"""Units of evidence that the prior is worth, squared."""


@dataclass(frozen=True, eq=False)
class Again:
    """What a second pass at one scale gave.

    Args:
        regions: changes ``(P, 3)`` of the counts where each region is read again.
        reads: words ``(P,)`` that go through the recogniser there.
        counts: ``(3,)`` of the first pass and one over the whole image.
        whole: that pass, alone.
    """

    regions: np.ndarray
    reads: np.ndarray
    counts: np.ndarray
    whole: SpottingResult


@dataclass(frozen=True, eq=False)
class Probe:
    """What one image gave at one scale, and what a second pass would have changed.

    Args:
        size: height and width of the reference.
        scale: of the first pass.
        first: that pass, which has read everything.
        counts: ``(3,)`` matched, predicted and true words of it.
        scored: of its predictions that count, score and whether it is right, ``(D, 2)``.
        found: its P regions.
        readable: how many proposals ``(P,)`` of each are read before anything is read again.
        again: scale of a second pass -> what it gave.
    """

    size: tuple[int, int]
    scale: float
    first: SpottingResult
    counts: np.ndarray
    scored: np.ndarray
    found: list[Region]
    readable: np.ndarray
    again: dict[float, Again]

    @property
    def evidence(self) -> np.ndarray:
        """``(P, 4, 5)``."""
        return np.array([region.evidence for region in self.found]).reshape(-1, *SHAPE)

    def at(self, gain_threshold: float, rule: SecondPassRule, cost: Cost) -> tuple[np.ndarray, float]:
        """Counts ``(3,)`` and relative cost at a gain threshold; ``cost`` is that of a view, in GFLOP."""
        counts, result = self.after(gain_threshold, rule, cost)
        return counts, self.relative(result, cost)

    def relative(self, result: SpottingResult, cost: Cost) -> float:
        """Relative cost of a reading of this image."""
        return result.spent(cost) / result.full(self.size, cost)

    def after(self, gain_threshold: float, rule: SecondPassRule, cost: Cost) -> tuple[np.ndarray, SpottingResult]:
        """Counts ``(3,)`` at a gain threshold, and what reading took, without its words; arguments as of :meth:`at`."""
        again = choose(self.found, self.scale, self.size, rule, gain_threshold, cost) if np.isfinite(gain_threshold) else None
        return (self.counts, self.first) if again is None else self._after(again)

    def _after(self, chosen: SecondPass) -> tuple[np.ndarray, SpottingResult]:
        """Counts and results where something is read again."""
        second, (size,), (reads,) = self.again[chosen.scale], self.first.sizes, self.first.reads
        if chosen.regions is None:
            readable = reads - sum(region.waiting for region in self.found)
            result = SpottingResult(
                [], (size, *second.whole.sizes), (readable, *second.whole.reads), min(readable, *second.whole.reads)
            )
            return second.counts, result
        taken = np.array([region in chosen.regions for region in self.found])
        mosaic = scaled_size(*mosaic_size(chosen.regions), chosen.scale)
        left = reads - sum(region.waiting for region in chosen.regions)
        closer = float(second.reads[taken].sum())
        result = SpottingResult([], (size, mosaic), (left, closer), min(float(self.readable[taken].sum()), closer))
        return self.counts + second.regions[taken].sum(0), result


class Prober:
    """Reads images at every scale, and at the lower ones every region once more at each larger one.

    Args:
        predictor: reads; its rule says what is a region.
        rules: how words are counted.
    """

    def __init__(self, predictor: Predictor, rules: Rules) -> None:
        self.predictor, self.rules, self.rule = predictor, rules, predictor.rule
        self.backend = predictor.backend

    def probe(self, sample: Sample, scales: Sequence[float]) -> list[Probe]:
        """Probe an image at ascending scales that end at 1.0."""
        sample = to_reference(sample, self.predictor.reference)
        image, name, truth = sample.image, sample.name, sample.instances
        size = image.shape[:2]
        everything = {scale: self.backend.detect([image], scale)[0] for scale in scales}
        results = {scale: read_once([one], self.backend)[0] for scale, one in everything.items()}
        probes = []
        for scale, detections in everything.items():
            readable, outlines = detections.heights() >= self.rule.read_from(scale), detections.outlines()
            words = results[scale].words
            first = [word for word in words if readable[word.proposal]]
            unread, found = [outlines[k] for k in np.flatnonzero(~readable)], []
            if scale < 1:
                found = find_regions(
                    detections.probability, detections.size, size, first, self.rule.threshold, self.rule.context, unread
                )
            boxes = np.array([region.box for region in found]).reshape(-1, 4)
            owners = [owner(boxes, outline) for outline in outlines]
            waits = {k: owners[k] for k in np.flatnonzero(~readable).tolist()}
            known = Known(name, truth, first, words, waits, found)
            again = {larger: self.again(known, image, larger, results[larger]) for larger in second_scales(scale, scales)}
            match = self.rules.match(name, truth, words)
            counts, scored = np.array(match.counts, float), scored_words(match, words)
            read = np.array([sum(owners[j] == k for j in np.flatnonzero(readable)) for k in range(len(found))])
            probes.append(Probe(size, scale, results[scale], counts, scored, found, read, again))
        return probes

    def again(self, known: "Known", reference: np.ndarray, scale: float, whole: SpottingResult) -> Again:
        """Read all regions again, on one mosaic at a scale; and, as was done, the whole image."""
        counts = self.count(known.name, known.truth, merge_passes(known.readable, whole.words))
        changes, reads = np.zeros((len(known.found), 3)), np.zeros(len(known.found))
        if known.found:
            mosaic, corners = make_mosaic(reference, [region.box for region in known.found])
            (result,) = read_once(self.backend.detect([mosaic], scale), self.backend)
            brought = from_mosaic(result.words, known.found, corners, known.found)
            before = self.count(known.name, known.truth, known.all)
            for k, region in enumerate(known.found):
                inside = [word for where, word in brought if where is region]
                after = merge_passes(known.without(k), inside)
                changes[k] = self.count(known.name, known.truth, after) - before
            expected = np.array([region.words for region in known.found])  # proposals that are no word know no region
            reads = sum(result.reads) * expected / max(expected.sum(), 1e-9)
        return Again(changes, reads, counts, whole)

    def count(self, name: str, truth: TextInstances, words: Sequence[Word]) -> np.ndarray:
        """Matched, predicted and true words ``(3,)``."""
        return np.array(self.rules.count(name, truth, words), float)


@dataclass(frozen=True, eq=False)
class Known:
    """What a first pass knows of an image.

    Args:
        name: of the image.
        truth: its words.
        readable: what is read before anything is read again.
        all: what is read where nothing is.
        waits: each proposal that is too low to be read at once -> its region, where it has one.
        found: the regions.
    """

    name: str
    truth: TextInstances
    readable: list[Word]
    all: list[Word]
    waits: dict[int, int | None]
    found: list[Region]

    def without(self, region: int) -> list[Word]:
        """Words that stay when a region is read again: those that are high enough, and those elsewhere."""
        return [word for word in self.all if self.waits.get(word.proposal) != region]


def probe_all(prober: Prober, samples: Iterable[Sample], scales: Sequence[float], count: int) -> list[list[Probe]]:
    """Probe the first ``count`` images, at ascending scales that end at 1.0."""
    probes: dict[str, list[Probe]] = {}
    for sample in track(islice(samples, count), "reading once, and again", total=count):
        if sample.name not in probes:
            probes[sample.name] = prober.probe(sample, scales)
    if not probes:
        raise DataError("there is no image to read; give another data=")
    return list(probes.values())


def learn_gains(probes: Sequence[Sequence[Probe]], false_positive_cost: float) -> Gains:
    """Fit what to expect of second passes: weighted least squares without negative gains, for each pair of scales.

    Args:
        probes: of N images, each at the same scales.
        false_positive_cost: what a false word costs beside a missed one.
    """
    tables: dict[float, dict[float, Table]] = {}
    for row in zip(*probes, strict=True):
        evidence = np.concatenate([probe.evidence for probe in row]).reshape(-1, PRIOR.size)
        for second in row[0].again:
            gains = worth(np.concatenate([probe.again[second].regions for probe in row]), false_positive_cost)
            tables.setdefault(row[0].scale, {})[second] = fit_table(evidence, gains)
    return Gains(tables) if tables else Gains()


def fit_table(evidence: np.ndarray, gains: np.ndarray) -> Table:
    """What a unit of evidence ``(P, 20)`` is worth where P regions brought ``gains`` ``(P,)``."""
    weights = 1 / np.sqrt(1 + evidence.sum(1, keepdims=True))  # gains scatter as counts do
    expected = PRIOR * max(gains.sum(), 0.0) / max(float((evidence @ PRIOR).sum()), 1.0)
    rows = np.vstack([weights * evidence, np.sqrt(STRENGTH) * np.eye(PRIOR.size)])
    table, _ = nnls(rows, np.concatenate([weights[:, 0] * gains, np.sqrt(STRENGTH) * expected]))
    return tuple(map(tuple, table.reshape(SHAPE).tolist()))


def worth(counts: np.ndarray, false_positive_cost: float) -> np.ndarray:
    """Words that counts or changes of counts ``(..., 3)`` are worth, each false one taking ``false_positive_cost`` away."""
    words: np.ndarray = counts[..., 0] - false_positive_cost * (counts[..., 1] - counts[..., 0])
    return words
