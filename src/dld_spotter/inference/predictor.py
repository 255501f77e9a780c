"""The one loop from pixels to words: it counts FLOPs, takes time and keeps budgets. Needs no torch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isinf, prod
from pathlib import Path

import numpy as np
from PIL import Image

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.latency import Line, known_line, measure_line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.requests import BudgetTracker, Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.memory import PIXELS, PIXELS_OF_ONE_SIZE, give_back
from dld_spotter.core.score_scaling import ScoreScaling
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.data.photos import ReferenceSize, scaled_size, to_array
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.second_pass.two_pass import read_once, read_twice
from dld_spotter.selection.policy import Policy
from dld_spotter.selection.second_pass.rule import SecondPassRule

LONG = 1280
"""Longest side in pixels of the reference where nothing else is asked for, so that large photos stay affordable."""

TOGETHER = 2**24
"""Pixels of references that are read together at most, which bounds memory."""
FULL = OperatingPoint(1.0)
"""A single pass at the reference resolution."""

ImageLike = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Args:
        words: the words, polygons in pixels of the original image.
        scale: of the first pass; 1.0 is the reference resolution.
        gflops: GFLOP spent, the decision included; NaN of an engine whose FLOPs nobody knows.
        seconds: wall time from pixels to words.
        relative_cost: cost over that of one pass at scale 1.0 that reads each of these words once.
        width: of the original image, pixels.
        height: of the original image, pixels.
        second_pass_share: pixels of the second view, over those of the reference; 0 after one pass.
        dropped: regions that may hold words and were not read, as there were more than ``postprocess.max_words``.
    """

    words: tuple[Word, ...]
    scale: float
    gflops: float
    seconds: float
    relative_cost: float
    width: int
    height: int
    second_pass_share: float = 0.0
    dropped: int = 0


@dataclass(frozen=True, eq=False)
class Photo:
    """An image on its way to its words.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, the original.
        reference: ``(h, w, 3)`` the same at the reference resolution, which is what scale 1.0 stands for.
        point: how it is read.
        deciding: what that decision has cost.
    """

    pixels: np.ndarray
    reference: np.ndarray
    point: OperatingPoint = FULL
    deciding: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the reference."""
        return self.reference.shape[0], self.reference.shape[1]


class Predictor:
    """Reads images at the resolution that each needs.

    Args:
        backend: detects and recognises.
        policy: decides how each image is read; without one they are read at 1.0 unless a scale is given.
        rule: what a second pass may bring; None for nothing learned.
        reference: rule for the reference resolution; None limits the longest side to ``LONG``.
        gain_threshold: of second passes at a scale that is asked for, and where the policy does not decide on them; infinite
            for a single pass.
        scaling: from the scores of words to how likely they are right; None leaves them.
    """

    _pixels = _other_pixels = 0
    """Read since memory was given back: all, and those of images that differ in size from the one before."""
    _size = (0, 0)

    def __init__(
        self,
        backend: Backend,
        policy: Policy | None = None,
        rule: SecondPassRule | None = None,
        reference: ReferenceSize | None = None,
        gain_threshold: float = inf,
        scaling: ScoreScaling | None = None,
    ) -> None:
        self.backend = backend
        self.policy = policy
        self.rule = rule or SecondPassRule()
        self.reference = reference or ReferenceSize(long=LONG)
        self.gain_threshold = gain_threshold
        self.scaling = scaling

    @property
    def calibration(self) -> Calibration | None:
        """What the policy's cost weights spend; None where budgets cannot be asked for."""
        return self.policy.calibration if self.policy else None

    @property
    def scales(self) -> tuple[float, ...]:
        """What the policy chooses among; empty without one."""
        return self.policy.scales if self.policy else ()

    def read(
        self,
        image: ImageLike,
        gamma: float | None = None,
        scale: float | None = None,
        budget: float | None = None,
        *,
        budget_gflops: float | None = None,
        budget_ms: float | None = None,
        max_cost: float | None = None,
    ) -> Reading:
        """Read one image. At most one of gamma, scale and the budgets is given.

        Args:
            image: a path, a PIL image, or ``(H, W, 3)`` uint8 RGB.
            gamma: cost weight to decide with, one of the policy's; None takes the middle one.
            scale: read at this scale, above 0 and at most 1, without asking the policy.
            budget: mean relative cost that this and all other images read with the same budget may spend.
            budget_gflops: the same in GFLOP.
            budget_ms: the same in milliseconds on this device, which are measured once.
            max_cost: relative cost that no image may exceed: it is read at a lower scale than would be chosen, less of it is
                read again, and if not all that was found can be read, then what was found most surely, large words before
                small ones.

        Raises:
            DataError: the file is no image.
            ConfigError: gamma is none of the policy's, a scale, a budget or max_cost is out of range, or several exclude
                each other.
        """
        amounts = {"budget_gflops": budget_gflops, "budget_ms": budget_ms, "max_cost": max_cost}
        return self.read_all([image], gamma, scale, budget, **amounts)[0]

    def read_all(
        self,
        images: Sequence[ImageLike],
        gamma: float | None = None,
        scale: float | None = None,
        budget: float | None = None,
        *,
        budget_gflops: float | None = None,
        budget_ms: float | None = None,
        max_cost: float | None = None,
    ) -> list[Reading]:
        """Read several images, those of one size and scale together; arguments and errors as of :meth:`read`.

        All of them are decided for before the first is read: a budget is kept from one call to the next.

        Returns:
            one reading per image, in their order; seconds are their mean.
        """
        return self.read_request(images, Request(gamma, scale, budget, budget_gflops, budget_ms, max_cost))

    def read_request(self, images: Sequence[ImageLike], request: Request) -> list[Reading]:
        """Read several images as :meth:`read_all` does."""
        self.check(request)
        tracker = self.tracker(request)
        pixels = [to_array(image) for image in images]
        start = time.perf_counter()
        photos = [self._decide(photo, request, tracker) for photo in map(self._photo, pixels)]
        readings = self._read(photos, request.max_cost, start)
        if tracker is not None:
            for reading in readings:
                tracker.record(reading.relative_cost, reading.gflops, reading.seconds)
        return readings

    def read_points(
        self,
        images: Sequence[ImageLike],
        points: Sequence[OperatingPoint],
        decided: bool = True,
        max_cost: float | None = None,
    ) -> list[Reading]:
        """Read several images at operating points that are known.

        Args:
            images: as of :meth:`read`.
            points: one of each.
            decided: whether the policy has decided for them, whose GFLOP then count.
            max_cost: as of :meth:`read`; where the policy has decided, another of its points takes the place of one that is too
                costly.
        """
        pixels = [to_array(image) for image in images]
        start = time.perf_counter()
        policy = self.policy if decided else None
        deciding = 0.0 if policy is None else policy.gflops
        photos = [replace(self._photo(one), point=point, deciding=deciding) for one, point in zip(pixels, points, strict=True)]
        return self._read([self._capped(photo, max_cost, policy) for photo in photos], max_cost, start)

    def reference_of(self, pixels: np.ndarray) -> np.ndarray:
        """Bring an image ``(H, W, 3)`` to the reference resolution."""
        return self.backend.resize(pixels, *self.reference(*pixels.shape[:2]))

    def _photo(self, pixels: np.ndarray) -> Photo:
        return Photo(pixels, self.reference_of(pixels))

    def _decide(self, photo: Photo, request: Request, tracker: BudgetTracker | None) -> Photo:
        """Say how a photo is read: as was asked for, or as the policy decides; cheaper where that is too costly."""
        policy = self._policy_for(request)
        if policy is None:
            point = self._asked(request)
        else:
            weight = request.gamma if tracker is None else tracker.gamma(self.backend.cost(*photo.size, 0))
            point = self.decide(photo.reference, weight)
            photo = replace(photo, deciding=policy.gflops)
        return self._capped(replace(photo, point=point), request.max_cost, policy)

    def _capped(self, photo: Photo, max_cost: float | None, policy: Policy | None) -> Photo:
        """The same photo, read at a cheaper operating point of the policy that decided where its own is too costly."""
        if max_cost is None:
            return photo
        cap = CostCap(max_cost, photo.size, self.backend.cost, photo.deciding)
        cheaper = [] if policy is None else policy.alternatives(photo.point)
        return replace(photo, point=cap.lower(photo.point, cheaper))

    def decide(self, reference: np.ndarray, gamma: float | None = None) -> OperatingPoint:
        """How the policy would have an image ``(H, W, 3)`` at the reference resolution read.

        Raises:
            ConfigError: there is no policy.
        """
        if self.policy is None:
            raise ConfigError("nothing here decides how an image is read; give a checkpoint with a selector, or a scale")
        point = self.policy.decide(reference, self.backend.cost, gamma)
        return point if self.policy.second_passes else replace(point, second_pass=self.gain_threshold)

    def _policy_for(self, request: Request) -> Policy | None:
        """The policy, where a request leaves it to one how images are read."""
        return self.policy if request.scale is None else None

    def _asked(self, request: Request) -> OperatingPoint:
        return OperatingPoint(1.0 if request.scale is None else float(request.scale), self.gain_threshold)

    def _read(self, photos: Sequence[Photo], max_cost: float | None, began: float) -> list[Reading]:
        """Read photos whose operating points are known; those of one size and scale together."""
        alike: dict[tuple[float, tuple[int, int]], list[int]] = {}
        for place, photo in enumerate(photos):
            alike.setdefault((photo.point.scale, photo.size), []).append(place)
        found: dict[int, SpottingResult] = {}
        for (scale, size), places in alike.items():
            most = max(1, TOGETHER // prod(size))
            for start in range(0, len(places), most):
                some = places[start : start + most]
                found |= zip(some, self._spot([photos[place] for place in some], scale, max_cost), strict=True)
        seconds = (time.perf_counter() - began) / max(len(photos), 1)
        readings = [self._reading(photo, found[place], seconds) for place, photo in enumerate(photos)]
        self._tidy(photos, [found[place] for place in range(len(photos))])
        return readings

    def _spot(self, photos: Sequence[Photo], scale: float, max_cost: float | None) -> list[SpottingResult]:
        """Read photos of one size at one scale, once or twice."""
        caps = [
            None if max_cost is None else CostCap(max_cost, photo.size, self.backend.cost, photo.deciding) for photo in photos
        ]
        detections = self.backend.detect([photo.reference for photo in photos], scale)
        once = [
            k
            for k, (photo, one) in enumerate(zip(photos, detections, strict=True))
            if one.size == photo.size or isinf(photo.point.second_pass)
        ]
        results = dict(zip(once, read_once([detections[k] for k in once], self.backend, [caps[k] for k in once]), strict=True))
        for k, photo in enumerate(photos):
            if k not in results:
                asked = (detections[k], photo.reference, self.rule, photo.point.second_pass)
                results[k] = read_twice(*asked, self.backend, caps[k])
        return [results[k] for k in range(len(photos))]

    def _reading(self, photo: Photo, result: SpottingResult, seconds: float) -> Reading:
        """Bring words in pixels of the reference back to the image, and count what they cost."""
        (height, width), size = photo.pixels.shape[:2], photo.size
        grow = np.array([width / size[1], height / size[0]], np.float32)
        spent = photo.deciding + result.spent(self.backend.cost)
        words = tuple(Word(word.polygon * grow, word.text, self._scaled(word.score)) for word in result.words)
        share = sum(prod(view) for view in result.sizes[1:]) / prod(size)
        gflops = spent if self.backend.counts_flops else float("nan")
        relative = spent / result.full(size, self.backend.cost)
        return Reading(words, photo.point.scale, gflops, seconds, relative, width, height, share, result.dropped)

    def _scaled(self, score: float) -> float:
        """How likely a word of a score is right, where that was seen."""
        return score if self.scaling is None else float(self.scaling(np.array([score]))[0])

    def _tidy(self, photos: Sequence[Photo], results: Sequence[SpottingResult]) -> None:
        """Give memory back after many pixels; views of a second pass differ in size from everything before."""
        for photo, result in zip(photos, results, strict=True):
            size = scaled_size(*photo.size, photo.point.scale)
            self._pixels += prod(size)
            self._other_pixels += prod(size) if size != self._size else 0
            self._other_pixels += sum(prod(view) for view in result.sizes[1:])
            self._size = size
        if self._pixels >= PIXELS_OF_ONE_SIZE or self._other_pixels >= PIXELS:
            give_back()
            self._pixels = self._other_pixels = 0

    def check(self, request: Request) -> None:
        """Raise ConfigError if images cannot be read as requested."""
        policy = self._policy_for(request)
        if policy is not None and policy.second_passes and self.gain_threshold not in (inf, SecondPassRule.gain_threshold):
            raise ConfigError(
                f"second_pass.gain_threshold={self.gain_threshold:g} does nothing beside the operating points of this "
                "checkpoint, which have thresholds of their own; give scale= with it, or leave it out"
            )
        for name, value in request.given.items():
            if name == "scale":
                if not 0 < value <= 1:
                    raise ConfigError(f"scale={value:g} must be above 0 and at most 1, the reference resolution")
            elif self.policy is None:
                raise ConfigError(f"{name}={value:g} needs a selector, which this checkpoint lacks; give another, or a scale")
            elif name == "gamma":
                self.policy.check(value)
            else:
                self.tracker(request)

    def check_cap(self, image: np.ndarray, request: Request) -> None:
        """Raise ConfigError if an image ``(H, W, 3)`` costs more than ``request`` allows even at the lowest scale."""
        if request.max_cost is None:
            return
        policy = self._policy_for(request)
        deciding = 0.0 if policy is None else policy.gflops
        cap = CostCap(request.max_cost, self.reference(*image.shape[:2]), self.backend.cost, deciding)
        wanted = self._asked(request) if policy is None else OperatingPoint(max(policy.scales))
        cap.lower(wanted, [] if policy is None else policy.alternatives(wanted))

    def tracker(self, request: Request) -> BudgetTracker | None:
        """The account of a budget, the same one whenever this predictor is asked for it; None where no budget is requested.

        Raises:
            ConfigError: the budget cannot be met, or what the policy spends was never measured.
        """
        if request.budgeted is None:
            return None
        name, amount = request.budgeted
        if self.calibration is None:
            raise ConfigError(
                f"{name}={amount:g} needs a calibrated selector, which this checkpoint lacks; give gamma= or scale="
            )
        if (name, amount) not in self._trackers:
            line = self.line() if name == "budget_ms" else None
            self._trackers[name, amount] = BudgetTracker(name, amount, self.calibration, line)
        return self._trackers[name, amount]

    @cached_property
    def _trackers(self) -> dict[tuple[str, float], BudgetTracker]:
        """Budget -> its account."""
        return {}

    def forget_budgets(self) -> None:
        """Begin all accounts anew."""
        self._trackers.clear()

    def line(self) -> Line:
        """What a GFLOP takes on this device, measured where no earlier run has."""
        return known_line(*self.backend.identity(), lambda: measure_line(self._read_blank, self._blank_cost))

    def _blank_cost(self, height: int, width: int) -> float:
        return self.backend.cost(height, width, 0)

    def _read_blank(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        read_once(self.backend.detect([blank], 1.0), self.backend)
