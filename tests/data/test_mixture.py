"""Data sets mixed by weight."""

from pathlib import Path

import numpy as np
import pytest

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.mixture import WeightedMixture, optional_photos
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.transforms import crop_transforms
from tests.data.samples import sample


class Named:
    """A data set whose samples tell their index."""

    def __init__(self, name: str, length: int, endless: bool = False) -> None:
        self.name, self.length, self.endless = name, length, endless

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not self.endless and not 0 <= index < self.length:
            raise IndexError(index)
        return sample(8, 8, name=f"{self.name}{index}")


def mixture(seed: int = 0, **datasets: Named | None) -> WeightedMixture:
    return WeightedMixture(datasets, {"a": 6, "b": 3, "c": 1}, length=100, seed=seed)


@pytest.fixture
def three() -> dict[str, Named]:
    return {"a": Named("a", 7), "b": Named("b", 5, endless=True), "c": Named("c", 1)}


def test_shares_follow_the_weights(three: dict[str, Named]):
    names = [mixture(**three)[index].name[0] for index in range(1000)]
    shares = [names.count(name) / 1000 for name in "abc"]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.04)


def test_every_image_is_shown_and_endless_data_never_repeats(three: dict[str, Named]):
    names = [mixture(**three)[index].name for index in range(1000)]
    assert {name for name in names if name[0] == "a"} == {f"a{index}" for index in range(7)}
    endless = [name for name in names if name[0] == "b"]
    assert len(set(endless)) == len(endless)


def test_seed_and_index_decide(three: dict[str, Named]):
    one, same, other = ([mixture(seed, **three)[index].name for index in range(50)] for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert mixture(1, **three)[49].name == one[49]


def test_absent_data_sets_leave_the_others_in_proportion(three: dict[str, Named]):
    mixed = mixture(**(three | {"a": None}))
    names = [mixed[index].name[0] for index in range(1000)]
    assert names.count("b") == pytest.approx(750, abs=50)
    assert len(mixed) == 100


def test_a_data_set_without_weight_is_never_drawn(three: dict[str, Named]):
    mixed = WeightedMixture(three, {"a": 0, "b": 1, "c": 0}, length=10)
    assert {mixed.source(index) for index in range(200)} == {"b"}


@pytest.mark.parametrize(
    ("weights", "length", "message"),
    [
        ({"a": 1, "b": 1}, 10, "must give each of"),
        ({"a": 1, "b": 1, "c": -1}, 10, "at least 0"),
        ({"a": 1, "b": 1, "c": float("nan")}, 10, "at least 0"),
        ({"a": 1, "b": 1, "c": ".nan"}, 10, "at least 0"),
        ({"a": 0, "b": 0, "c": 0}, 10, "no data set with a weight"),
        ({"a": 1, "b": 1, "c": 1}, 0, "length must be at least 1"),
    ],
)
def test_unusable_mixtures_are_refused(three: dict[str, Named], weights: dict[str, float], length: int, message: str):
    with pytest.raises(ConfigError, match=message):
        WeightedMixture(three, weights, length)


def test_photos_join_where_a_folder_is_named(tmp_path: Path):
    for folder in ("images", "gts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "img_1.jpg").write_bytes(b"no image")
    (tmp_path / "gts" / "gt_img_1.txt").write_text("1,1,9,1,9,5,1,5,word\n")
    assert optional_photos(None, ICDAR2015, crop_transforms(64)) is None
    photos = optional_photos(tmp_path, ICDAR2015, crop_transforms(64))
    mixed = mixture(a=Named("a", 3), b=photos, c=None)
    assert mixed.images == [tmp_path / "images" / "img_1.jpg"]
    with pytest.raises(DataError, match="none of the 1 entries"):
        [mixed[index] for index in range(20)]
    assert mixed.damage_report().startswith("b: 1 of 1 entries were damaged")


def test_a_folder_that_is_missing_is_told_by_its_own_setting(tmp_path):
    with pytest.raises(DataError, match=r"^data\.photos=.*absent is not a folder; set data\.photos"):
        optional_photos(tmp_path / "absent", ICDAR2015, key="data.photos")
