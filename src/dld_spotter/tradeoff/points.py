"""Points of the trade-off and the file that carries them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import DataError, SpotterError
from dld_spotter.core.records import Record
from dld_spotter.tradeoff.allocation import oracle, random_mix, static
from dld_spotter.tradeoff.measures import Measures, estimate
from dld_spotter.tradeoff.outcomes import Outcomes, spend
from dld_spotter.tradeoff.runs import write_at_once

Method = Literal["static", "dynamic", "random_mix", "oracle"]


class TradeOffRecord(Record):
    """A record of ``tradeoff.json``; other tools may write more into it."""

    remedy: ClassVar[str] = "write it with TradeOff.write"
    refusal: ClassVar[type[SpotterError]] = DataError
    closed: ClassVar[bool] = False


@dataclass(frozen=True)
class Point(TradeOffRecord):
    """One way to spend and what it brought; costs are means per image, the selector included.

    Args:
        method: how scales were chosen.
        model: which weights read, such as teacher, student or control.
        scale: of a static point.
        gamma: cost weight of a dynamic point.
        budget: mean relative cost that was asked for.
        hmean: with ``precision`` and ``recall`` from counts summed over images.
        relative_cost: 1.0 is the reference resolution.
        gflops: GFLOPs per image.
        seconds: wall time per image.
        hmean_interval: 95 % bootstrap over images.
    """

    method: Method
    model: str
    hmean: float
    precision: float
    recall: float
    relative_cost: float
    gflops: float | None = None
    seconds: float | None = None
    scale: float | None = None
    gamma: float | None = None
    budget: float | None = None
    hmean_interval: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        method: Method,
        model: str,
        measures: Measures,
        resamples: Floats,
        *,
        scale: float | None = None,
        gamma: float | None = None,
        budget: float | None = None,
    ) -> Self:
        """Summarise a method's measures of each image ``(N,)``, with what it was asked for."""
        mean = measures.mean()
        found = estimate(lambda means: means.hmean, measures, resamples=resamples)
        return cls(
            method=method,
            model=model,
            hmean=found.value,
            precision=float(mean.precision),
            recall=float(mean.recall),
            relative_cost=float(mean.relative_cost),
            gflops=_known(mean.gflops),
            seconds=_known(mean.seconds),
            scale=scale,
            gamma=gamma,
            budget=budget,
            hmean_interval=(found.low, found.high),
        )


def static_points(outcomes: Outcomes, model: str, resamples: Floats) -> list[Point]:
    """One point per scale of the table."""
    return [
        Point.of("static", model, spend(outcomes, static(outcomes, scale)), resamples, scale=scale) for scale in outcomes.scales
    ]


def cost_grid(outcomes: Outcomes, number: int = 24) -> Floats:
    """Budgets for a smooth curve, even in the logarithm from the cheapest scale's mean cost to that of the most costly."""
    costs = outcomes.relative_cost.mean(0)
    return np.geomspace(costs.min(), costs.max(), number)


def mix_points(outcomes: Outcomes, model: str, budgets: Iterable[float], resamples: Floats) -> list[Point]:
    """The random policy at each mean relative cost."""
    return [
        Point.of("random_mix", model, spend(outcomes, random_mix(outcomes, budget)), resamples, budget=float(budget))
        for budget in budgets
    ]


def oracle_points(outcomes: Outcomes, model: str, budgets: Iterable[float], resamples: Floats) -> list[Point]:
    """The best scale per image, known afterwards, at each mean relative cost."""
    return [
        Point.of("oracle", model, spend(outcomes, oracle(outcomes, budget)), resamples, budget=float(budget))
        for budget in budgets
    ]


@dataclass(frozen=True)
class TradeOff(TradeOffRecord):
    """All points of one data set, as ``tradeoff.json`` carries them.

    Args:
        dataset: its name.
        protocol: rules of counting.
        task: detection, end_to_end or word_spotting.
        lexicon: its name, or none.
        images: how many.
        spotter: the model family.
        commit: version of the code, where it is known.
        points: in any order.
    """

    dataset: str
    protocol: str
    task: str
    lexicon: str
    images: int
    spotter: str
    commit: str | None
    points: tuple[Point, ...]

    def select(self, method: Method, model: str | None = None) -> list[Point]:
        """Points of one method, and of one model where it is named, by rising cost."""
        points = [point for point in self.points if point.method == method and model in (None, point.model)]
        return sorted(points, key=lambda point: point.relative_cost)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put the points of several runs on one data set together, equal ones once.

        Raises:
            DataError: there is no part, or two were scored differently.
        """
        if not parts:
            raise DataError("no trade-off to join; give at least one")
        for key in ("dataset", "protocol", "task", "lexicon", "images"):
            found = sorted({str(getattr(part, key)) for part in parts})
            if len(found) > 1:
                raise DataError(f"trade-offs with {key} {' and '.join(found)} cannot be joined; score them alike first")
        points = dict.fromkeys(point for part in parts for point in part.points)
        return replace(parts[0], points=tuple(points))

    def write(self, path: str | Path) -> None:
        """Write JSON; what does not apply is null."""
        write_at_once(Path(path), json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what :meth:`write` wrote; raises :class:`DataError` naming the file and the fault."""
        try:
            content = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read as JSON ({type(error).__name__}: {error}); {cls.remedy}") from error
        return cls.from_dict(content, str(path))


def _known(value: Floats) -> float | None:
    return float(value) if isfinite(value) else None
