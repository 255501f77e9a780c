"""The figures of the official scripts for whole archives, to the last digit; ``cases/README.md`` says whose they are."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dld_spotter.evaluation.scoring import ScoreConfig, score
from dld_spotter.metrics.lexicons import image_key

CASES = Path(__file__).parent / "cases"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "parity"
EXACT, PRINTED = 1e-12, 5.1e-5
MANGO = {"protocol": "davar", "iou": 0.1, "gt": "icdar2013_gt_davar.zip", "preds": "icdar2013_mango.zip"}
PUBLISHED = {
    "end_to_end": {"precision": 0.8256, "recall": 0.795, "hmean": 0.81},
    "detection": {"precision": 0.9626, "recall": 0.9269, "hmean": 0.9444},
}


def cases() -> Iterator[Any]:
    for row in json.loads((CASES / "expected.json").read_text("utf-8")):
        name = (row["protocol"], row["task"], f"{row['iou']}", row["preds"].removesuffix(".zip"), row.get("policy", ""))
        yield pytest.param(row, id="-".join(filter(None, name)))


def figures(result: dict[str, Any]) -> dict[str, float]:
    return {key: result[key] for key in ("precision", "recall", "hmean")}


def leave_out(archive: Path, images: list[str], to: Path) -> Path:
    """Copy an archive without the files of some images."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            if image_key(Path(name).stem) not in images:
                new.writestr(name, old.read(name))
    return to


def write_words(archive: Path, to: Path) -> Path:
    """Write the legible words of a ground truth of quadrilaterals, in the order of the archive."""
    with zipfile.ZipFile(archive) as opened:
        lines = [line for name in opened.namelist() for line in opened.read(name).decode("utf-8-sig").splitlines() if line]
    texts = [line.split(",", 8)[8] for line in lines]
    to.write_text("\n".join(text for text in texts if text != "###"), "utf-8")
    return to


@pytest.mark.parametrize("row", list(cases()))
def test_equals_the_official_script(row: dict[str, Any], tmp_path: Path):
    gt, preds = CASES / row["gt"], CASES / row["preds"]
    lexicon = {}
    if "policy" in row:
        lexicon = {"lexicon": str(write_words(gt, tmp_path / "words.txt")), "policy": row["policy"]}
    if "without" in row:
        gt, preds = (leave_out(path, row["without"], tmp_path / path.name) for path in (gt, preds))
    result = score(ScoreConfig(str(gt), str(preds), row["protocol"], row["task"], iou=row["iou"], resamples=10, **lexicon))
    assert figures(result) == pytest.approx(figures(row), abs=EXACT)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent; ICDAR2013's ground truth states no terms")
@pytest.mark.parametrize("task", PUBLISHED)
def test_equals_what_mango_published(task: str):
    files = {name: str(SHARED / MANGO[name]) for name in ("gt", "preds")}
    result = score(ScoreConfig(**files, protocol=MANGO["protocol"], task=task, iou=MANGO["iou"], resamples=10))
    assert figures(result) == pytest.approx(PUBLISHED[task], abs=PRINTED)
