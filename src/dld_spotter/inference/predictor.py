"""The one loop from pixels to words: it counts FLOPs, takes time and keeps budgets. Needs no torch."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf, isinf, prod
from typing import Any

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import TimedPoints
from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.controller import SETTLE
from dld_spotter.budget.latency import Line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.pass_latency import PassLatency
from dld_spotter.budget.requests import COLD, BudgetTracker, Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.memory import PIXELS, PIXELS_OF_ONE_SIZE, give_back
from dld_spotter.core.score_scaling import ScoreScaling
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.data.photos import ImageLike, ReferenceSize, scaled_size, to_array
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.photo import Photo, enlarged, joined, looking_cost, take, turned
from dld_spotter.inference.pieces import LONG as LONG
from dld_spotter.inference.pieces import PieceRule, cut, torn
from dld_spotter.inference.reading import Reading as Reading
from dld_spotter.inference.second_pass.two_pass import read_once, read_twice
from dld_spotter.inference.timing import line_of, pass_latency_of
from dld_spotter.selection.policy import Policy
from dld_spotter.selection.second_pass.rule import SecondPassRule

TOGETHER = 2**24
"""Pixels of references that are read together at most, which bounds memory."""
LARGEST = 4.0
"""The highest scale that can be asked for."""


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
        pieces: which images are read in tiles, and whether turned text is looked for; None for long images alone.
    """

    settle = SETTLE
    """See :class:`BudgetTracker`."""
    _pixels = _other_pixels = 0
    """Read since memory was given back: all, and those of images that differ in size from the one before."""
    _size = (0, 0)
    _images = 0
    """Read since it was built."""

    def __init__(
        self,
        backend: Backend,
        policy: Policy | None = None,
        rule: SecondPassRule | None = None,
        reference: ReferenceSize | None = None,
        gain_threshold: float = inf,
        scaling: ScoreScaling | None = None,
        pieces: PieceRule | None = None,
    ) -> None:
        self.backend = backend
        self.policy = policy
        self.rule = rule or SecondPassRule()
        self.reference = reference or ReferenceSize(long=LONG)
        self.gain_threshold = gain_threshold
        self.scaling = scaling
        self.pieces = pieces or PieceRule()

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
            image: a path, a data URL, bytes, an open file, a PIL image, or ``(H, W, 3)`` uint8 RGB.
            gamma: cost weight to decide with, one of the policy's; None takes the middle one.
            scale: read at this scale, above 0 and at most 4, without asking the policy; above 1 the image is enlarged.
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
        tracker, pixels = self.tracker(request), [to_array(image, self.pieces.max_pixels) for image in images]
        start, before = time.perf_counter(), self._images
        photos = [self._decide(self._photos(image), request, tracker) for image in pixels]
        readings = self._read(photos, request.max_cost, start)
        if tracker is not None:
            for number, reading in enumerate(readings, before):
                tracker.record(reading.relative_cost, reading.gflops, reading.seconds, number < COLD)
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
        pixels = [to_array(image, self.pieces.max_pixels) for image in images]
        start = time.perf_counter()
        policy = self.policy if decided else None
        deciding = 0.0 if policy is None else policy.gflops
        photos = []
        for one, point in zip(pixels, points, strict=True):
            several = [replace(photo, point=point, deciding=photo.deciding + deciding) for photo in self._photos(one)]
            photos.append([self._capped(photo, max_cost, policy) for photo in several])
        return self._read(photos, max_cost, start)

    def full_cost(self, sizes: Sequence[tuple[int, int]]) -> float:
        """What a unit of relative cost is for an image that is read in pieces of these sizes, in the unit of budgets."""
        return sum(self.backend.cost(*size, 0) for size in sizes)

    def reference_of(self, pixels: np.ndarray) -> np.ndarray:
        """Bring an image ``(H, W, 3)`` to the reference resolution."""
        return self.backend.resize(pixels, *self.reference(*pixels.shape[:2]))

    def _photos(self, image: np.ndarray) -> list[Photo]:
        """The pieces in which an image is read, turned as most of its text runs."""
        photos = [
            take(image, piece, self.backend) for piece in cut(image.shape[0], image.shape[1], self.reference, self.pieces)
        ]
        return turned(photos, self.backend, self._scaled) if self.pieces.orientation else photos

    def _decide(self, photos: Sequence[Photo], request: Request, tracker: BudgetTracker | None) -> list[Photo]:
        """Say how pieces of an image are read: as was asked for, or as the policy decides; cheaper where it is too costly."""
        policy = self._policy_for(request)
        if policy is None:
            decided = [replace(photo, point=self._asked(request)) for photo in photos]
        else:
            weight, timed = request.gamma, None
            if tracker is not None:
                weight = tracker.gamma(self.full_cost([photo.size for photo in photos]), len(photos))
                timed = tracker.point(weight)
            decided = [
                replace(photo, point=timed or self.decide(photo.reference, weight), deciding=photo.deciding + policy.gflops)
                for photo in photos
            ]
        return [self._capped(photo, request.max_cost, policy) for photo in decided]

    def _capped(self, photo: Photo, max_cost: float | None, policy: Policy | None) -> Photo:
        """The same photo, read at a cheaper operating point of the policy that decided where its own is too costly."""
        cap = self._cap(photo, max_cost)
        if cap is None:
            return photo
        return replace(photo, point=cap.lower(photo.point, [] if policy is None else policy.alternatives(photo.point)))

    def _affords(self, photo: Photo, max_cost: float | None) -> bool:
        """Whether a piece can be read at its operating point."""
        cap = self._cap(photo, max_cost)
        return cap is None or cap.affords(scaled_size(*photo.full, photo.point.scale))

    def _cap(self, photo: Photo, max_cost: float | None) -> CostCap | None:
        return None if max_cost is None else CostCap(max_cost, photo.full, self.backend.cost, photo.deciding)

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

    def _read(self, given: Sequence[Sequence[Photo]], max_cost: float | None, began: float) -> list[Reading]:
        """Read images, of each its pieces, whose operating points are known."""
        images = [[enlarged(photo, self.backend) for photo in photos] for photos in given]
        flat = [photo for photos in images for photo in photos]
        results = iter(self._spot_all(flat, max_cost))
        found = [[next(results) for _ in photos] for photos in images]
        for photos, read in zip(images, found, strict=True):
            words = [photo.piece.to_image(result.words) for photo, result in zip(photos, read, strict=True)]
            around = torn([photo.piece for photo in photos], words, photos[0].image.shape[:2], self.reference.long or LONG)
            first = photos[-1]
            more = [replace(take(first.image, piece, self.backend, first.enlarged), point=first.point) for piece in around]
            more = [photo for photo in more if self._affords(photo, max_cost)]
            photos += more
            read += self._spot_all(more, max_cost)
            flat += more
        seconds = (time.perf_counter() - began) / max(len(images), 1)
        readings = [
            joined(photos, read, seconds, self.backend, self._scaled) for photos, read in zip(images, found, strict=True)
        ]
        self._tidy(flat, [result for read in found for result in read])
        self._images += len(images)
        return readings

    def _spot_all(self, photos: Sequence[Photo], max_cost: float | None) -> list[SpottingResult]:
        """Read photos whose operating points are known; those of one size and scale together."""
        alike: dict[tuple[float, tuple[int, int]], list[int]] = {}
        for place, photo in enumerate(photos):
            alike.setdefault((photo.scale, photo.size), []).append(place)
        found: dict[int, SpottingResult] = {}
        for (scale, size), places in alike.items():
            most = max(1, TOGETHER // prod(size))
            for start in range(0, len(places), most):
                some = places[start : start + most]
                found |= zip(some, self._spot([photos[place] for place in some], scale, max_cost), strict=True)
        return [found[place] for place in range(len(photos))]

    def _spot(self, photos: Sequence[Photo], scale: float, max_cost: float | None) -> list[SpottingResult]:
        """Read photos of one size at one scale, once or twice."""
        caps = [self._cap(photo, max_cost) for photo in photos]
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

    def _scaled(self, word: Word) -> Word:
        """The word with how likely it is right as its score, where that was seen."""
        return word if self.scaling is None else replace(word, score=float(self.scaling(np.array([word.score]))[0]))

    def _tidy(self, photos: Sequence[Photo], results: Sequence[SpottingResult]) -> None:
        """Give memory back after many pixels; views of a second pass differ in size from everything before."""
        for photo, result in zip(photos, results, strict=True):
            size = scaled_size(*photo.size, photo.scale)
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
                if not 0 < value <= LARGEST:
                    raise ConfigError(f"scale={value:g} must be above 0 and at most {LARGEST:g}, where 1 is full resolution")
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
        wanted = self._asked(request) if policy is None else OperatingPoint(max(policy.scales))
        others = [] if policy is None else policy.alternatives(wanted)
        for full in {piece.size for piece in cut(image.shape[0], image.shape[1], self.reference, self.pieces)}:
            looking = looking_cost(full, self.backend) if self.pieces.orientation else 0.0
            CostCap(request.max_cost, full, self.backend.cost, deciding + looking).lower(wanted, others)

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
            timed = self.timed_points() if name == "budget_ms" else None
            line = self.line() if name == "budget_ms" and timed is None else None
            self._trackers[name, amount] = BudgetTracker(name, amount, self.calibration, line, self.settle, timed)
        return self._trackers[name, amount]

    def catch_up(self, request: Request, batches: Iterable[Sequence[Mapping[str, Any]]]) -> None:
        """Take what an earlier run has read for the same request into the account of its budget.

        Args:
            request: as of :meth:`read_request`.
            batches: lines of output (:mod:`dld_spotter.inference.output`), in the order of reading, by what was read together.
        """
        if (tracker := self.tracker(request)) is None:
            return
        for lines in batches:
            for line in lines:
                pieces = cut(line["height"], line["width"], self.reference, self.pieces)  # earlier versions do not tell turns
                turned = [replace(piece, turn=line.get("turned", 0) // 90).turned_size for piece in pieces]
                tracker.gamma(self.full_cost(turned), len(pieces))
            for line in lines:
                tracker.record(line["relative_cost"], line["gflops"], line["seconds"], tracker.images < COLD)

    @cached_property
    def _trackers(self) -> dict[tuple[str, float], BudgetTracker]:
        """Budget -> its account."""
        return {}

    def forget_budgets(self) -> None:
        """Begin all accounts anew."""
        self._trackers.clear()

    def line(self) -> Line:
        """What a GFLOP takes on this device."""
        return line_of(self.backend)

    def pass_latency(self) -> PassLatency:
        """What passes and words take on this device, measured where no earlier run has."""
        return pass_latency_of(self.backend, self.rule, self.reference)

    def timed_points(self) -> TimedPoints | None:
        """The operating points that are best by the clock of this device; None where the policy has no candidates."""
        candidates = None if self.policy is None else self.policy.candidates
        return None if candidates is None else TimedPoints(candidates, self.pass_latency())
