"""The adapters of docs/engines.md, against stand-ins of what docTR and PaddleOCR return."""

import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from dld_spotter.inference.engines import ppocr
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.predictor import Predictor
from tests.data.samples import box

PAGE = Path(__file__).parents[3] / "docs" / "engines.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
MOST_LINES = 40
IMAGE = np.full((70, 130, 3), (10, 20, 30), np.uint8)


def adapter(name: str) -> tuple[type[Engine], str]:
    """The class of a block of the page, and its source."""
    (source,) = (block for block in BLOCK.findall(PAGE.read_text("utf-8")) if f"class {name}(" in block)
    namespace: dict = {"__name__": "documented"}
    exec(source, namespace)
    return namespace[name], source


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Make a module importable, with the version 1.2."""

    def install(name: str, **content: object) -> None:
        for part in (name.partition(".")[0], name):
            module = ModuleType(part)
            module.__spec__ = SimpleNamespace(name=part)
            monkeypatch.setitem(sys.modules, part, module)
        vars(sys.modules[name]).update(content)
        monkeypatch.setattr(metadata, "version", lambda _: "1.2")

    return install


class DocTRModel:
    """What ``doctr.models.ocr_predictor`` gives, as far as the adapter needs it."""

    def __init__(self):
        self.det_predictor = SimpleNamespace(pre_processor=SimpleNamespace(resize=SimpleNamespace(size=(1024, 1024))))
        self.seen = []

    def __call__(self, pages):
        self.seen += [(page, self.det_predictor.pre_processor.resize.size) for page in pages]
        cat = SimpleNamespace(value="cat", confidence=0.9, geometry=((0.1, 0.2), (0.5, 0.4)))
        dog = SimpleNamespace(value="dog", confidence=0.3, geometry=((0.6, 0.2), (0.8, 0.4)))
        lines = [SimpleNamespace(words=[cat]), SimpleNamespace(words=[dog])]
        return SimpleNamespace(pages=[SimpleNamespace(blocks=[SimpleNamespace(lines=lines)])])


def test_doctr(installed):
    model = DocTRModel()
    installed("doctr.models", ocr_predictor=lambda pretrained: model)
    engine = adapter("DocTR")[0]()
    assert engine.fingerprint() == "doctr 1.2 (min_score=0.5)"
    cat, dog = engine.read(IMAGE)
    assert (cat.text, cat.score, dog.text) == ("cat", 0.9, "dog")
    np.testing.assert_allclose(cat.polygon, [[13, 14], [65, 14], [65, 28], [13, 28]])
    ((page, size),) = model.seen
    assert (page.shape, size) == ((70, 130, 3), (96, 160))
    reading = Predictor(engine).read(IMAGE, scale=0.5)
    assert [word.text for word in reading.words] == ["cat"]  # the other is below the threshold
    np.testing.assert_allclose(reading.words[0].polygon, cat.polygon, atol=0.1)


def test_paddleocr(installed):
    made, seen = [], []

    class Pipeline:
        def __init__(self, **options):
            made.append(options)

        def predict(self, image):
            seen.append(image)
            polygons = [box(10, 20, 70, 16).astype(np.int16), box(100, 5, 10, 60).astype(np.int16)]
            return [{"rec_polys": polygons, "rec_texts": ["cat dog", "down"], "rec_scores": [0.9, 0.8], "dt_polys": polygons}]

    installed("paddleocr", PaddleOCR=Pipeline)
    engine = adapter("PaddleOCR")[0]()
    assert engine.fingerprint() == "paddleocr 1.2 (language=en, min_score=0.5)"
    assert made[0]["text_det_limit_type"] == "min"
    line, down = engine.read(IMAGE)
    assert (line.text, line.score) == ("cat dog", 0.9)
    np.testing.assert_array_equal(line.polygon, box(10, 20, 70, 16))
    np.testing.assert_array_equal(down.polygon, ppocr.along_text(box(100, 5, 10, 60)))
    assert seen[0].shape == (96, 160, 3)
    assert seen[0][0, 0].tolist() == [30, 20, 10]  # BGR
    assert [word.text for word in Predictor(engine).read(IMAGE, scale=1.0).words] == ["cat", "dog", "down"]


@pytest.mark.parametrize("name", ["DocTR", "PaddleOCR"])
def test_an_adapter_is_short_and_says_what_is_missing(name):
    kind, source = adapter(name)
    assert len(source.splitlines()) <= MOST_LINES
    assert kind.missing() is None or "pip install" in kind.missing()
