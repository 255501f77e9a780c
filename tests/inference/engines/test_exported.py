"""A spotter that was exported, as an engine."""

from pathlib import Path

import numpy as np
import pytest

from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.engines.exported import Exported
from dld_spotter.inference.loading import load
from dld_spotter.inference.predictor import Predictor
from tests.data.samples import box, sample
from tests.exports import small_export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    return small_export(tmp_path_factory)[1]


def test_it_reads_what_the_export_reads(folder):
    image = sample(96, 160, [box(10, 20, 70, 16)], ["cat"]).image
    expected = load(folder, ReferenceSize()).read(image, scale=1.0).words
    found = Predictor(Exported(folder, threads=1), reference=ReferenceSize()).read(image, scale=1.0).words
    assert expected
    assert [word.text for word in found] == [word.text for word in expected]
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.polygon.min(0), other.polygon.min(0), atol=0.1)
        assert own.score == pytest.approx(other.score)


def test_two_exports_are_two_engines(folder):
    first = Exported(folder, threads=1)
    assert first.fingerprint() == Exported(folder, threads=2).fingerprint()
    assert first.version() in first.fingerprint()


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"needs engine\.folder=FOLDER"):
        Exported(None)
    with pytest.raises(CheckpointError):
        Exported(tmp_path)
