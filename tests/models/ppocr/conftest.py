"""What the tests of PP-OCRv6 small need: its files, ONNX Runtime beside it, photos and words."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dld_spotter.models.ppocr.weights import FILES, missing

DATA = Path(__file__).parents[4] / "shared" / "data"

Run = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def original() -> Callable[[str], Run]:
    """ONNX Runtime on the files of the wheel: ``original(part)`` maps normalised BGR to what that part gives."""
    onnxruntime = pytest.importorskip("onnxruntime")
    if reason := missing():
        pytest.skip(reason)

    def load(part: str) -> Run:
        path = Path(find_spec("rapidocr").origin).parent / "models" / FILES[part]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda array: session.run(None, {"x": array.astype(np.float32)})[0]

    return load


@pytest.fixture
def installed() -> None:
    """Skip where the weights cannot be read."""
    if reason := missing():
        pytest.skip(reason)


def existing(*parts: str) -> Path:
    """A folder of the shared data; skips where it is absent."""
    folder = DATA.joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture
def photos() -> list[Path]:
    """Ten photos of ICDAR2015 for training, and ten for validation."""
    folder = existing("icdar2015", "train")
    validation = (folder / "validation.txt").read_text().split()[:10]
    return [folder / "images" / name for name in [*(f"img_{n}.jpg" for n in range(100, 110)), *validation]]


@pytest.fixture
def words() -> list[Path]:
    """Two hundred word crops of IIIT5K."""
    return sorted((existing("iiit5k") / "words").iterdir())[:200]
