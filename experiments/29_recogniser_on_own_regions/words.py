"""Words of photos with what lies around them, word crops and rendered words, the same for a seed and the step it begins at."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from tqdm import tqdm

from dld_spotter.core.batches import Sample, Word
from dld_spotter.core.charset import PRINTABLE_ASCII, Charset
from dld_spotter.core.geometry import polygon_to_boundaries
from dld_spotter.core.instances import TextInstances
from dld_spotter.data.dataset import read_image
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.resizing import resize
from dld_spotter.data.synthetic import Degradation, Occlusion, SceneLayout, SceneRenderer
from dld_spotter.data.views import make_view
from dld_spotter.metrics.matching import match_images
from dld_spotter.models.ppocr.widths import HEIGHT, crop_widths
from dld_spotter.models.roi import sample_pixels
from dld_spotter.models.spotter import Spotter

CHARSET = Charset(PRINTABLE_ASCII)
WITHOUT_CASE = ("svt_train",)
"""Sources whose truth is in capitals, whatever the photo shows."""
MARGIN = 0.06
"""Of a word's height that its crop reaches beyond it on average."""
TALLEST = 128
"""Words are kept no higher than this, pixels."""
AROUND = 0.8
"""Of a word's height that is kept of the photo around it."""
SHARES = {"photos": 0.45, "crops": 0.35, "rendered": 0.2}
"""How often a word comes from each kind of source."""
SPACING = (0.12, 0.6)
"""Em between rendered words; photos have narrower spaces than the renderer's default."""
SCALES = (1.0, 0.5)
"""Scales of the views whose regions are matched to the truth."""


@dataclass(frozen=True)
class Item:
    """A word.

    Args:
        image: ``(h, w, 3)`` uint8 RGB, the word and what lies around it.
        places: quads ``(4, 2)`` in pixels of the image: the truth's first, then those of regions that were matched to it.
        text: what is written there.
        has_case: whether the text has the case of the photo.
        is_crop: whether nothing is known of what lies around the word.
    """

    image: np.ndarray
    places: list[np.ndarray]
    text: str
    has_case: bool = True
    is_crop: bool = False


@dataclass(frozen=True)
class Words:
    """A batch: crops ``(N, 3, 48, W)`` uint8 RGB, labels ``(N, L)`` and whether these have case ``(N,)``."""

    pixels: Tensor
    labels: Tensor
    has_case: Tensor


def legible(text: str) -> bool:
    """Whether all of a text can be written."""
    return bool(text) and not CHARSET.unknown(text)


def photo_items(photos: Sequence[Sample], regions: Sequence[Sequence[np.ndarray]], has_case: bool = True) -> list[Item]:
    """The legible words of photos, each with the regions (quads) that were matched to it."""
    items = []
    for sample, found in zip(photos, regions, strict=True):
        own = matched(sample.instances, found)
        for polygon, text, ignore, places in zip(
            sample.instances.polygons, sample.instances.transcriptions, sample.instances.ignore, own, strict=True
        ):
            if not ignore and legible(text) and len(polygon) == 4:
                items.append(cut_out(sample.image, [polygon, *places], text, has_case))
    return items


def matched(truth: TextInstances, found: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Of each true word the regions that overlap it by an IoU of 0.5 and more and are read from the same corner on."""
    own: list[list[np.ndarray]] = [[] for _ in range(len(truth))]
    if len(truth) and len(found):
        overlap = match_images([truth], [[Word(quad, "", 1.0) for quad in found]], task="detection", exact=True)[0].iou
        for region, word in enumerate(overlap.argmax(0)):
            starts = np.linalg.norm(found[region] - truth.polygons[word][0], axis=1).argmin() == 0
            if overlap[word, region] >= 0.5 and starts:
                own[word].append(found[region])
    return own


def cut_out(image: np.ndarray, places: Sequence[np.ndarray], text: str, has_case: bool) -> Item:
    """A word with its surroundings, no higher than :data:`TALLEST`."""
    quad = places[0]
    height = max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]), 1.0)
    corners = np.concatenate(places)
    left, top = np.maximum(np.floor(corners.min(0) - AROUND * height), 0).astype(int)
    right, bottom = np.ceil(corners.max(0) + AROUND * height).astype(int)
    part, moved = image[top:bottom, left:right], [place - [left, top] for place in places]
    factor = min(1.0, TALLEST / height)
    if factor < 1 and min(part.shape[:2]) * factor >= 2:
        rows, columns = (max(1, round(side * factor)) for side in part.shape[:2])
        moved = [place * [columns / part.shape[1], rows / part.shape[0]] for place in moved]
        part = resize(part, rows, columns)
    return Item(np.ascontiguousarray(part), [place.astype(np.float32) for place in moved], text, has_case)


def crop_items(folder: Path, table: str) -> list[Item]:
    """Word crops and a table of them: ``file TAB text``, where there is a header with ``case`` behind these."""
    with (folder / table).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = rows[0] if "case" in rows[0] else []
    items = []
    for row in tqdm(rows[1:] if columns else rows, folder.name, leave=False):
        has_case = not columns or row[columns.index("case")] != "upper"
        if legible(row[1]):
            image = read_image(folder / "words" / row[0])
            height, width = image.shape[:2]
            whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            items.append(Item(image, [whole], row[1], has_case, is_crop=True))
    return items


@torch.inference_mode()
def regions(
    spotter: Spotter, photos: Sequence[Sample], scales: Sequence[float] = SCALES, bf16: bool = False
) -> list[list[np.ndarray]]:
    """Rectangles that a spotter finds in each photo, at all of the scales."""
    found = []
    for sample in tqdm(photos, "regions", leave=False):
        quads: list[np.ndarray] = []
        for scale in scales:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                detections = spotter.detect(make_view([sample.image], scale, spotter.stride))[0]
            corners = detections.proposals.boundaries / detections.factors
            quads += list(np.concatenate([corners[:, 0, [0, -1]], corners[:, 1, [-1, 0]]], axis=1))
        found.append(quads)
    return found


def camera() -> A.Compose:
    """Colour, blur, noise, compression, and a loss of resolution."""
    return A.Compose(
        [
            A.ColorJitter(brightness=(0.7, 1.3), contrast=(0.6, 1.4), saturation=(0.4, 1.6), hue=(-0.1, 0.1), p=0.6),
            A.InvertImg(p=0.05),
            A.ToGray(p=0.1),
            A.OneOf([A.GaussianBlur(sigma_limit=(0.3, 1.5)), A.MotionBlur(blur_limit=(3, 5))], p=0.2),
            A.Downscale(scale_range=(0.4, 0.9), p=0.15),
            A.GaussNoise(std_range=(0.01, 0.06), p=0.15),
            A.ImageCompression(quality_range=(30, 95), p=0.2),
        ]
    )


def moved(quad: np.ndarray, rng: np.random.Generator, is_crop: bool) -> np.ndarray:
    """A quad whose corners lie a little off; those of a crop move outwards, where its edge goes on."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    height = max(float(np.linalg.norm(down)), 1.0)
    along = along / max(float(np.linalg.norm(along)), 1.0) * height
    start, end = rng.normal(MARGIN, 0.08, 2).clip(-0.08, 0.3)
    above, below = rng.normal(MARGIN, 0.08, 2).clip(-0.08, 0.3)
    if is_crop:
        start, end, above, below = (max(value, -0.03) for value in (start, end, above, below))
    corners = np.array([[-start, -above], [end, -above], [end, below], [-start, below]])
    corners += rng.normal(0, 0.025, (4, 2))
    return (quad + corners[:, :1] * along + corners[:, 1:] * down).astype(np.float32)


def crop(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Pixels ``(3, 48, W)`` uint8, as the spotter cuts them out."""
    boundaries = polygon_to_boundaries(quad)[None]
    width = int(crop_widths(boundaries)[0])
    images, index = torch.from_numpy(image).permute(2, 0, 1)[None], torch.zeros(1, dtype=torch.int64)
    pixels = sample_pixels(images, torch.from_numpy(boundaries), index, (HEIGHT, width))
    return pixels[0].round().clamp(0, 255).to(torch.uint8).numpy()


@dataclass
class Batches(IterableDataset[Words]):
    """An endless run of batches, the words of each about as wide as each other.

    Args:
        photos: words that have surroundings.
        crops: words that have none.
        size: words of a batch.
        seed: of everything drawn.
        first: steps that are already done; their batches are not given again.
        own: how often a word that has regions is cut out by one of them.
    """

    photos: list[Item]
    crops: list[Item]
    size: int = 32
    seed: int = 0
    first: int = 0
    own: float = 0.5
    shares: dict[str, float] = field(default_factory=lambda: SHARES)

    def __iter__(self) -> Iterator[Words]:
        self.camera = camera()
        self.renderer = SceneRenderer(
            seed=self.seed + 47,
            layout=SceneLayout(height=384, width=384),
            degradation=Degradation(defocus_probability=0.15, low_light_probability=0.08),
            occlusion=Occlusion(probability=0.1),
            spacing=SPACING,
        )
        rng = np.random.default_rng([self.seed, self.first])
        self.rendered: list[Item] = []
        self.scenes = self.first * 1000
        pools: dict[int, list[tuple[np.ndarray, Item]]] = {}
        while True:
            item = self._draw(rng)
            own = len(item.places) > 1 and rng.random() < self.own
            place = item.places[int(rng.integers(1, len(item.places)))] if own else moved(item.places[0], rng, item.is_crop)
            pixels = crop(self._filmed(item, rng), place)
            pool = pools.setdefault(pixels.shape[2], [])
            pool.append((pixels, item))
            if len(pool) == self.size:
                yield batch(pool)
                pool.clear()

    def _filmed(self, item: Item, rng: np.random.Generator) -> np.ndarray:
        self.camera.set_random_seed(int(rng.integers(2**31)))
        return self.camera(image=item.image)["image"]

    def _draw(self, rng: np.random.Generator) -> Item:
        kind = str(rng.choice(list(self.shares), p=list(self.shares.values())))
        if kind == "rendered":
            while not self.rendered:
                self.scenes += 1
                scene = self.renderer.render(self.scenes)
                self.rendered = photo_items([scene], [[]])
            return self.rendered.pop(int(rng.integers(len(self.rendered))))
        items = self.photos if kind == "photos" else self.crops
        return items[int(rng.integers(len(items)))]


def batch(pool: Sequence[tuple[np.ndarray, Item]]) -> Words:
    """Put words of one width together."""
    texts = [item.text for _, item in pool]
    labels = CHARSET.encode(texts, max(map(len, texts)) + 1)
    has_case = torch.tensor([item.has_case for _, item in pool])
    return Words(torch.from_numpy(np.stack([pixels for pixels, _ in pool])), labels, has_case)


def read_photos(root: Path, validation: bool | None = None) -> list[Sample]:
    """Photos in the form of ICDAR2015: those that ``validation.txt`` lists, all others, or all where ``validation`` is None."""
    photos = ICDAR2015(root)
    listed = set() if validation is None else set((root / "validation.txt").read_text().split())
    chosen = [i for i, path in enumerate(photos.images) if validation is None or (path.name in listed) == validation]
    return [photos[i] for i in tqdm(chosen, root.name, leave=False)]


def log(path: Path, row: dict[str, Any]) -> None:
    """Append a row, behind a head where the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
