"""Small data sets on disk."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path, names: Iterable[str], height: int = 30, width: int = 40) -> None:
    """Write grey images by their paths below ``folder``."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((height, width, 3), 128, np.uint8)).save(folder / name)


def write_texts(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write text files by their paths below ``folder``."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
