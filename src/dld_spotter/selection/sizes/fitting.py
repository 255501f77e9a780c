"""From an engine's outcomes to a policy of sizes."""

from math import sqrt

import numpy as np

from dld_spotter.budget.engine_latency import EngineLatency
from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.hmean import false_positive_cost_at, hmean
from dld_spotter.data.photos import scaled_size
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way
from dld_spotter.selection.sizes.policy import Expected, SizePolicy, SizeTable
from dld_spotter.selection.sizes.regression import fit

COUNTS = ("images", "words")
"""What counts alike: every image, whatever it holds, or every word, so that a document counts as much as many photos."""
FEWEST = 8
"""Images from which a policy can be learnt."""
LEAST_WORDS = 4
"""An image of fewer words counts as if it had so many, so that a single one does not decide."""


def losses_of(outcomes: EngineOutcomes, alike: str, false_positive_cost: float | None = None) -> Floats:
    """What each way of reading ``(N, K)`` loses: false words less right ones.

    Args:
        outcomes: of N images.
        alike: one of ``COUNTS``.
        false_positive_cost: what a false word costs beside a missed one; None for what it costs the best Hmean of one way.
    """
    if alike not in COUNTS:
        raise ConfigError(f"alike={alike} must be one of {', '.join(COUNTS)}")
    if false_positive_cost is None:
        totals = (outcomes.matched.sum(0), outcomes.predicted.sum(0), outcomes.true.sum(0))
        false_positive_cost = false_positive_cost_at(float(hmean(*totals).max()))
    words = outcomes.true.astype(float)
    share = words.clip(LEAST_WORDS) if alike == "images" else np.full_like(words, max(words[:, 0].mean(), 1.0))
    found: Floats = (false_positive_cost * (outcomes.predicted - outcomes.matched) - outcomes.matched) / share
    return found


def fit_policy(
    outcomes: EngineOutcomes,
    reference: int,
    alike: str = "images",
    latency: EngineLatency | None = None,
    false_positive_cost: float | None = None,
) -> SizePolicy:
    """Learn a policy.

    Args:
        outcomes: of N images in K ways.
        reference: longest side in pixels of what was looked at.
        alike: what counts alike, one of ``COUNTS``.
        latency: of the engine where the outcomes were read: what words cost is then taken from the seconds of the readings, in
            words of the page that latencies are measured with; None counts those that were written.
        false_positive_cost: as of :func:`losses_of`.

    Raises:
        DataError: the images are too few.
    """
    if len(outcomes.names) < FEWEST:
        raise DataError(f"a policy cannot be learnt from {len(outcomes.names)} images; give at least {FEWEST}")
    losses = losses_of(outcomes, alike, false_positive_cost)
    words = outcomes.words if latency is None else words_in_seconds(outcomes, latency)
    targets = np.hstack([losses, np.log1p(words), outcomes.again])
    importance = np.repeat([1.0, 0.0, 0.0], losses.shape[1])
    learnt = fit(outcomes.features, targets, importance)
    regression = learnt.regression
    table = SizeTable(
        engine=outcomes.engine,
        version=outcomes.version,
        reference=reference,
        sizes=tuple(outcomes.sizes.tolist()),
        gain_thresholds=tuple(outcomes.gain_thresholds.tolist()),
        center=_numbers(regression.center),
        spread=_numbers(regression.spread),
        width=regression.width,
        anchors=tuple(map(_numbers, regression.anchors)),
        mean=_numbers(regression.mean),
        weights=tuple(map(_numbers, regression.weights)),
        sides=tuple(map(tuple, outcomes.sides.tolist())),
        known=tuple(map(_numbers, learnt.unseen)),
    )
    return SizePolicy(table)


def words_in_seconds(outcomes: EngineOutcomes, latency: EngineLatency) -> Floats:
    """Words of the page that latencies are measured with which take as long as what was read ``(N, K)``.

    A word takes more or less: lines are read at once, and what is dropped afterwards is read as well.
    """
    if not latency.per_word:
        return outcomes.words.astype(float)
    rows = [
        [blank_seconds(way, *sides, again, latency) for way, again in zip(outcomes.ways, row, strict=True)]
        for sides, row in zip(outcomes.sides.tolist(), outcomes.again.tolist(), strict=True)
    ]
    found: Floats = ((outcomes.seconds - np.array(rows)) / latency.per_word).clip(0)
    return found


def blank_seconds(way: Way, height: int, width: int, again: float, latency: EngineLatency) -> float:
    """Seconds of reading an image of this size in a way, were there no words in it."""
    seconds = latency.seconds(*scaled_size(height, width, way.point(height, width).scale), 0)
    return seconds + (latency.seconds(*scaled_size(height, width, sqrt(again)), 0) if again else 0.0)


def explained(outcomes: EngineOutcomes, policy: SizePolicy, alike: str) -> tuple[float, float]:
    """Mean squared error of the losses of images left out, relative to their mean; and that of the mean of all images."""
    losses = losses_of(outcomes, alike)
    apart = losses - losses.mean(1, keepdims=True)  # what ways have in common decides nothing
    found = Expected.of(np.array(policy.table.known)).losses
    missed = found - found.mean(1, keepdims=True) - apart
    return float((missed**2).mean()), float(((apart - apart.mean(0)) ** 2).mean())


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(np.asarray(values, float).tolist())
