"""A policy of sizes: what it learns of an engine whose outcomes are known, and what its file may hold."""

import errno
import io
import json
import zipfile
from functools import partial

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.selection.sizes.features import describe
from dld_spotter.selection.sizes.fitting import fit_policy, losses_of
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way
from dld_spotter.selection.sizes.policy import MOST_BYTES, SizePolicy
from dld_spotter.tradeoff.allocation import decide

SIZES = (320, 640, 1280)


def cost(height: int, width: int, words: float) -> float:
    """Seconds of an engine of one second per million of pixels."""
    return height * width / 1e6


def striped(period: int, seed: int, height: int = 360, width: int = 640) -> np.ndarray:
    """An image of stripes: fine ones stand for small text."""
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    stripes = (np.arange(width) // period % 2 * 180)[None, :, None]
    return (stripes + noise).astype(np.uint8)


def outcomes(images: int = 24) -> EngineOutcomes:
    """Of every second image the smallest size reads all ten words, of the others the largest alone."""
    fine = np.arange(images) % 2 == 1
    features = np.stack([describe(striped(3 if fine[k] else 40, k)) for k in range(images)])
    matched = np.where(fine[:, None], [0, 2, 10], [10, 10, 10])
    full = np.full((images, 3), 10)
    sides, none = np.tile([360, 640], (images, 1)), np.zeros((images, 3))
    names, once = np.array([f"img_{k}" for k in range(images)]), np.full(3, np.inf)
    return EngineOutcomes("drawn 1", names, sides, features, np.array(SIZES), once, matched, matched, full, full, none, none)


@pytest.fixture(scope="module")
def policy() -> SizePolicy:
    return fit_policy(outcomes(), 1280)


def test_it_takes_for_each_image_the_size_that_this_one_needs(policy):
    assert policy.decide(striped(3, 99), cost, 0.1).scale == pytest.approx(1280 / 640)
    assert policy.decide(striped(40, 99), cost, 0.1).scale == pytest.approx(320 / 640)


def test_where_cost_counts_for_much_everything_is_read_at_the_smallest_size(policy):
    assert {policy.decide(striped(period, 7), cost, 100.0).scale for period in (3, 40)} == {0.5}


def test_a_calibration_spends_what_the_known_images_would_take(policy):
    calibration = policy.calibrate(cost)
    largest, smallest = 1280 * 720 / 1e6, 320 * 180 / 1e6
    assert policy.unit(cost) == pytest.approx(largest)
    assert calibration.low == pytest.approx(smallest / largest, rel=1e-2)
    index = decide(policy.known.losses, policy.known_costs(cost) / policy.unit(cost), 0.1)
    np.testing.assert_array_equal(index, np.arange(24) % 2 * 2)  # of images that were left out, too
    assert 0.01 < calibration.gamma_for(0.54) < 1


def test_images_or_words_count_alike():
    table = outcomes(8)
    table.true[0], table.predicted[0] = 1000, 10
    assert losses_of(table, "images", 0.5)[0, 2] == pytest.approx(-10 / 1000)
    assert losses_of(table, "words", 0.5)[0, 2] == pytest.approx(losses_of(table, "words", 0.5)[2, 2])
    with pytest.raises(ConfigError, match="alike=lines must be one of images, words"):
        losses_of(table, "lines")


def test_a_file_gives_the_same_decisions(policy, tmp_path):
    policy.save(tmp_path / "policy.json")
    again = SizePolicy.load(tmp_path / "policy.json")
    for k, gamma in enumerate((0.01, 0.1, 0.5, 2.0)):
        image = striped(3 + 5 * k, k)
        assert again.decide(image, cost, gamma) == policy.decide(image, cost, gamma)
    assert (tmp_path / "policy.json").stat().st_size < MOST_BYTES


def broken(values: dict, **changes: object) -> str:
    return json.dumps(values | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: "{", "cannot be read"),
        (lambda values: "[]", "damaged or older SizeTable"),
        (lambda values: broken(values, sizes=[320, 640]), "as many numbers as"),
        (lambda values: broken(values, width="wide"), "expected a number"),
        (lambda values: broken(values, mean=[1e400] * 9), "finite"),
        (lambda values: broken(values, spread=[0.0] * len(values["spread"])), "spreads above 0"),
        (lambda values: broken(values, version=999), "features of version 999"),
        (lambda values: broken(values, call="os.system"), "unknown entry call"),
        (lambda values: " " * (MOST_BYTES + 1), "a policy at most 2"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(policy, tmp_path, change, message):
    path = tmp_path / "policy.json"
    policy.save(path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(DataError, match=message):
        SizePolicy.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"absent\.json cannot be read"):
        SizePolicy.load(tmp_path / "absent.json")


def test_a_policy_is_for_one_engine(policy):
    policy.check_engine("drawn 1")
    with pytest.raises(ConfigError, match="learnt from drawn 1, and the engine is drawn 2"):
        policy.check_engine("drawn 2")


def test_outcomes_are_kept_and_joined(tmp_path):
    table = outcomes(8)
    table.save(tmp_path / "outcomes.npz")
    again = EngineOutcomes.load(tmp_path / "outcomes.npz")
    assert (again.engine, again.ways) == ("drawn 1", tuple(map(Way, SIZES)))
    np.testing.assert_array_equal(again.matched, table.matched)
    both = EngineOutcomes.joined([table, again])
    assert both.features.shape == (16, table.features.shape[1])
    np.testing.assert_array_equal(both.matched[8:], table.matched)
    (tmp_path / "outcomes.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no table of an engine's outcomes"):
        EngineOutcomes.load(tmp_path / "outcomes.npz")


def packed_otherwise(content: bytes) -> bytes:
    """The same archive, its members packed by LZMA."""
    source, target = io.BytesIO(content), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return target.getvalue()


def with_column(name: str, value: np.ndarray, content: bytes) -> bytes:
    """The same table with another column."""
    stream = io.BytesIO()
    with np.load(io.BytesIO(content)) as table:
        np.savez_compressed(stream, **{**table, name: value})
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:60] + b"\xff" * 40 + content[100:],  # zlib.error
        packed_otherwise,
        lambda content: content.replace(b"PK\3\4\x2d\0\0\0", b"PK\3\4\x9e\0\1\0").replace(b"PK\1\2", b"PK\1\3"),
        partial(with_column, "names", np.array([b"x" * 4], "S4")),
        partial(with_column, "sizes", np.array([320.0, np.nan, 1280.0])),
        partial(with_column, "matched", np.full((8, 3), -1)),
        partial(with_column, "engine", np.array(["drawn", "1"])),
        partial(with_column, "words", np.zeros((8, 2**22), np.int64)),  # 256 MiB and more that pack to one
    ],
)
def test_damaged_and_hostile_outcomes_are_told_in_a_sentence(tmp_path, damage):
    path = tmp_path / "outcomes.npz"
    outcomes(8).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"outcomes\.npz is no table of an engine's outcomes \(.+\); fit_selector"):
        EngineOutcomes.load(path)


@pytest.mark.parametrize("name", ["policy.json", "outcomes.npz"])
def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path, policy, monkeypatch, name):
    written = policy if name == "policy.json" else outcomes(8)
    written.save(tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dld_spotter.core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written.save(tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: before}


def test_too_few_images_teach_nothing():
    with pytest.raises(DataError, match="cannot be learnt from 4 images"):
        fit_policy(outcomes(4), 1280)


def test_features_tell_fine_from_coarse_at_any_size():
    fine, coarse = (describe(striped(period, 0)) for period in (3, 40))
    assert np.abs(fine - coarse).max() > 0.5
    for shape in ((1, 1), (1, 700), (3, 5), (2000, 30)):
        assert np.isfinite(describe(np.zeros((*shape, 3), np.uint8))).all()


def test_outcomes_of_other_features_are_told_with_their_file(tmp_path):
    path = tmp_path / "outcomes.npz"
    outcomes().save(path)
    with np.load(path) as known:
        np.savez_compressed(path, **{**known, "version": np.array(99)})
    with pytest.raises(DataError, match=rf"^{path}: these outcomes hold features of version 99, expected \d+"):
        EngineOutcomes.load(path)
