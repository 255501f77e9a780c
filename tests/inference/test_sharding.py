"""Reading in shards: every photo once, as one process reads it, with a budget in each."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.pages import Page
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference import sharding
from dld_spotter.inference.inputs import find_images
from dld_spotter.inference.loading import load
from dld_spotter.inference.many import Reader
from dld_spotter.inference.sharding import ShardReader, folder_of, parts_of, read_output, shard_of, spent_per_image
from tests.data.samples import box, sample
from tests.trained import make_checkpoint


def write_photos(folder: Path, count: int, width: int = 128) -> list[Path]:
    """Photos of a word each, somewhere else in every one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        word = box(4 + number % 40, 4 + number % 30, 50, 20)
        Image.fromarray(sample(96, width, [word], ["cat"]).image).save(path)
    return paths


@pytest.fixture
def reader(tmp_path):
    """Build how photos are read, by a very small student."""
    checkpoint = str(make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True))

    def build(**request):
        return Reader(partial(load, checkpoint, ReferenceSize(), "cpu"), Request(**request))

    return build


@pytest.fixture
def here(monkeypatch):
    """Read shards in this process in place of Ray's; ``stop_after`` kills the reading after so many shards."""
    limits = {}

    def read_fresh(reader, shares, workers):
        worker, found = ShardReader(reader), []
        for number, (part, pages) in enumerate(shares.items()):
            if limits.get("stop_after") == number:
                raise KeyboardInterrupt
            found.append(worker(shard_of(pages, part)))
        return found

    monkeypatch.setattr(sharding, "_read_fresh", read_fresh)
    return limits


def read_shards(reader, photos, *arguments):
    return sharding.read_shards(reader, list(map(Page, photos)), *arguments)


def untimed(lines):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def one_by_one(reader, photos, out):
    """What one process reads of them."""
    read_shards(reader, photos, out, 1, 1)
    return untimed(read_output(out))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_shards_read_what_one_process_reads(tmp_path, reader, here, ending):
    pytest.importorskip("pyarrow")
    photos = write_photos(tmp_path / "photos", 7)
    alone = one_by_one(reader(scale=0.5), photos, tmp_path / "alone.jsonl")
    out = tmp_path / f"together.{ending}"
    read_shards(reader(scale=0.5), photos, out, 2, 3)
    assert untimed(read_output(out)) == alone
    assert [line["image"] for line in alone] == [str(photo) for photo in photos]
    assert any(line["words"] for line in alone)
    assert not folder_of(out).exists()


def test_every_shard_holds_the_budget_as_one_process_does_for_its_photos(tmp_path, reader, here):
    photos, out = write_photos(tmp_path / "photos", 12), tmp_path / "out.jsonl"
    wish = reader(budget=0.4)
    before, damaged, spent = read_shards(wish, photos, out, 2, 2)
    assert (before, damaged, len(spent)) == (0, 0, 2)
    lines = untimed(read_output(out))
    alone = [one_by_one(wish, photos[number::2], tmp_path / f"{number}.jsonl") for number in (0, 1)]
    assert [lines[0::2], lines[1::2]] == alone
    means = [np.mean([line["relative_cost"] for line in part]) for part in alone]
    assert all(f"{mean:.3g} of full resolution" in told for mean, told in zip(means, spent, strict=True))
    total = spent_per_image(wish.request, lines)
    assert f"budget=0.4: {np.mean(means):.3g} of full resolution" in total


def test_a_shard_begins_with_what_it_had_spent(tmp_path, reader, monkeypatch):
    photos = write_photos(tmp_path / "photos", 6)
    worker = ShardReader(reader(budget=0.4))
    part = tmp_path / "part.jsonl"
    worker(shard_of(list(map(Page, photos[:4])), part))
    tracker = worker.predictor.tracker(worker.reader.request)
    four = tracker.mean
    worker(shard_of(list(map(Page, photos[4:])), part))
    tracker = worker.predictor.tracker(worker.reader.request)
    costs = [json.loads(line)["relative_cost"] for line in part.read_text().splitlines()]
    assert tracker.images == len(costs) == 6
    assert tracker.mean == pytest.approx(np.mean(costs), abs=1e-4)
    assert four == pytest.approx(np.mean(costs[:4]), abs=1e-4)


def test_goes_on_after_an_interruption_and_reads_nothing_twice(tmp_path, reader, here):
    photos, out = write_photos(tmp_path / "photos", 9), tmp_path / "out.jsonl"
    here["stop_after"] = 2
    with pytest.raises(KeyboardInterrupt):
        read_shards(reader(scale=0.5), photos, out, 2, 3)
    assert not out.exists()
    with parts_of(out, 3)[1].open("a") as part:
        part.write('{"image": "cut o')  # the line that was being written
    here.clear()
    before, _, _ = read_shards(reader(scale=0.5), photos, out, 2, 3)
    assert before == 6
    names = [line["image"] for line in read_output(out)]
    assert names == [str(photo) for photo in photos]
    more = [*photos, *write_photos(tmp_path / "more", 2)]
    assert read_shards(reader(scale=0.5), more, out, 2, 3)[0] == 9
    assert [line["image"] for line in read_output(out)] == [str(photo) for photo in more]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_shard_that_was_cut_off_goes_on_as_it_would_have(tmp_path, reader, here, batch):
    photos, out = write_photos(tmp_path / "photos", 14), tmp_path / "out.jsonl"
    wish = replace(reader(budget=0.4), batch=batch)
    read_shards(wish, photos, tmp_path / "whole.jsonl", 2, 2)
    here["stop_after"] = 1
    with pytest.raises(KeyboardInterrupt):
        read_shards(wish, photos, out, 2, 2)
    first, _ = parts_of(out, 2)
    first.write_text("".join(first.read_text("utf-8").splitlines(keepends=True)[:3]), "utf-8")
    here.clear()
    assert read_shards(wish, photos, out, 2, 2)[0] == 3
    assert untimed(read_output(out)) == untimed(read_output(tmp_path / "whole.jsonl"))
    assert len({line["scale"] for line in read_output(out)}) > 1


def test_a_damaged_photo_is_left_out(tmp_path, reader, here):
    photos = write_photos(tmp_path / "photos", 4)
    photos[2].write_bytes(b"no photo")
    assert read_shards(reader(scale=0.5), photos, tmp_path / "out.jsonl", 2, 4)[1] == 1
    assert [line["image"] for line in read_output(tmp_path / "out.jsonl")] == [str(photos[i]) for i in (0, 1, 3)]


def test_what_a_predictor_refuses_is_told_before_processes_start(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(sharding, "required", lambda *_: None)  # no Ray to start any
    with pytest.raises(ConfigError, match="cannot be met"):
        read_shards(reader(budget=1e-4), write_photos(tmp_path / "photos", 2), tmp_path / "out.jsonl", 2, 2)


def test_another_kind_of_file_is_refused(tmp_path, reader):
    with pytest.raises(ConfigError, match=r"must end in .jsonl or .parquet"):
        read_shards(reader(scale=0.5), [], tmp_path / "out.csv", 2, 2)


def test_photos_are_found_in_parquet_and_at_addresses(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    photos = write_photos(tmp_path / "photos", 3)
    pq.write_table(
        pa.table({"id": [1, 2, 3], "path": [str(photos[0]), str(photos[2]), str(photos[0])]}), tmp_path / "a.parquet"
    )
    assert find_images(str(tmp_path / "a.parquet")) == [photos[0], photos[2]]
    address = f"file://{tmp_path / 'photos'}"
    found = find_images(address)
    assert found == [f"file://{photo}" for photo in photos]
    np.testing.assert_array_equal(Page(found[1]).read(), Page(photos[1]).read())
    assert find_images(found[2]) == [found[2]]
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has the columns name"):
        find_images(str(tmp_path / "b.parquet"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        find_images(f"file://{tmp_path / 'none'}")
    with pytest.raises(DataError, match="cannot be read"):
        Page(f"file://{tmp_path / 'absent.png'}").read()


def predict(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-m",
        "dld_spotter.predict",
        "draw=false",
        "device=cpu",
        f"ckpt={folder / 'student.ckpt'}",
        *arguments,
    ]
    return subprocess.run(
        line, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=3000
    )


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["scale=0.5", "budget=0.4"])
def test_two_processes_of_ray_read_what_one_reads(tmp_path, reader, wish):
    pytest.importorskip("ray.data")
    reader()
    write_photos(tmp_path / "photos", 40)
    alone = predict(tmp_path, wish, "input=photos", "out=alone.jsonl")
    together = predict(tmp_path, wish, "input=photos", "workers=2", "shards=4", "out=together.jsonl")
    assert (alone.returncode, together.returncode) == (0, 0), together.stderr
    one, other = (untimed(read_output(tmp_path / name)) for name in ("alone.jsonl", "together.jsonl"))
    assert [line["image"] for line in one] == [line["image"] for line in other]
    if wish.startswith("scale"):
        assert one == other
    else:
        assert "in all budget=0.4" in together.stderr
        assert together.stderr.count("shard ") == 4
