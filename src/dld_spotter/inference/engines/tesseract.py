"""Tesseract, through its command."""

import csv
import os
import shutil
import subprocess

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError, SpotterError
from dld_spotter.inference.engines.engine import Engine, Line

COMMAND = "tesseract"
WORD_LEVEL = "5"
"""Level of the rows of its table that hold a word; the others are pages, blocks, paragraphs and lines."""


class Tesseract(Engine):
    """The command, started once per image; it takes images at any size and resizes none.

    It returns words, so that nothing is cut. Starting the command is part of the seconds: it is how the engine is used.

    Args:
        language: of the text, as in ``tesseract -l``; several are joined by ``+``.
        page_segmentation: as in ``tesseract --psm``; 11 looks for sparse text in no particular order, as in photos.
        min_score: words read with less confidence are dropped; most of what the engine reads into a photo's texture.
        threads: how many it may use; None for as many as PyTorch uses for a spotter.

    Raises:
        ConfigError: the command or the language is not installed, or there is no such page segmentation.
    """

    name = "tesseract"

    def __init__(
        self, language: str = "eng", page_segmentation: int = 11, min_score: float = 0.5, threads: int | None = None
    ) -> None:
        super().__init__(threads)
        known = _run("--list-langs").split()
        if absent := next((name for name in language.split("+") if name not in known), None):
            raise ConfigError(
                f"engine.language={language}: tesseract has no {absent}; install it (apt-get install tesseract-ocr-{absent})"
            )
        if page_segmentation not in range(3, 14):
            raise ConfigError(f"engine.page_segmentation={page_segmentation} must be 3..13 (tesseract --help-psm); 11 is usual")
        self.options = ("-l", language, "--psm", str(page_segmentation))
        self.min_score = min_score

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        if shutil.which(COMMAND):
            return None
        return "the command tesseract is not installed; apt-get install tesseract-ocr, or see https://tesseract-ocr.github.io"

    def settings(self) -> dict[str, str | int | float | bool]:
        """See :meth:`Engine.settings`."""
        language, page_segmentation = self.options[1::2]
        return {"language": language, "page_segmentation": int(page_segmentation), "min_score": self.min_score}

    def version(self) -> str:
        """See :meth:`Engine.version`."""
        return _run("--version").split()[1]

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`."""
        _, encoded = cv2.imencode(".ppm", image[..., ::-1])
        table = _run("stdin", "stdout", *self.options, "tsv", data=encoded.tobytes(), threads=self.threads)
        rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        return [_line(row) for row in rows if row["level"] == WORD_LEVEL and row["text"].strip()]


def _line(row: dict[str, str]) -> Line:
    left, top, width, height = (float(row[key]) for key in ("left", "top", "width", "height"))
    right, bottom = left + width, top + height
    polygon = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Line(polygon, row["text"].strip(), float(row["conf"]) / 100)


def _run(*arguments: str, data: bytes = b"", threads: int = 1) -> str:
    """Run the command; returns what it prints.

    Raises:
        SpotterError: it failed.
    """
    environment = os.environ | {"OMP_THREAD_LIMIT": str(threads)}
    ended = subprocess.run([COMMAND, *arguments], input=data, capture_output=True, env=environment)
    if ended.returncode:
        reason = ended.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise SpotterError(f"{COMMAND} {' '.join(arguments)} failed ({reason}); try it by hand on the same image")
    return ended.stdout.decode("utf-8")
