"""The scenes that published figures were measured on stay as they are, pixel by pixel."""

import zlib
from functools import cache

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import Sample
from dld_spotter.data.synthetic import SyntheticScenes

SCENES = {
    ("validation", 0): (329786846, 3427630335, 1133923066),
    ("validation", 1): (1396355946, 1018176353, 4030863642),
    ("validation", 2): (1038003999, 724549944, 913105655),
    ("validation", 7): (2822374447, 1141882117, 558758514),
    ("test", 0): (3852565879, 819076975, 2401966904),
    ("test", 1): (2540530422, 91481776, 1764775035),
    ("test", 2): (1193049159, 1878811932, 4284201793),
    ("test", 7): (856572551, 4002613559, 2608007726),
}
"""Part, index -> CRC-32 of the words, of their polygons in eighths of a pixel, and of the pixels."""


@cache
def part(name: str) -> SyntheticScenes:
    """The data set that every option of rendered data is validated or tested on."""
    config = OmegaConf.create({"data": OmegaConf.load(ROOT / "conf" / "loading" / "rendered.yaml")})
    OmegaConf.resolve(config.data[name])
    return instantiate(config.data[name], _convert_="all")


def checksums(sample: Sample) -> tuple[int, int, int]:
    words = " ".join(sample.instances.transcriptions) + str(sample.instances.ignore.tolist())
    corners = np.rint(8 * np.concatenate([np.zeros((0, 2)), *sample.instances.polygons])).astype(np.int32)
    return zlib.crc32(words.encode()), zlib.crc32(corners.tobytes()), zlib.crc32(sample.image.tobytes())


@pytest.mark.parametrize(("place", "expected"), SCENES.items(), ids=str)
def test_scenes_of_published_figures_do_not_change(place: tuple[str, int], expected: tuple[int, int, int]):
    name, index = place
    assert checksums(part(name)[index]) == expected
