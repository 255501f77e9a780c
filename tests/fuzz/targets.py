"""What is fuzzed: each reads one file, or one command line, and may end in nothing but a sentence of our own."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import Candidates
from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.core.charset import read_characters
from dld_spotter.core.score_scaling import ScoreScaling
from dld_spotter.data.photos import read_image
from dld_spotter.data.readers.cocotext import COCOText
from dld_spotter.data.readers.ctw1500 import CTW1500
from dld_spotter.data.readers.davar import DavarDatalist
from dld_spotter.data.readers.icdar2013 import ICDAR2013
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.readers.jsonl import JsonLines
from dld_spotter.data.readers.mlt import MLT
from dld_spotter.data.readers.sroie import SROIE
from dld_spotter.data.readers.synthtext import SynthText
from dld_spotter.data.readers.textocr import TextOCR
from dld_spotter.data.readers.totaltext import TotalText
from dld_spotter.demo import decode
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.onnx_meta import read_meta
from dld_spotter.metrics.formats import read_annotations
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.models.vocabulary import Vocabulary
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.sizes.fitting import fit_policy
from dld_spotter.selection.sizes.outcomes import EngineOutcomes
from dld_spotter.selection.sizes.policy import SizePolicy
from dld_spotter.tradeoff.measures import Measures
from dld_spotter.tradeoff.outcomes import Outcomes
from dld_spotter.tradeoff.points import Point, TradeOff
from tests.budget.test_candidates import CANDIDATES
from tests.data.readers.trees import write_photos
from tests.fuzz import broken, mutate, samples
from tests.selection.sizes.test_policy import outcomes as engine_table
from tests.trained import POINTS, RULE, make_checkpoint

Damage = Callable[[bytes, Random, list[bytes]], bytes]


@dataclass(frozen=True)
class Target:
    """Something that reads what strangers made.

    Args:
        file: where the input goes, below a folder of its own.
        whole: inputs that are read, to be damaged.
        read: reads it, given that folder.
        damage: changes an input.
        made: kind of inputs that ``strategies.py`` makes from nothing, or None.
        weight: how many inputs it gets, compared with others.
        prepare: makes what else the folder holds.
    """

    file: str
    whole: Callable[[], Sequence[bytes]]
    read: Callable[[Path], Any]
    damage: Damage = mutate.damage
    made: str | None = None
    weight: float = 1.0
    prepare: Callable[[Path], None] = lambda folder: None


def entries(reader: Callable[..., Any], folder: Path) -> None:
    """Open a data set and read all of it, each entry for itself."""
    dataset = reader(folder)
    names, _ = dataset.names, list(getattr(dataset, "parts", None) or [])
    assert len(names) == len(dataset)
    fault = None
    for index in range(len(dataset)):
        try:
            words = dataset.load(index).instances
            assert len(words.transcriptions) == len(words.polygons) == len(words.ignore)
            assert all(np.isfinite(polygon).all() for polygon in words.polygons)
            json.dumps(words.transcriptions, ensure_ascii=False).encode()
        except Exception as error:
            fault = fault or error
    if fault:
        raise fault


def _one_photo(name: str) -> Callable[[Path], None]:
    return lambda folder: write_photos(folder, [name])


def _photos(names: Sequence[str]) -> Callable[[Path], None]:
    return lambda folder: write_photos(folder, names)


def paired(reader: Callable[..., Any], name: str, kind: str, **options: Any) -> Target:
    """A reader of one file for each image, ``kind`` of ``samples.texts``."""
    prepare = _one_photo(f"images/{Path(name).stem.removeprefix('gt_')}.jpg")
    whole = partial(lambda of: samples.texts()[of], kind)
    return Target(f"gts/{name}", whole, partial(entries, reader), made="lines", prepare=prepare, **options)


def scored(protocol: str, task: str, truth: bool, name: str) -> Callable[[Path], Any]:
    """Read predictions or truth of ``score``."""
    return lambda folder: read_annotations(folder / name, task, protocol, truth)


def read_checkpoint(folder: Path) -> None:
    """Load a checkpoint and build all that it holds."""
    checkpoint = load_checkpoint(folder / "a.ckpt")
    checkpoint.second_pass()
    checkpoint.score_scaling()
    checkpoint.spotter()
    checkpoint.policy()


def read_provenance(folder: Path) -> None:
    """Load a checkpoint that says of itself what a document says."""
    try:
        facts = json.loads((folder / "facts.json").read_bytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return
    whole = torch.load(folder / "whole.ckpt", weights_only=True)
    torch.save({**whole, "dld_spotter": facts}, folder / "a.ckpt")
    read_checkpoint(folder)


def read_records(folder: Path) -> None:
    """Read each record of plain values that a checkpoint may hold."""
    try:
        values = json.loads((folder / "records.json").read_bytes())
    except (ValueError, RecursionError):
        return
    for kind in (OperatingPoints, Candidates, SecondPassRule, ScoreScaling, Calibration):
        record = kind.from_dict(values.get(kind.__name__) if isinstance(values, dict) else values, "records.json")
        kind.from_dict(json.loads(json.dumps(record.to_dict())), "records.json")


def run_command(folder: Path) -> None:
    """Run ``predict`` or ``check_data`` with one override, which ends before anything is read."""
    from dld_spotter import check_data, predict

    content = (folder / "override").read_bytes()
    override = content.replace(b"\0", b"").decode("utf-8", "surrogateescape")  # no argument holds a NUL
    command, given = ((predict, f"input={folder / 'none'}"), (check_data, f"data.root={folder / 'none'}"))[len(content) % 2]
    stdout, stderr, status = io.StringIO(), io.StringIO(), 0
    arguments = [command.__name__, given, f"paths.output_dir={folder / 'out'}", f"hydra.run.dir={folder / 'out'}", override]
    with patch.object(sys, "argv", arguments), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            command.main()
        except SystemExit as end:
            status = end.code
    told = [line for line in stderr.getvalue().splitlines() if line]
    shows = override.startswith("-")  # --help, --cfg and the like
    assert shows or (status in (1, 2) and len(told) == 1 and told[0].startswith("error: ")), (status, told[:3])


def checkpoints() -> list[bytes]:
    """Checkpoints of a very small spotter."""
    folder = _scratch()
    plain = make_checkpoint(folder / "plain.ckpt").read_bytes()
    return [plain, make_checkpoint(folder / "points.ckpt", operating_points=True).read_bytes()]


def provenances() -> list[bytes]:
    """What these say of themselves."""
    folder = _scratch()
    for name, content in zip("ab", checkpoints(), strict=True):
        (folder / name).write_bytes(content)
    return samples.as_json(*(torch.load(folder / name, weights_only=True)["dld_spotter"] for name in "ab"))


def records() -> list[bytes]:
    """Records as they are written."""
    calibration = Calibration((0.1, 0.3), (0.8, 0.4), continuous=False, images=9)
    found = (POINTS, CANDIDATES, RULE, ScoreScaling(), calibration)
    return samples.as_json({type(record).__name__: record.to_dict() for record in found})


def outcomes() -> list[bytes]:
    """A table of outcomes."""
    ones = np.ones((3, 2))
    path = _scratch() / "outcomes.npz"
    Outcomes.of(("a", "b", "c"), (0.5, 1.0), Measures.of(ones, ones * 2, ones * 3, ones / 2, ones, ones)).save(path)
    return [path.read_bytes()]


def engine_outcomes() -> list[bytes]:
    """What an engine read of 24 images in three sizes."""
    path = _scratch() / "engine_outcomes.npz"
    engine_table().save(path)
    return [path.read_bytes()]


def engine_policies() -> list[bytes]:
    """What was learnt from that."""
    path = _scratch() / "policy.json"
    fit_policy(engine_table(), 1280).save(path)
    return [path.read_bytes()]


def tradeoffs() -> list[bytes]:
    """A trade-off of two points."""
    points = (
        Point("static", "student", 0.5, 0.6, 0.4, 1.0, scale=1.0),
        Point("oracle", "student", 0.5, 0.6, 0.4, 0.3, budget=0.3),
    )
    path = _scratch() / "tradeoff.json"
    TradeOff("a", "rrc", "end_to_end", "none", 3, "spotter", None, points).write(path)
    return [path.read_bytes()]


def _scratch() -> Path:
    from tempfile import mkdtemp

    return Path(mkdtemp(prefix="whole"))


def _whole_checkpoint(folder: Path) -> None:
    make_checkpoint(folder / "whole.ckpt")


def _document(kind: str) -> Callable[[], Sequence[bytes]]:
    return lambda: samples.documents()[kind]


LISTED = ("images/img_1.jpg", "images/img_2.jpg")
WORDS = b"\xef\xbb\xbfone\ntwo\nthree words\ncaf\xc3\xa9\n"
COUNTED = b"# words\nthe\t1000\nand\t200\ncaf\xc3\xa9\t3\nplain\n"
OVERRIDES = (
    *(
        b"scale=0.5",
        b"budget=0.3",
        b"batch=4",
        b"ckpt=absent.ckpt",
        b"vocabulary=english",
        b"reference.long=1280",
        b"~vocabulary",
    ),
    *(b"+debug=tiny", b"data=icdar2015", b"data.strict=true", b"parts=[test]", b"second_pass.min_height=20", b"--cfg=job"),
    *(b"draw=true", b"device=cpu", b"out='a b'", b"limit=3", b"input=[a,b]", b"charset=printable", b"precision=fp32"),
)
TARGETS = {
    "icdar2015": paired(ICDAR2015, "gt_img_1.txt", "icdar2015", weight=4),
    "icdar2013": paired(ICDAR2013, "gt_img_1.txt", "icdar2013", weight=3),
    "mlt": paired(MLT, "gt_img_1.txt", "mlt", weight=3),
    "sroie": paired(SROIE, "img_1.txt", "sroie", weight=3),
    "ctw1500": paired(CTW1500, "0001.txt", "ctw1500", weight=3),
    "ctw1500_xml": paired(CTW1500, "0001.xml", "ctw1500_xml", weight=4),
    "totaltext": paired(TotalText, "gt_img_1.txt", "totaltext", weight=4),
    "totaltext_mat": Target(
        "gts/gt_img_1.mat", samples.totaltext, partial(entries, TotalText), weight=6, prepare=_one_photo("images/img_1.jpg")
    ),
    "synthtext": Target(
        "gt.mat", samples.synthtext, partial(entries, SynthText), weight=6, prepare=_photos(list(samples.IMAGES))
    ),
    "cocotext": Target(
        "cocotext.v2.json",
        _document("cocotext"),
        partial(entries, COCOText),
        mutate.damage_json,
        "json",
        4,
        _photos([f"train2014/{image['file_name']}" for image in samples.COCO["imgs"].values()]),
    ),
    "textocr": Target(
        "TextOCR_0.1_train.json",
        _document("textocr"),
        partial(entries, TextOCR),
        mutate.damage_json,
        "json",
        4,
        _photos(["train_images/train/ab.jpg"]),
    ),
    "davar": Target(
        "train_datalist.json",
        _document("davar"),
        partial(entries, DavarDatalist),
        mutate.damage_json,
        "json",
        4,
        _photos([name for name in samples.LIST if "/" in name]),
    ),
    "jsonl": Target(
        "a.jsonl", _document("jsonl"), partial(entries, JsonLines), mutate.damage_lines, "json", 4, _photos(LISTED)
    ),
    "score_truth": Target(
        "gt.zip",
        lambda: samples.archives("icdar2015_gt.zip", "totaltext_gt.zip"),
        scored("rrc", "end_to_end", True, "gt.zip"),
        mutate.damage_zip,
        weight=6,
    ),
    "score_predictions": Target(
        "preds.zip",
        lambda: samples.archives("icdar2015_perturbed.zip", "totaltext_perturbed.zip"),
        scored("rrc", "detection", False, "preds.zip"),
        mutate.damage_zip,
        weight=4,
    ),
    "score_davar": Target(
        "preds.zip",
        lambda: samples.archives("totaltext_units_shared.zip"),
        scored("davar", "end_to_end", False, "preds.zip"),
        mutate.damage_zip,
        weight=3,
    ),
    "score_text": Target(
        "preds/res_img_1.txt",
        lambda: samples.members("icdar2015_perturbed.zip"),
        scored("rrc", "end_to_end", False, "preds"),
        made="lines",
        weight=4,
    ),
    "score_lines": Target(
        "a.jsonl", _document("jsonl"), scored("rrc", "end_to_end", False, "a.jsonl"), mutate.damage_lines, "json", 4
    ),
    "lexicon": Target("words.txt", lambda: [WORDS], lambda folder: Lexicon.read(folder / "words.txt"), made="lines", weight=2),
    "vocabulary": Target(
        "words.txt", lambda: [COUNTED], lambda folder: Vocabulary(str(folder / "words.txt")), made="lines", weight=2
    ),
    "charset": Target("a.txt", lambda: [WORDS], lambda folder: read_characters(folder / "a.txt"), made="lines"),
    "image": Target("a.jpg", samples.photos, lambda folder: read_image(folder / "a.jpg"), weight=7),
    "demo_photo": Target("photo", samples.photos, lambda folder: decode((folder / "photo").read_bytes(), "photo"), weight=3),
    "checkpoint": Target("a.ckpt", checkpoints, read_checkpoint, mutate.damage_zip, weight=1.5),
    "provenance": Target("facts.json", provenances, read_provenance, mutate.damage_json, weight=0.8, prepare=_whole_checkpoint),
    "records": Target("records.json", records, read_records, mutate.damage_json, "json", 3),
    "outcomes": Target("a.npz", outcomes, lambda folder: Outcomes.load(folder / "a.npz"), mutate.damage_zip, weight=5),
    "engine_outcomes": Target(
        "a.npz", engine_outcomes, lambda folder: EngineOutcomes.load(folder / "a.npz"), mutate.damage_zip, weight=3
    ),
    "engine_policy": Target(
        "policy.json", engine_policies, lambda folder: SizePolicy.load(folder / "policy.json"), mutate.damage_json, "json", 2
    ),
    "tradeoff": Target(
        "tradeoff.json", tradeoffs, lambda folder: TradeOff.read(folder / "tradeoff.json"), mutate.damage_json, "json", 2
    ),
    "meta": Target("meta.json", _document("meta"), read_meta, mutate.damage_json, "json", 3),
    "overrides": Target("override", lambda: OVERRIDES, run_command, made="overrides", weight=0.5),
}
BROKEN = {
    f"broken_{end}": Target("a", lambda: [b""], read)
    for end, read in (("raise", broken.fail), ("exit", broken.leave), ("hang", broken.loop), ("memory", broken.fill))
}
"""Targets of the campaign's own tests."""
