"""A checkpoint of a very small, untrained student with a selector, which finds words because its thresholds are low."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import torch

from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.inference.checkpoint import FORMAT, save_checkpoint
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.small import FINDS, SCALES, SPOTTER, THUMBNAIL, make_spotter

GAMMAS = (0.05, 0.1, 0.3)
_CHANNELS, _HIDDEN = [4, 4, 4, 4], 8
_MODEL = {
    "student": SPOTTER | {"postprocess": {"_target_": "dld_spotter.models.detector.TextMapDecoder"} | FINDS},
    "selector": {
        "_target_": "dld_spotter.selection.gumbel.GumbelSelector",
        "scales": list(SCALES),
        "gamma": 0.1,
        "factors": [0.5, 1.0, 3.0],
        "channels": _CHANNELS,
        "hidden": _HIDDEN,
    },
}

POINTS = OperatingPoints((0.3, 0.5, 1.0), (0.0, 4.0, inf), (0.0, -0.2, -0.3), (0.2, 0.4, 1.0), 9)
_LITTLE, _MUCH = ((1.0,) * 5,) * 4, ((9.0,) * 5,) * 4
RULE = SecondPassRule(threshold=0.05, gains=Gains({0.3: {1.0: _LITTLE}, 0.5: {1.0: _MUCH}}))
"""Reads again at full resolution, more of it after 0.5."""


def make_checkpoint(
    path: Path,
    selector: bool = True,
    full_resolution_crops: bool = False,
    operating_points: bool = False,
    levels: Sequence[float] = (),
) -> Path:
    """Write the checkpoint; without ``selector`` it holds the student alone, with ``operating_points`` also ``POINTS``."""
    parts = {"student": make_spotter(1, full_resolution_crops=full_resolution_crops)}
    decoder = _MODEL["student"]["postprocess"] | {"levels": list(levels)}
    model = _MODEL | {"student": _MODEL["student"] | {"full_resolution_crops": full_resolution_crops, "postprocess": decoder}}
    if selector:
        with torch.random.fork_rng():
            torch.manual_seed(3)  # one that takes full resolution at the lowest gamma
            parts["selector"] = GumbelSelector(SCALES, 0.1, [0.5, 1.0, 3.0], _CHANNELS, _HIDDEN)
    facts = {"format": FORMAT, "model": model, "scales": list(SCALES), "thumbnail": THUMBNAIL}
    if operating_points:
        facts |= {"operating_points": POINTS.to_dict(), "second_pass": RULE.to_dict()}
    save_checkpoint(path, parts, facts)
    return path
