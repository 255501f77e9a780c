"""An OCR engine under a budget: it reads each image at the size, and in as many passes, as a policy decides."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.engine_latency import EngineLatency, known_latency
from dld_spotter.budget.latency import Line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.photos import ImageLike, ReferenceSize
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.reading import Reading
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.sizes.policy import SizePolicy

FIRST_SCALES = (0.25, 0.35, 0.5, 0.7)
"""Scales of first passes for which a second one is expected to bring what ``GAINS`` says."""
GAINS = (
    (0.6, 0.3, 0.15, 0.05, 0.0),  # words read: low ones are often wrong
    (1.0, 1.0, 1.0, 1.0, 1.0),  # what scores lack to 1
    (0.0, 0.0, 0.0, 0.0, 0.0),  # nothing waits: an engine reads at once
    (1.0, 1.0, 0.5, 0.5, 0.5),  # what it read and dropped
)
"""Words that a second pass brings, by kind of evidence and height in the first view, as of :class:`Gains`."""
ENGINE_RULE = SecondPassRule(min_height=0.0, gains=Gains({scale: {1.0: GAINS} for scale in FIRST_SCALES}))
"""Which regions an engine reads again: those of low words, and those of which it is not sure."""
PATIENT = 64.0
"""Images within which a budget's account is settled at the earliest: a document may take twenty times as long as a photo, and
whatever follows one would else be read at the lowest size (experiments/31_any_engine)."""
REFUSED = ("budget", "budget_gflops", "max_cost")
"""Requests in units that an engine's cost is not known in."""


class AdaptiveEngine(Predictor):
    """Reads images with an engine at the size that each needs.

    >>> AdaptiveEngine(engine, "policy.json")("photo.jpg", budget_ms=80).words  # doctest: +SKIP

    Args:
        engine: a black box that turns pixels into lines.
        policy: learnt by ``fit_selector engine=NAME``, or its file.
        pieces: as of :class:`Predictor`; each piece of an image is decided for on its own.

    Raises:
        ConfigError: the policy was learnt from another engine, or with other settings.
        DataError: the file holds no policy.
    """

    policy: SizePolicy
    settle = PATIENT

    def __init__(self, engine: Engine, policy: SizePolicy | str | Path, pieces: PieceRule | None = None) -> None:
        origin = "the policy" if isinstance(policy, SizePolicy) else f"policy={policy}"
        policy = policy if isinstance(policy, SizePolicy) else SizePolicy.load(policy)
        policy.check_engine(engine.fingerprint(), origin)
        super().__init__(engine, policy, ENGINE_RULE, ReferenceSize(long=policy.table.reference), pieces=pieces)
        self.engine = engine

    def __call__(
        self, image: ImageLike, budget_ms: float | None = None, gamma: float | None = None, scale: float | None = None
    ) -> Reading:
        """Read one image. At most one of the others is given; without one, the policy's usual cost weight holds.

        Args:
            image: as of :meth:`Predictor.read`.
            budget_ms: mean milliseconds on this machine that this and all other images read with the same budget may take.
            gamma: cost weight: what the time of an image at the largest size is worth in loss.
            scale: read at this scale of the reference, above 0 and at most 4, without asking the policy.

        Raises:
            DataError: the file is no image.
            ConfigError: several are given, or one is out of range.
        """
        return self.read(image, gamma, scale, budget_ms=budget_ms)

    @cached_property
    def latency(self) -> EngineLatency:
        """How long the engine takes here, measured where no earlier run has: some seconds, before the first image is timed."""
        return latency_of(self.engine)

    @cached_property
    def calibration(self) -> Calibration:
        """What the policy's cost weights spend on this machine."""
        return self.policy.calibrate(self.latency.seconds)

    def line(self) -> Line:
        """Seconds of a unit of relative cost."""
        return Line(0.0, self.policy.unit(self.latency.seconds))

    def full_cost(self, sizes: Sequence[tuple[int, int]]) -> float:
        """A unit of relative cost is the same for all pieces, whatever their sizes."""
        return float(len(sizes))

    def decide(self, reference: np.ndarray, gamma: float | None = None) -> OperatingPoint:
        """See :meth:`Predictor.decide`; cost is time on this machine."""
        return self.policy.decide(reference, self.latency.seconds, gamma)

    def check(self, request: Request) -> None:
        """See :meth:`Predictor.check`.

        Raises:
            ConfigError: what is asked for is counted in what nobody knows of an engine.
        """
        for name in REFUSED:
            if (value := getattr(request, name)) is not None:
                raise ConfigError(f"{name}={value:g} cannot be asked of an engine, whose FLOPs nobody knows; give budget_ms=")
        super().check(request)


def latency_of(engine: Engine) -> EngineLatency:
    """How long an engine takes on this machine, measured where no earlier run has."""
    _, device, threads = engine.identity()

    def count(image: np.ndarray) -> int:
        return sum(len(line.text.split()) for line in engine.read(image))

    return known_latency(engine.fingerprint(), device, threads, count)
