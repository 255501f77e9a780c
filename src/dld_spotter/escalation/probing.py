"""What second looks bring, seen by looking again at everything: at every place, and at whole images at every scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from rich.progress import track
from scipy.optimize import nnls
from torch.utils.data import DataLoader

from dld_spotter.cost import FlopCost
from dld_spotter.data.photos import scaled_size
from dld_spotter.errors import ConfigError, DataError
from dld_spotter.escalation import Escalation, Place, back, choose, likeliest, pack, places
from dld_spotter.escalation.gains import APART, SHAPE, Gains, Table
from dld_spotter.escalation.second_look import read_again
from dld_spotter.escalation.sheet import sheet_size
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import Look, SpottingBatch, TextInstances
from dld_spotter.word import Cost

PRIOR = np.repeat([0.1, 1.0, 1.0], SHAPE[1])
"""Gains of a unit of evidence before anything was seen, up to a common factor; heights that are rarely seen stay near it."""
STRENGTH = 1.0
"""Units of evidence that the prior is worth, squared."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What one image gave at one scale, and what a second look would have changed.

    Args:
        scale: of the first look.
        size: height and width of the reference.
        counts: ``(3,)`` matched, predicted and true words of the first look.
        cost: GFLOP of the first look.
        full: GFLOP of what it is compared with.
        found: its P places.
        places: scale of a second look -> changes ``(P, 3)`` of the counts where each is read again, and words ``(P,)`` that go
            through the recogniser there.
        whole: the same of the whole image: counts ``(3,)`` and GFLOP of that look.
    """

    scale: float
    size: tuple[int, int]
    counts: np.ndarray
    cost: float
    full: float
    found: list[Place]
    places: dict[float, tuple[np.ndarray, np.ndarray]]
    whole: dict[float, tuple[np.ndarray, float]]

    @property
    def evidence(self) -> np.ndarray:
        """``(P, 3, 5)``."""
        return np.array([place.evidence for place in self.found]).reshape(-1, *SHAPE)

    def at(self, price: float, rule: Escalation, cost: Cost) -> tuple[np.ndarray, float]:
        """Counts ``(3,)`` and relative cost at a price; ``cost`` is that of a view, in GFLOP."""
        again = choose(self.found, self.scale, self.size, rule, price, cost) if np.isfinite(price) else None
        if again is None:
            return self.counts, self.cost / self.full
        if again.places is None:
            counts, spent = self.whole[again.scale]
            return counts, (self.cost + spent) / self.full
        changes, reads = self.places[again.scale]
        taken = [place in again.places for place in self.found]
        spent = cost(*scaled_size(*sheet_size(again.places), again.scale), float(reads[taken].sum()))
        return self.counts + changes[taken].sum(0), (self.cost + spent) / self.full


class Prober:
    """Reads images at every scale, and at the lower ones every place once more at each larger one.

    Args:
        spotter: reads.
        rules: how words are counted.
        rule: what is a place.
    """

    def __init__(self, spotter: Spotter, rules: Rules, rule: Escalation) -> None:
        self.spotter, self.rules, self.rule = spotter, rules, rule
        self.flops = FlopCost(spotter)
        self.device = next(spotter.parameters()).device

    @torch.inference_mode()
    def probe(self, batch: SpottingBatch, scales: Sequence[float]) -> list[Probe]:
        """Probe the only image of a batch, at ascending scales that end at 1.0."""
        if len(batch) != 1:
            raise ConfigError(f"data.eval_batch_size={len(batch)} must be 1: places are those of one image")
        name, truth = batch.names[0], batch.instances[0]
        size = tuple(batch.views[1.0].sizes[0].tolist())
        reference = batch.views[1.0].images[0, :, : size[0], : size[1]].permute(1, 2, 0).contiguous().numpy()
        seen = {scale: self.spotter.inspect(batch.view(scale).to(self.device)) for scale in scales}
        looks = {scale: look for scale, ((look,), _) in seen.items()}
        spent = {scale: look.spent(self.flops.cost) for scale, look in looks.items()}
        probes = []
        for scale, (_, maps) in seen.items():
            first = looks[scale]
            full = first.full(size, self.flops.cost)
            counts = self.count(name, truth, first.words)
            found = (
                places(maps[0], first.sizes[0], size, first.words, self.rule.threshold, self.rule.context) if scale < 1 else []
            )
            again, whole = {}, {}
            for second in (larger for larger in scales if larger > APART * scale):
                again[second] = self.again(reference, second, found, name, truth, first, counts)
                whole[second] = self.count(name, truth, likeliest(first.words, looks[second].words)), spent[second]
            probes.append(Probe(scale, size, counts, spent[scale], full, found, again, whole))
        return probes

    def again(
        self,
        reference: np.ndarray,
        scale: float,
        found: list[Place],
        name: str,
        truth: TextInstances,
        first: Look,
        counts: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the counts ``(P, 3)`` and words read ``(P,)`` of each place, all on one sheet that is read at a scale."""
        if not found:
            return np.zeros((0, 3)), np.zeros(0)
        sheet, corners = pack(reference, [place.box for place in found])
        look = read_again(self.spotter, sheet, scale)
        brought = back(look.words, found, corners, found)
        changes = np.zeros((len(found), 3))
        for k, place in enumerate(found):
            inside = [word for where, word in brought if where is place]
            changes[k] = self.count(name, truth, likeliest(first.words, inside)) - counts
        expected = np.array([place.words for place in found])  # regions that are no word know no place
        return changes, sum(look.reads) * expected / max(expected.sum(), 1e-9)

    def count(self, name: str, truth: TextInstances, words: list) -> np.ndarray:
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


def learn_gains(probes: Sequence[Sequence[Probe]], false_price: float) -> Gains:
    """Fit what to expect of second looks: weighted least squares without negative gains, for each first and second scale.

    Args:
        probes: of N images, each at the same scales.
        false_price: what a false word costs beside a missed one.
    """
    tables: dict[float, dict[float, Table]] = {}
    for row in zip(*probes, strict=True):
        evidence = np.concatenate([probe.evidence for probe in row]).reshape(-1, PRIOR.size)
        for second in row[0].places:
            gains = worth(np.concatenate([probe.places[second][0] for probe in row]), false_price)
            tables.setdefault(row[0].scale, {})[second] = fit_table(evidence, gains)
    return Gains(tables) if tables else Gains()


def fit_table(evidence: np.ndarray, gains: np.ndarray) -> Table:
    """What a unit of evidence ``(P, 15)`` is worth where P places brought ``gains`` ``(P,)``."""
    weights = 1 / np.sqrt(1 + evidence.sum(1, keepdims=True))  # gains scatter as counts do
    expected = PRIOR * max(gains.sum(), 0.0) / max(float((evidence @ PRIOR).sum()), 1.0)
    rows = np.vstack([weights * evidence, np.sqrt(STRENGTH) * np.eye(PRIOR.size)])
    table, _ = nnls(rows, np.concatenate([weights[:, 0] * gains, np.sqrt(STRENGTH) * expected]))
    return tuple(map(tuple, table.reshape(SHAPE).tolist()))


def worth(counts: np.ndarray, false_price: float) -> np.ndarray:
    """Words that counts or changes of counts ``(..., 3)`` are worth, each false one taking ``false_price`` away."""
    return counts[..., 0] - false_price * (counts[..., 1] - counts[..., 0])
