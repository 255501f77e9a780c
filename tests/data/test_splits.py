"""Parts of a data set and the refusal of parts that share images."""

from pathlib import Path

import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.readers.indexed import ImagePaths, Strings
from dld_spotter.data.splits import NamedPart, refuse_overlap
from dld_spotter.data.transforms import TransformedDataset, default_transforms

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


@pytest.mark.parametrize("shares", [SHARES, {"train": 0.9, "validation": 0.1}])
def test_listed_images_and_no_others_are_for_validation(tmp_path: Path, shares: dict[str, float]):
    listed = {f"img_{number}" for number in range(0, 100, 7)}
    (tmp_path / "validation.txt").write_text("\n".join(f"{name}.png" for name in [*listed, "absent"]) + "\n")
    parts = {name: stems(NamedPart(folder_of(tmp_path, range(100)), shares, name)) for name in shares}
    assert parts["validation"] == listed
    assert sum(map(len, parts.values())) == 100
    assert set.union(*parts.values()) == {f"img_{number}" for number in range(100)}


def test_no_photo_that_is_listed_is_trained_on():
    root = Path(__file__).parents[3] / "shared" / "data" / "icdar2015"
    if not (root / "train" / "validation.txt").is_file():
        pytest.skip(f"{root} is absent")
    listed = set((root / "train" / "validation.txt").read_text().split())
    photos, shares = ICDAR2015(root, "train"), {"train": 0.9, "validation": 0.1}
    train, validation = ({path.name for path in NamedPart(photos, shares, part).images} for part in shares)
    assert validation == listed
    assert len(train) == 900
    assert not train & listed


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


class Listed:
    """A data set whose images stand in one file."""

    def __init__(self, folder: str, names: list[str], parts: list[str | None] | None = None, flat: bool = False) -> None:
        self.images, self.names = ImagePaths(Path(folder), Strings(names), flat), [Path(name).stem for name in names]
        self.parts = parts

    def __len__(self) -> int:
        return len(self.names)


def test_the_paths_of_a_part_are_those_of_its_images():
    dataset = Listed("/d", [f"{n % 3}/i{n}.png" for n in range(60)])
    part = NamedPart(dataset, SHARES, "validation")
    assert list(part.images) == [dataset.images[index] for index in part.indices]
    assert list(part.images.texts()) == [str(path) for path in part.images]
    assert part.images.part([1])[0] == part.images[1]


@pytest.mark.parametrize(
    ("names", "flat"),
    [
        (["a/1.png", "/d/a/1.png"], False),
        (["x/1.png", "y/1.png"], True),
        (["a//1.png", "./a/1.png"], False),
        (["a/1.png"] * 2, False),
    ],
)
def test_one_file_under_two_names_is_found_in_two_parts(names: list[str], flat: bool):
    dataset = Listed("/d", [*names, "2.png"], ["train", "test", "train"], flat)
    train, test = (NamedPart(dataset, SHARES, part) for part in ("train", "test"))
    with pytest.raises(ConfigError, match=r"share 1 images, such as /d/(a/)?1\.png"):
        refuse_overlap(train=train, test=test)
    refuse_overlap(
        train=NamedPart(Listed("/e", [*names, "2.png"], dataset.parts, flat), SHARES, "train"), test=Listed("/f", names)
    )


def test_a_listed_file_is_told_from_a_folder_of_files(tmp_path: Path):
    folder = folder_of(tmp_path, range(3))
    with pytest.raises(ConfigError, match="share 1 images"):
        refuse_overlap(train=folder, test=Listed(str(tmp_path / "images"), ["img_1.png", "other.png"]))
