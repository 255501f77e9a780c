"""Parts of a data set and the refusal of parts that share images."""

from pathlib import Path

import pytest

from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.splits import NamedPart, refuse_overlap
from dld_spotter.data.transforms import TransformedDataset, default_transforms
from dld_spotter.errors import ConfigError

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def folder_of(root: Path, names: range) -> ICDAR2015:
    for name in ("images", "gts"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number in names:
        (root / "images" / f"img_{number}.png").touch()
        (root / "gts" / f"gt_img_{number}.txt").touch()
    return ICDAR2015(root)


def stems(part: NamedPart) -> set[str]:
    return {path.stem for path in part.images}


def test_parts_are_disjoint_and_complete(tmp_path: Path):
    dataset = folder_of(tmp_path, range(200))
    parts = {name: stems(NamedPart(dataset, SHARES, name)) for name in SHARES}
    assert set.union(*parts.values()) == {path.stem for path in dataset.images}
    assert sum(map(len, parts.values())) == len(dataset)
    assert 90 <= len(parts["train"]) <= 150


def test_a_new_image_moves_no_other(tmp_path: Path):
    before = {name: stems(NamedPart(folder_of(tmp_path, range(100)), SHARES, name)) for name in SHARES}
    after = {name: stems(NamedPart(folder_of(tmp_path, range(101)), SHARES, name)) for name in SHARES}
    assert all(before[name] <= after[name] for name in SHARES)


@pytest.mark.parametrize(
    ("shares", "part"), [(SHARES, "dev"), ({"train": 0.9, "test": 0.2}, "train"), ({"train": 0.0}, "train")]
)
def test_impossible_parts_are_refused(tmp_path: Path, shares: dict[str, float], part: str):
    with pytest.raises(ConfigError, match=part):
        NamedPart(folder_of(tmp_path, range(5)), shares, part)


def test_training_on_test_images_is_refused(tmp_path: Path):
    dataset = folder_of(tmp_path, range(50))
    train, test = (NamedPart(dataset, {"train": 0.5, "test": 0.5}, part) for part in ("train", "test"))
    refuse_overlap(train=TransformedDataset(train, default_transforms()), validation=None, test=test)
    with pytest.raises(ConfigError, match="share"):
        refuse_overlap(train=TransformedDataset(dataset, default_transforms()), test=test)
