"""From an engine and images to the table that a policy of sizes learns from."""

from collections.abc import Sequence

import numpy as np
from rich.progress import track

from dld_spotter.core.errors import DataError
from dld_spotter.core.journal import Journal
from dld_spotter.evaluation.measuring import Counting, Samples
from dld_spotter.inference.predictor import Predictor
from dld_spotter.selection.sizes.features import describe
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way


def read_in_all_ways(
    predictor: Predictor, samples: Samples, ways: Sequence[Way], counting: Counting, journal: Journal | None = None
) -> EngineOutcomes:
    """Read every image in every way once.

    Args:
        predictor: reads, with an engine.
        samples: N images; of several with one name the first counts.
        ways: K of them.
        counting: how words are counted.
        journal: of what was read so far; None keeps none.
    """
    rows: dict[str, tuple[np.ndarray, ...]] = {}
    known = {} if journal is None else journal.rows
    prepared = False
    for sample in track(samples, description="reading in every way"):
        if sample.name in rows:
            continue
        if sample.name in known:
            rows[sample.name] = tuple(map(np.array, known[sample.name]))
            continue
        reference = predictor.reference_of(sample.image)
        size = reference.shape[:2]
        points = [way.point(*size) for way in ways]
        if not prepared:  # the first reading of all prepares kernels
            predictor.read_points([sample.image], points[:1], decided=False)
            prepared = True
        readings = [predictor.read_points([sample.image], [point], decided=False)[0] for point in points]
        measures = [counting.measures(sample, reading) for reading in readings]
        counts = np.array([(each.matched, each.predicted, each.true) for each in measures]).T
        spent = np.array([(len(each.words), each.second_pass_share, each.seconds) for each in readings]).T
        rows[sample.name] = (np.array(size), describe(reference), *counts, *spent)
        if journal is not None:
            journal.add(sample.name, [values.tolist() for values in rows[sample.name]])
    if not rows:
        raise DataError("there is no image to read; give another data=")
    sides, features, *columns = (np.stack(column) for column in zip(*rows.values(), strict=True))
    sizes, thresholds = (np.array(column) for column in zip(*ways, strict=True))
    return EngineOutcomes(predictor.backend.fingerprint(), np.array(list(rows)), sides, features, sizes, thresholds, *columns)
