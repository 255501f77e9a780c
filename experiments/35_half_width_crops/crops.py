"""Crops that a recogniser sees: regions of a detector, words of photos and crops of words, rendered words."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch.utils.data import IterableDataset
from tqdm import tqdm

from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import Charset
from dld_spotter.core.files import write_text
from dld_spotter.core.instances import TextInstances
from dld_spotter.data.photos import read_image
from dld_spotter.data.synthetic import Degradation, Occlusion, SceneLayout, SceneRenderer
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.spotter import Spotter

sys.path.append(str(Path(__file__).parent.parent / "29_recogniser_on_own_regions"))
from words import SPACING, Item, Words, camera, crop, crop_items, cut_out, moved, photo_items, read_photos, regions

SHARES = {"regions": 0.5, "photos": 0.2, "crops": 0.15, "rendered": 0.15}
"""How often a crop comes from each kind of source."""
SCALES = (0.3, 0.5)
"""Scales of the views in which regions are found."""
PHOTOS = {"icdar2015/train": False, "ic03_train": None}
"""Folders of photos with the truth's words; of the first one, validation photos stay out."""
UNLABELLED = ("svt_train", "street_unlabelled")
"""Folders of photos of which regions alone are used."""


@dataclass(frozen=True)
class Sources:
    """What is learnt from, in memory.

    Args:
        regions: of a detector, without text.
        photos: words of photos.
        crops: crops of words.
    """

    regions: list[Item]
    photos: list[Item]
    crops: list[Item]


def unlabelled(folder: Path) -> list[Sample]:
    """Photos of which nothing is known."""
    nothing = TextInstances.of([], [])
    return [
        Sample(read_image(path), nothing, path.name) for path in tqdm(sorted(folder.iterdir()), folder.parent.name, leave=False)
    ]


def region_items(images: Sequence[np.ndarray], found: Sequence[Sequence[np.ndarray]]) -> list[Item]:
    """Regions of photos, each with what lies around it."""
    return [cut_out(image, [quad], "", has_case=True) for image, quads in zip(images, found, strict=True) for quad in quads]


def known_regions(path: Path, spotter: Spotter, photos: Sequence[Sample], bf16: bool) -> list[list[np.ndarray]]:
    """Regions of photos, from a file where a run before this one has found them."""
    if not path.exists():
        found = regions(spotter, photos, SCALES, bf16)
        write_text(path, json.dumps([[quad.round(2).tolist() for quad in quads] for quads in found]))
    return [[np.array(quad, np.float32) for quad in quads] for quads in json.loads(path.read_text())]


def read_sources(data: Path, output: Path, spotter: Spotter, bf16: bool) -> Sources:
    """Everything below ``data``; regions are those of the spotter, and are kept in ``output``."""
    found: list[Item] = []
    words: list[Item] = []
    for name, validation in (PHOTOS | dict.fromkeys(UNLABELLED)).items():
        photos = read_photos(data / name, validation) if name in PHOTOS else unlabelled(data / name / "images")
        quads = known_regions(output / f"regions_{name.partition('/')[0]}.json", spotter, photos, bf16)
        found += region_items([photo.image for photo in photos], quads)
        words += photo_items(photos, [[]] * len(photos)) if name in PHOTOS else []
    crops = crop_items(data / "real_words", "words.tsv")
    return Sources(found, words, crops)


@dataclass
class Batches(IterableDataset[Words]):
    """An endless run of batches of crops of one width; a crop without text has an empty label.

    Args:
        sources: what is drawn from, beside rendered words.
        charset: of the labels.
        size: crops of a batch.
        seed: of everything drawn.
        first: steps that are already done; their batches are not given again.
    """

    sources: Sources
    charset: Charset
    size: int = 32
    seed: int = 0
    first: int = 0
    shares: dict[str, float] = field(default_factory=lambda: SHARES)

    def __iter__(self) -> Iterator[Words]:
        self.camera: A.Compose = camera()
        self.renderer = SceneRenderer(
            seed=self.seed + 53,
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
            self.camera.set_random_seed(int(rng.integers(2**31)))
            pixels = crop(self.camera(image=item.image)["image"], moved(item.places[0], rng, item.is_crop))
            pool = pools.setdefault(pixels.shape[2], [])
            pool.append((pixels, item))
            if len(pool) == self.size:
                yield self._batch(pool)
                pool.clear()

    def _draw(self, rng: np.random.Generator) -> Item:
        kind = str(rng.choice(list(self.shares), p=list(self.shares.values())))
        if kind == "rendered":
            while not self.rendered:
                self.scenes += 1
                self.rendered = photo_items([self.renderer.render(self.scenes)], [[]])
            return self.rendered.pop(int(rng.integers(len(self.rendered))))
        items: list[Item] = getattr(self.sources, kind)
        return items[int(rng.integers(len(items)))]

    def _batch(self, pool: Sequence[tuple[np.ndarray, Item]]) -> Words:
        texts = [item.text for _, item in pool]
        labels = self.charset.encode(texts, max(map(len, texts)) + 1)
        has_case = torch.tensor([item.has_case for _, item in pool])
        return Words(torch.from_numpy(np.stack([pixels for pixels, _ in pool])), labels, has_case)


@torch.inference_mode()
def right(recognizer: PPOCRWordRecognizer, charset: Charset, items: Sequence[Item]) -> float:
    """Share of the words that are read rightly, without regard to case, from the last place of each."""
    recognizer.eval()
    count = 0
    for item in items:
        crops = torch.from_numpy(crop(item.image, item.places[-1]))[None]
        labels, _ = recognizer.read(recognizer.network.encode(crops))
        count += charset.decode(labels[0].tolist()).strip().lower() == item.text.lower()
    return count / max(len(items), 1)
