"""SynthText in the Wild: 858,750 rendered images."""

from array import array
from functools import lru_cache
from pathlib import Path

import numpy as np

from dld_spotter.core.errors import DataError
from dld_spotter.data.dataset import existing_folder
from dld_spotter.data.readers.fields import within_reach
from dld_spotter.data.readers.indexed import ImagePaths, IndexedDataset, Strings, WordTable
from dld_spotter.data.readers.mat import read_mat, text_of

FILE = "gt.mat"


class SynthText(IndexedDataset):
    """Words as quadrilaterals from ``gt.mat`` (https://www.robots.ox.ac.uk/~vgg/data/scenetext): imnames, wordBB and txt.

    Reading the file takes a while at every start; ``check_data export=FILE`` once, and ``data=jsonl`` from then on, is faster.

    Args:
        root: holds ``gt.mat`` and the folders of images, ``1/`` to ``200/``.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(self, root: str | Path | None, strict: bool = False) -> None:
        folder = existing_folder(root)
        file = folder / FILE
        if not file.is_file():
            raise DataError(f"{file} does not exist; point data.root to the folder that holds {FILE} and the folders of images")
        table = _read(file, file.stat().st_mtime_ns)
        super().__init__(table, ImagePaths.locate(table.images, [folder], file), file, strict)


@lru_cache(maxsize=2)
def _read(path: Path, mtime: int) -> WordTable:
    """Read ``gt.mat``, one variable after the other, since each takes much memory until it is packed."""
    images = Strings(text_of(name) for name in read_mat(path, "imnames").flat)
    words, ends = Strings(), array("q", [0])
    for lines in read_mat(path, "txt").flat:
        words.extend(" ".join(map(str, np.ravel(lines))).split())
        ends.append(len(words))
    boxes = read_mat(path, "wordBB").ravel()
    if not len(images) == len(ends) - 1 == len(boxes):
        raise DataError(f"{path} holds {len(images)} imnames, {len(ends) - 1} txt and {len(boxes)} wordBB; restore the file")
    table = WordTable()
    for place, image in enumerate(images):
        texts = words.between(ends[place], ends[place + 1])
        quads = _quads(boxes[place])
        boxes[place] = None
        if quads is not None and len(quads) == len(texts):
            table.add(image, quads, texts, bytes(len(texts)))
            continue
        found = "other shapes" if quads is None else f"{len(quads)} boxes"
        error = DataError(f"{path}, image {image}: expected a box for each of {len(texts)} words, found {found}; leave it out")
        table.add_damaged(image, error)
    return table


def _quads(box: np.ndarray) -> np.ndarray | None:
    """Bring ``(2, 4, N)``, or ``(2, 4)`` where there is one word, to ``(N, 4, 2)``; None if it is neither, or out of reach."""
    values = np.asarray(box)
    if values.shape[:2] != (2, 4) or values.ndim > 3 or not within_reach(values):
        return None
    return values.reshape(2, 4, -1).transpose(2, 1, 0)
