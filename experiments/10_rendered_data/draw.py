"""Draws what becomes of data, to be looked at: modes of the renderer, effects of its camera, transforms, readers, batches.

python experiments/10_rendered_data/draw.py --out experiments/10_rendered_data
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import albumentations as A
import numpy as np
from forms import BENT, FORMS
from PIL import Image

from dld_spotter.check_data import samples_of
from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import Charset
from dld_spotter.data.collate import Collate
from dld_spotter.data.jitter import JitteredDataset
from dld_spotter.data.synthetic import (
    Backgrounds,
    CropPaste,
    CropSource,
    Degradation,
    DenseLayout,
    Occlusion,
    SceneLayout,
    SceneRenderer,
    WordSource,
)
from dld_spotter.data.transforms import RandomTextCrop, TextTransforms, crop_transforms, default_transforms
from dld_spotter.inference.drawing import draw_samples

SIDE = 320
WIDTH, QUALITY = 1400, 72
"""Of the pictures: pixels, and quality of JPEG."""
OFF = dict.fromkeys(("blur", "noise", "shading", "exposure", "jpeg"), 0.0)


def camera(**chances: float) -> Degradation:
    """A camera with nothing but the effects named."""
    return Degradation(**{f"{name}_probability": chance for name, chance in (OFF | chances).items()}, noise=25.0)


def scene(seed: int, index: int, name: str, layout: SceneLayout | DenseLayout, **parts: object) -> Sample:
    """Render one image, and call it ``name``."""
    return replace(SceneRenderer(seed, layout, **parts).render(index), name=name)


def modes(folder: Path) -> Iterator[Sample]:
    """Every regime of text size, what a layout can be told, dense images, crops in scenes and in dense images."""
    clean = {"degradation": camera()}
    for place, regime in enumerate(("large", "medium", "small", "tiny", "mixed", "none")):
        yield scene(1, place, f"regime {regime}", SceneLayout(SIDE, SIDE, probabilities={regime: 1}), **clean)
    some = {"medium": 1.0}
    yield scene(2, 3, "curved", SceneLayout(SIDE, SIDE, probabilities=some, curved_probability=1), **clean)
    yield scene(2, 4, "on signs", SceneLayout(SIDE, SIDE, probabilities=some, board_probability=1), **clean)
    names = WordSource(mix={"name": 0.5, "price": 0.3, "date": 0.2})
    yield scene(2, 5, "names, prices, dates", SceneLayout(SIDE, SIDE, probabilities=some), words=names, **clean)
    pictures = folder / "pictures"
    pictures.mkdir()
    Image.fromarray(Backgrounds().draw(np.random.default_rng(7), 600, 800)).save(pictures / "a.png")
    photo = Backgrounds(pictures, picture_probability=1.0)
    yield scene(2, 6, "on a folder of pictures", SceneLayout(SIDE, SIDE, probabilities=some), backgrounds=photo, **clean)
    yield scene(3, 0, "dense", DenseLayout(), **clean)
    crops = CropSource(write_crops(folder / "crops"))
    yield scene(3, 1, "dense, crops", DenseLayout(crops=CropPaste(crops)), **clean)
    layout = SceneLayout(SIDE, SIDE, probabilities=some, crops=CropPaste(crops, share=0.7))
    yield scene(3, 2, "scene with crops", layout, **clean)


def write_crops(folder: Path) -> Path:
    """Cut words out of rendered scenes and write them as ``words_map.tsv``, in the place of real ones."""
    (folder / "words").mkdir(parents=True)
    rows = ["word\timage\tx0\ty0\tw\th\tx1\ty1\tx2\ty2\tx3\ty3\tx4\ty4\ttext"]
    renderer = SceneRenderer(9, SceneLayout(480, 480, probabilities={"medium": 1}, curved_probability=0))
    for index in range(12):
        page = renderer.render(index)
        for polygon, text in zip(page.instances.polygons, page.instances.transcriptions, strict=True):
            left, top = np.maximum(np.floor(polygon.min(0)) - 2, 0).astype(int)
            right, bottom = np.ceil(polygon.max(0)).astype(int) + 2
            name = f"word_{len(rows)}.png"
            cut = page.image[top:bottom, left:right]
            Image.fromarray(cut).save(folder / "words" / name)
            fields = (name, page.name, left, top, *cut.shape[1::-1], *(polygon - 0.5).round(2).ravel().tolist(), text)
            rows.append("\t".join(map(str, fields)))
    (folder / "words_map.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def effects(_: Path) -> Iterator[Sample]:
    """One scene as it is, and through each effect of the camera alone."""
    layout = SceneLayout(SIDE, SIDE, probabilities={"medium": 1})
    yield scene(5, 1, "as painted", layout, degradation=camera())
    blurs = (scene(seed, 1, "blur: Gaussian or motion", layout, degradation=camera(blur=1)) for seed in (5, 6))
    yield from blurs
    for name in ("defocus", "shading", "low_light", "exposure", "noise", "jpeg"):
        yield scene(5, 1, name.replace("_", " "), layout, degradation=camera(**{name: 1.0}))
    for seed in (5, 8, 9):
        yield scene(seed, 1, "occlusion", layout, degradation=camera(), occlusion=Occlusion(1.0))


def transforms(_: Path) -> Iterator[Sample]:
    """One page, and each transform of training alone, twice."""
    page = scene(11, 5, "page", SceneLayout(400, 520, probabilities={"mixed": 1}), degradation=camera())
    yield page
    each = {
        "rotation": TextTransforms([A.Rotate(limit=(10, 15), p=1)]),
        "perspective": TextTransforms([A.Perspective(scale=(0.04, 0.08), p=1)]),
        "scale": TextTransforms([], scale=(0.5, 0.7)),
        "random crop": TextTransforms([A.RandomCrop(260, 260)]),
        "square around a word": RandomTextCrop(260, (0.8, 1.6), 15),
        "colour": TextTransforms([A.ColorJitter((0.6, 1.4), (0.7, 1.3), (0.5, 1.5), (-0.05, 0.05), p=1)]),
        "blur": TextTransforms([A.GaussianBlur(sigma_limit=(1.0, 1.5), p=1)]),
        "compression": TextTransforms([A.ImageCompression(quality_range=(20, 30), p=1)]),
        "sub-pixel jitter": lambda page, _: JitteredDataset([page], 1.0, 8.0)[0],
        "default_transforms": default_transforms(320),
        "crop_transforms": crop_transforms(320),
    }
    for seed, (name, change) in enumerate(each.items()):
        yield replace(change(page, np.random.default_rng(seed)), name=name)


def readers(folder: Path) -> Iterator[Sample]:
    """Rendered scenes, written in the form of each data set and read back by its reader."""
    bent, straight = (
        scene(
            13, 3, "0001", SceneLayout(SIDE, 400, probabilities={"medium": 1}, curved_probability=share), degradation=camera()
        )
        for share in (0.5, 0)
    )
    for name, write_and_read in FORMS.items():
        yield replace(write_and_read(folder / name, bent if name in BENT else straight)[0], name=name)


def batches(_: Path) -> Iterator[Sample]:
    """A training batch in each of its views."""
    layout = SceneLayout(400, 520, probabilities={"mixed": 1})
    pages = [scene(17, index, f"page {index}", layout) for index in range(3)]
    changed = [default_transforms(320)(page, np.random.default_rng(index)) for index, page in enumerate(pages)]
    yield from samples_of(
        Collate(Charset("0123456789abcdefghijklmnopqrstuvwxyz", fold_case=True), (1.0, 0.7, 0.5, 0.3))(changed)
    )


SHEETS = {"modes": modes, "effects": effects, "transforms": transforms, "readers": readers, "batches": batches}


def main() -> int:
    """Draw the sheets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--sheets", nargs="+", choices=SHEETS, default=list(SHEETS), help="(default: all)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sheets:
        with tempfile.TemporaryDirectory() as folder:
            sheet = draw_samples(list(SHEETS[name](Path(folder))), columns=4)
        sheet = sheet.resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)
        file = options.out / f"{name}.jpg"
        sheet.save(file, quality=QUALITY, optimize=True)
        print(f"{file}: {sheet.width}x{sheet.height}, {file.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
