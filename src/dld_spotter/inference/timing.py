"""What reading takes by the clock of this device, measured with the backend that reads. Needs no torch."""

from dataclasses import replace
from math import inf

import numpy as np

from dld_spotter.budget.latency import Line, known_line, measure_line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.pass_latency import PassLatency, Work, known_passes, measure_passes
from dld_spotter.core.words import Cost, SpottingResult
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.photo import joined, take
from dld_spotter.inference.pieces import PieceRule, cut
from dld_spotter.inference.second_pass.two_pass import read_once, read_twice
from dld_spotter.selection.second_pass.rule import SecondPassRule


def work_of(result: SpottingResult, cost: Cost) -> Work:
    """What a reading took; ``cost`` is that of a view, in GFLOP."""
    return Work(len(result.sizes), sum(cost(*size, 0) for size in result.sizes), sum(result.reads))


def line_of(backend: Backend) -> Line:
    """What a GFLOP takes, measured where no earlier run has."""

    def read_blank(height: int, width: int) -> None:
        read_once(backend.detect([np.zeros((height, width, 3), np.uint8)], 1.0), backend)

    def blank_cost(height: int, width: int) -> float:
        return backend.cost(height, width, 0)

    return known_line(*backend.identity(), lambda: measure_line(read_blank, blank_cost))


def pass_latency_of(backend: Backend, rule: SecondPassRule, reference: ReferenceSize) -> PassLatency:
    """What passes and words take, measured where no earlier run has; arguments as of :class:`Predictor`."""

    def read(image: np.ndarray, scale: float, twice: bool) -> Work:
        (piece,) = cut(image.shape[0], image.shape[1], reference, PieceRule())
        photo = replace(take(image, piece, backend), point=OperatingPoint(scale, 0.0 if twice else inf))
        (detections,) = backend.detect([photo.reference], scale)
        result = read_twice(detections, photo.reference, rule, photo.point.second_pass, backend)
        joined([photo], [result], 0.0, backend, lambda word: word)
        return work_of(result, backend.cost)

    word = backend.cost(*reference(64, 64), 1) - backend.cost(*reference(64, 64), 0)
    return known_passes(*backend.identity(), lambda: measure_passes(read, word))
