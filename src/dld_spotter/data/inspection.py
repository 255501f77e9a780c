"""What is in a data set, and what is wrong with it, image by image."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from PIL import Image
from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.core.files import save_picture
from dld_spotter.data.dataset import FileDataset, TextDataset
from dld_spotter.data.mixture import WeightedMixture
from dld_spotter.data.photos import open_image
from dld_spotter.data.readers.fields import signed_area
from dld_spotter.data.splits import NamedPart
from dld_spotter.data.transforms import TransformedDataset

OUTSIDE = 2.0
"""Pixels by which annotators commonly miss the border of an image."""
LEAST_AREA = 1.0
"""Square pixels; a polygon of less covers nothing that could be read."""
ORIENTATION = 0x0112
"""EXIF tag of how an image is to be turned."""

PROBLEMS = {
    "damaged": "cannot be read, and is skipped by training",
    "without image": "words are annotated for an image that is not there",
    "blank": "every pixel has the same colour",
    "duplicate image": "has the pixels of another one",
    "duplicate name": "is called as another one, so that one of their results will be lost",
    "outside the image": "a polygon crosses the border by more than 2 pixels",
    "wholly outside": "a polygon lies beside the image",
    "self-intersecting": "the outline of a polygon crosses itself",
    "zero area": "a polygon covers less than one pixel",
    "counter-clockwise": "a polygon does not run clockwise from the text's top left, so its text is read upside down",
    "repeated word": "two polygons are the same",
    "no text": "a word that counts has no text; mark it as ignored if it cannot be read",
    "coordinates in the text": "a text begins with numbers, as if its polygon had more than the four corners that are read",
    "wrong encoding": "a text looks as if it had been decoded in the wrong encoding",
    "turned by EXIF": "polygons must refer to the image as it is shown, which is not as it is stored",
}
"""Kind of problem -> what it means, in the order in which they are told."""


_COORDINATES = re.compile(r"(\s*-?\d+(\.\d+)?\s*[,;]){4}")


@dataclass(frozen=True)
class Problem:
    """Something wrong: its kind (of ``PROBLEMS``) and one sentence with file and word."""

    kind: str
    message: str


@dataclass(frozen=True)
class Finding:
    """What was found of one image.

    Args:
        part: train, validation or test.
        name: of the image; of a damaged one the name its data set gives it.
        image: path of the file; "" where the image is rendered or damaged.
        size: height and width in pixels; None if it is damaged.
        digest: of the pixels.
        words: the words; None if the image is damaged.
        problems: what is wrong with the image by itself.
    """

    part: str
    name: str
    image: str = ""
    size: tuple[int, int] | None = None
    digest: bytes = b""
    words: TextInstances | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Source:
    """Images as their files are, before any transform; ``indices`` into ``dataset``."""

    dataset: TextDataset
    indices: Sequence[int]

    def load(self, place: int) -> Sample:
        index = self.indices[place]
        return self.dataset.load(index) if isinstance(self.dataset, FileDataset) else self.dataset[index]

    def path(self, place: int) -> Path | None:
        images = getattr(self.dataset, "images", None)
        return images[self.indices[place]] if images else None


class Inspection(Dataset[Finding]):
    """Looks at every image of a data set once; an index leads to one :class:`Finding`, so that a loader can share the work.

    A damaged entry is a finding too, unless its data set is strict: then it raises :class:`~dld_spotter.core.errors.DataError`.
    ``problems`` holds what is wrong beside the images: annotations that belong to none.

    Args:
        parts: train, validation, test -> the data set, whose transforms are left out.
        limit: at most so many images of each part, and of each member of a mixture, evenly spread; None for all.
        keep_rendered: folder for the images that are not files yet; None to keep none.
    """

    def __init__(self, parts: Mapping[str, TextDataset], limit: int | None = None, keep_rendered: Path | None = None) -> None:
        self.keep_rendered = keep_rendered
        sources = [(part, source) for part, dataset in parts.items() for source in _sources(dataset)]
        orphans = (orphan for _, source in sources for orphan in getattr(source.dataset, "orphans", ()))
        self.problems = [Problem("without image", orphan) for orphan in dict.fromkeys(orphans)]  # parts may share a folder
        self.places = [
            (part, source, place)
            for part, source in sources
            for place in _spread(len(source.indices), limit or len(source.indices))
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Finding:
        part, source, place = self.places[number]
        path = source.path(place)
        try:
            sample = self.sample(number)
        except DataError as error:
            if getattr(source.dataset, "strict", False):
                raise
            return Finding(part, path.stem if path else str(place), problems=(Problem("damaged", str(error)),))
        where = str(path or sample.name)
        if path is None and self.keep_rendered is not None:
            self.keep_rendered.mkdir(parents=True, exist_ok=True)
            path = self.keep_rendered / f"{sample.name}.png"
            save_picture(Image.fromarray(sample.image), path, compress_level=1)
        problems = [*image_problems(sample.image, path, where), *word_problems(sample, where)]
        digest = hashlib.blake2b(np.ascontiguousarray(sample.image), digest_size=12).digest()
        size = sample.image.shape[:2]
        return Finding(part, sample.name, str(path or ""), size, digest, sample.instances, tuple(problems))

    def sample(self, number: int) -> Sample:
        """Read the image behind a finding; raises :class:`~dld_spotter.core.errors.DataError` if it is damaged."""
        _, source, place = self.places[number]
        return source.load(place)


def _sources(dataset: TextDataset) -> list[_Source]:
    """Find what lies behind transforms, parts and mixtures."""
    if isinstance(dataset, WeightedMixture):
        return [source for member in dataset.datasets.values() for source in _sources(member)]
    if isinstance(dataset, TransformedDataset):
        return _sources(dataset.dataset)
    if isinstance(dataset, NamedPart):
        return [_Source(dataset.dataset, dataset.indices)]
    return [_Source(dataset, range(len(dataset)))]


def image_problems(image: np.ndarray, path: Path | None, where: str) -> list[Problem]:
    """Find what is wrong with the pixels ``(H, W, 3)`` of an image, or worth knowing of its file."""
    problems = []
    if (image == image[:1, :1]).all():
        problems.append(Problem("blank", f"{where}: all {image.shape[1]}x{image.shape[0]} pixels are {image[0, 0].tolist()}"))
    if path is not None and (turn := _orientation(path)) > 1:
        problems.append(Problem("turned by EXIF", f"{where}: EXIF orientation {turn}"))
    return problems


def word_problems(sample: Sample, where: str) -> list[Problem]:
    """Find what is wrong with the words of an image, one problem a kind and word."""
    problems, seen = [], set()
    words = sample.instances
    for number, (polygon, text, ignore) in enumerate(zip(words.polygons, words.transcriptions, words.ignore, strict=True), 1):
        kinds = _polygon_kinds(polygon, sample.image.shape[:2])
        key = polygon.tobytes()
        if key in seen:
            kinds.append("repeated word")
        seen.add(key)
        if not text and not ignore:
            kinds.append("no text")
        if _COORDINATES.match(text):
            kinds.append("coordinates in the text")
        if looks_misread(text):
            kinds.append("wrong encoding")
        corners = np.round(polygon, 1).tolist()
        problems += [Problem(kind, f"{where}, word {number} {text!r}: {corners}") for kind in kinds]
    return problems


def _polygon_kinds(polygon: np.ndarray, size: tuple[int, int]) -> list[str]:
    kinds = []
    border = np.array(size[::-1])
    low, high = polygon.min(0), polygon.max(0)
    if (high <= 0).any() or (low >= border).any():
        kinds.append("wholly outside")
    elif (low < -OUTSIDE).any() or (high > border + OUTSIDE).any():
        kinds.append("outside the image")
    area = signed_area(polygon)
    if not shapely.is_valid(shapely.Polygon(polygon)) and _crosses(polygon):
        kinds.append("self-intersecting")
    elif abs(area) < LEAST_AREA:
        kinds.append("zero area")
    elif area < 0:
        kinds.append("counter-clockwise")
    return kinds


def _crosses(polygon: np.ndarray) -> bool:
    """Whether an outline crosses itself; corners that coincide, or lie on one line, are no crossing."""
    steps = np.roll(polygon, -1, axis=0) - polygon
    distinct = polygon[(steps != 0).any(1)]
    return len(distinct) > 3 and not shapely.is_simple(shapely.LinearRing(distinct)) and _spans_area(distinct)


def _spans_area(polygon: np.ndarray) -> bool:
    return shapely.MultiPoint(polygon).convex_hull.area >= LEAST_AREA


def looks_misread(text: str) -> bool:
    """Whether a text holds replacement or control characters, or UTF-8 that was read as Windows-1252.

    >>> looks_misread("cafÃ©"), looks_misread("caf\N{REPLACEMENT CHARACTER}"), looks_misread("café"), looks_misread("Ã")
    (True, True, False, False)
    """
    if any(char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cs", "Cn") for char in text):
        return True
    try:
        return not text.isascii() and text.encode("cp1252").decode("utf-8") != text
    except UnicodeError:
        return False


def _orientation(path: Path) -> int:
    with open_image(path) as file:
        return file.getexif().get(ORIENTATION, 1)


def _spread(length: int, count: int) -> list[int]:
    """Choose ``count`` of ``length`` places, evenly.

    >>> _spread(10, 3), _spread(2, 5)
    ([0, 3, 6], [0, 1])
    """
    count = min(length, count)
    return [place * length // count for place in range(count)]
