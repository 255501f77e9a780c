"""What reading a photo means, whatever computes it. Needs no torch."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, prod
from pathlib import Path

import numpy as np
from PIL import Image

from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.controller import Calibration
from dld_spotter.budget.latency import Line, known_line, measure_line
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.requests import BudgetTracker, Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.memory import PIXELS, give_back
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.data.photos import ReferenceSize, scaled_size, to_array


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Args:
        words: the words, polygons in pixels of the original image.
        scale: the scale it was read at, at the first look; 1.0 is the reference resolution.
        gflops: GFLOP spent, the selector included.
        seconds: wall time from pixels to words.
        relative_cost: GFLOP over those of one look at scale 1.0 that reads each of these words once.
        width: of the original image, pixels.
        height: of the original image, pixels.
        second_look: pixels of the second view, over those of the reference; 0 after one look.
    """

    words: tuple[Word, ...]
    scale: float
    gflops: float
    seconds: float
    relative_cost: float
    width: int
    height: int
    second_look: float = 0.0


class PhotoReader(ABC):
    """Reads photos at the resolution that each needs.

    Attributes:
        reference: rule for the reference resolution.
        scales: what its selector chooses among; empty where it has none.
        ladder: its steps, where it climbs one.
        has_selector: whether it can choose; else it reads at 1.0 unless a scale is given.
        selector_gflops: GFLOP of one choice.
        calibration: what the selector's cost weights spend; None where nobody has looked, and budgets cannot be asked for.
        price: of a second look at every image; infinite for one look.
    """

    reference: ReferenceSize
    scales: Sequence[float] = ()
    ladder: OperatingPoints | None = None
    has_selector: bool
    selector_gflops: float
    calibration: Calibration | None = None
    price: float = inf
    _pixels = 0
    """Read since memory was given back."""

    def read(
        self,
        image: str | Path | Image.Image | np.ndarray,
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
            gamma: cost weight to decide with, one of the selector's; None takes the middle one.
            scale: read at this scale, above 0 and at most 1, without asking the selector.
            budget: mean relative cost that this and all other images read with the same budget may spend.
            budget_gflops: the same in GFLOP.
            budget_ms: the same in milliseconds on this device, which are measured once.
            max_cost: relative cost that no image may exceed: it is read at a lower scale than would be chosen, less of it is
                looked at again, and if not all that was found can be read, then what was found most surely, large words before
                small ones.

        Raises:
            DataError: the file is no image.
            ConfigError: gamma is none of the selector's, a scale, a budget or max_cost is out of range, or several exclude
                each other.
        """
        amounts = {"budget_gflops": budget_gflops, "budget_ms": budget_ms, "max_cost": max_cost}
        return self.read_all([image], gamma, scale, budget, **amounts)[0]

    def read_all(
        self,
        images: Sequence[str | Path | Image.Image | np.ndarray],
        gamma: float | None = None,
        scale: float | None = None,
        budget: float | None = None,
        *,
        budget_gflops: float | None = None,
        budget_ms: float | None = None,
        max_cost: float | None = None,
    ) -> list[Reading]:
        """Read several images, those of one size and scale together; arguments and errors as of :meth:`read`.

        Scales are chosen for all of them before the first is read: a budget is kept from one call to the next.

        Returns:
            one reading per image, in their order; seconds are their mean.
        """
        request = Request(gamma, scale, budget, budget_gflops, budget_ms, max_cost)
        self.check(request)
        spending = self.spending(request)
        pixels = [to_array(image) for image in images]
        start = time.perf_counter()
        references = [self.resize(image, *self.reference(*image.shape[:2])) for image in pixels]
        steps = [self._step_for(reference, request, spending) for reference in references]
        alike: dict[tuple[float, tuple[int, ...]], list[int]] = {}
        for place, (reference, step) in enumerate(zip(references, steps, strict=True)):
            alike.setdefault((step.scale, reference.shape), []).append(place)
        found: dict[int, SpottingResult] = {}
        for (size, _), places in alike.items():
            together, prices = [references[place] for place in places], [steps[place].price for place in places]
            found |= zip(places, self.spot(together, size, prices, self._limit(together[0].shape[:2], request)), strict=True)
        seconds = (time.perf_counter() - start) / max(len(pixels), 1)
        choosing = self.selector_gflops if self._chooses(request) else 0.0
        readings = []
        for place, (image, reference, step) in enumerate(zip(pixels, references, steps, strict=True)):
            readings.append(self._reading(image, reference, step.scale, found[place], choosing, seconds))
            if spending is not None:
                spending.record(readings[-1].relative_cost, readings[-1].gflops, seconds)
        self._tidy(readings, references)
        return readings

    def _step_for(self, reference: np.ndarray, request: Request, spending: BudgetTracker | None) -> OperatingPoint:
        """The scale that was asked for, or what the selector chooses; less where that is too dear."""
        limit = self._limit(reference.shape[:2], request)
        if not self._chooses(request):
            step = self._given(request)
            return limit.lower(step, ()) if limit else step
        weight = request.gamma if spending is None else spending.gamma(self.gflops(*reference.shape[:2], 0))
        step = OperatingPoint(self.choose(reference, weight), self.price_for(weight))
        return limit.lower(step, self.scales, self.ladder) if limit else step

    def _chooses(self, request: Request) -> bool:
        return request.scale is None and self.has_selector

    def _given(self, request: Request) -> OperatingPoint:
        return OperatingPoint(1.0 if request.scale is None else float(request.scale), self.price)

    def _limit(self, size: tuple[int, int], request: Request) -> CostCap | None:
        """What reading an image may cost at most."""
        if request.max_cost is None:
            return None
        return CostCap(request.max_cost, size, self.gflops, self.selector_gflops if self._chooses(request) else 0.0)

    def _reading(
        self, image: np.ndarray, reference: np.ndarray, scale: float, look: SpottingResult, choosing: float, seconds: float
    ) -> Reading:
        """Bring words in pixels of the reference back to the image, and count what they cost beside ``choosing`` GFLOP."""
        (height, width), size = image.shape[:2], reference.shape[:2]
        grow = np.array([width / size[1], height / size[0]], np.float32)
        spent = choosing + look.spent(self.gflops)
        words = tuple(Word(word.polygon * grow, word.text, word.score) for word in look.words)
        again = sum(prod(view) for view in look.sizes[1:]) / prod(size)
        return Reading(words, scale, spent, seconds, spent / look.full(size, self.gflops), width, height, again)

    def _tidy(self, readings: Sequence[Reading], references: Sequence[np.ndarray]) -> None:
        """Give memory back after many pixels."""
        for reading, reference in zip(readings, references, strict=True):
            self._pixels += prod(scaled_size(*reference.shape[:2], reading.scale))
        if self._pixels >= PIXELS:
            give_back()
            self._pixels = 0

    def check_limit(self, image: np.ndarray, request: Request) -> None:
        """Raise ConfigError if an image ``(H, W, 3)`` costs more than ``request`` allows even at the lowest scale."""
        if limit := self._limit(self.reference(*image.shape[:2]), request):
            free = self._chooses(request)
            limit.lower(OperatingPoint(max(self.scales)) if free else self._given(request), self.scales if free else ())

    def check(self, request: Request) -> None:
        """Raise ConfigError if images cannot be read as requested."""
        for name, value in request.given.items():
            if name == "scale":
                if not 0 < value <= 1:
                    raise ConfigError(f"scale={value:g} must be above 0 and at most 1, the reference resolution")
            elif not self.has_selector:
                raise ConfigError(f"{name}={value:g} needs a selector, which this checkpoint lacks; give another, or a scale")
            elif name == "gamma":
                self.check_gamma(value)
            else:
                self.spending(request)

    def spending(self, request: Request) -> BudgetTracker | None:
        """The account of a budget, the same one whenever this reader is asked for it; None where no budget is requested.

        Raises:
            ConfigError: the budget cannot be met, or nobody has looked what the selector spends.
        """
        if request.spending is None:
            return None
        name, amount = request.spending
        if self.calibration is None:
            raise ConfigError(
                f"{name}={amount:g} needs a calibrated selector, which this checkpoint lacks; give gamma= or scale="
            )
        if (name, amount) not in self._accounts:
            line = self.line() if name == "budget_ms" else None
            self._accounts[name, amount] = BudgetTracker(name, amount, self.calibration, line)
        return self._accounts[name, amount]

    @cached_property
    def _accounts(self) -> dict[tuple[str, float], BudgetTracker]:
        """Budget -> its account."""
        return {}

    def line(self) -> Line:
        """What a GFLOP takes on this device, measured where no earlier run has."""
        return known_line(*self.identity(), lambda: measure_line(self._read_blank, lambda *size: self.gflops(*size, 0)))

    def _read_blank(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        if self.has_selector:
            self.choose(blank)
        self.spot([blank], 1.0, [inf])

    @abstractmethod
    def identity(self) -> tuple[str, str, int]:
        """Fingerprint of the weights, name of the device, number of threads: what seconds depend on."""

    @abstractmethod
    def check_gamma(self, gamma: float) -> None:
        """Raise ConfigError if the selector cannot decide with this cost weight."""

    @abstractmethod
    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """Resize ``(H, W, 3)`` uint8, bilinear and anti-aliased."""

    @abstractmethod
    def price_for(self, gamma: float | None = None) -> float:
        """Price of the second look: that of the step where there is a ladder, else the one of every image."""

    @abstractmethod
    def choose(self, reference: np.ndarray, gamma: float | None = None) -> float:
        """Scale that the selector chooses for a reference image ``(H, W, 3)``."""

    @abstractmethod
    def spot(
        self, references: Sequence[np.ndarray], scale: float, prices: Sequence[float], limit: CostCap | None = None
    ) -> list[SpottingResult]:
        """Read reference images ``(H, W, 3)`` of one size at a scale, and again what is worth a price; within a limit."""

    @abstractmethod
    def gflops(self, height: int, width: int, words: int) -> float:
        """GFLOP of reading an image of this size with so many words."""
