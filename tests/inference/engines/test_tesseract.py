"""Tesseract itself, where it is installed."""

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError, SpotterError
from dld_spotter.inference.engines import tesseract
from dld_spotter.inference.engines.tesseract import Tesseract
from dld_spotter.inference.inspection import inspect
from dld_spotter.inference.predictor import Predictor
from tests.inference.engines.drawn import written, written_spans

TABLE = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n" + "\n".join(
    [
        "4\t1\t1\t1\t1\t0\t5\t6\t90\t10\t-1\t",
        '5\t1\t1\t1\t1\t1\t5\t6\t30\t10\t91.5\t"NULL',
        "5\t1\t1\t1\t1\t2\t45\t6\t50\t10\t40.0\tfaint",
        "5\t1\t1\t1\t1\t3\t45\t6\t50\t10\t95.0\t ",
    ]
)


@pytest.fixture(scope="module")
def installed():
    if reason := Tesseract.missing():
        pytest.skip(reason)


@pytest.mark.usefixtures("installed")
def test_words_are_read_where_they_are():
    words = Predictor(Tesseract(threads=1)).read(written()).words
    assert [word.text for word in words] == ["HELLO", "WORLD"]
    np.testing.assert_allclose([word.polygon[:2, 0] for word in words], written_spans(), atol=4)
    assert all(0.5 < word.score <= 1 for word in words)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", [(1, 1), (2, 40), (60, 80)])
def test_an_image_without_text_has_no_words(size):
    assert Tesseract(threads=1).read(np.full((*size, 3), 200, np.uint8)) == []


@pytest.mark.usefixtures("installed")
def test_options_that_it_lacks_are_refused():
    with pytest.raises(ConfigError, match=r"engine\.language=eng\+xyz: tesseract has no xyz; install it"):
        Tesseract(language="eng+xyz")
    with pytest.raises(ConfigError, match=r"engine\.page_segmentation=99"):
        Tesseract(page_segmentation=99)


@pytest.mark.usefixtures("installed")
def test_a_failure_is_told():
    with pytest.raises(SpotterError, match="tesseract stdin stdout failed"):
        tesseract._run("stdin", "stdout", data=b"no image")


def test_of_its_table_the_words_are_kept_that_are_sure(monkeypatch):
    image = np.zeros((20, 100, 3), np.uint8)
    monkeypatch.setattr(tesseract.shutil, "which", lambda command: command)
    monkeypatch.setattr(tesseract, "_run", lambda *arguments, **rest: "eng\nosd" if "--list-langs" in arguments else TABLE)
    (word,) = Predictor(Tesseract()).read(image, scale=1.0).words
    assert (word.text, word.score) == ('"NULL', 0.915)
    assert word.polygon.tolist() == [[5, 6], [35, 6], [35, 16], [5, 16]]
    assert len(Predictor(Tesseract(min_score=0.0)).read(image, scale=1.0).words) == 2
    assert len(inspect(Predictor(Tesseract()), image, 1.0).regions) == 2


def test_a_missing_command_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(tesseract.shutil, "which", lambda command: None)
    with pytest.raises(ConfigError, match="engine=tesseract cannot run here: the command tesseract is not installed; apt-get"):
        Tesseract()
