"""Ends commands at random moments, starts them again, and compares the end with that of the undisturbed run.

A command runs in a fork of this process, which has imported everything, so that nearly all of its time is its own work.
"""

import json
import os
import random
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from dld_spotter.inference.onnx_meta import digest
from dld_spotter.tradeoff import Outcomes, TradeOff
from dld_spotter.tradeoff.measures import MEASURES
from tests.data.samples import box, sample
from tests.integration.runs import SCENES, SMALL, Ended, run
from tests.trained import make_checkpoint

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TIMED = ("seconds", "commit")
"""What two runs of the same do not share."""
PARTIAL = "*.partial"


@dataclass(frozen=True)
class Case:
    """A command that is ended.

    Args:
        name: of the row in the table.
        command: such as ``train``.
        arguments: of the command, from its folder.
        result: what it leaves, as plain values that two runs share.
        again: what is added when it is started again.
    """

    name: str
    command: str
    arguments: Callable[[Path], Sequence[str]]
    result: Callable[[Path], Any]
    again: Sequence[str] = ()


@dataclass
class Row:
    """What became of a case: how often it was ended, before its end, and how often the end was the same.

    Args:
        name: of the case.
        ended: kills that came before the end.
        late: kills that came after it.
        equal: runs whose end was that of the undisturbed one.
        notes: what was wrong, a sentence each.
    """

    name: str
    ended: int
    late: int
    equal: int
    notes: list[str]


def forked(case: Case, folder: Path, again: bool, kill: tuple[int, float] | None = None) -> Ended:
    """Run a command in a process of its own; end it with ``kill``, a signal and seconds, unless it is over by then.

    Returns:
        how it ended; by a signal that nothing handled, with its number below 0.
    """
    log = folder / "ended.json"
    folder.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            ended = run(case.command, *case.arguments(folder), *(case.again if again else ()))
            log.write_text(json.dumps([ended.status, ended.stdout, ended.stderr]))
            status = ended.status if isinstance(ended.status, int) else 1
        finally:
            os._exit(status)  # nothing of the process that was forked is cleaned up twice
    deadline = time.monotonic() + kill[1] if kill else None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if deadline is not None and time.monotonic() > deadline:
            os.kill(child, kill[0])
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    _, stdout, stderr = json.loads(log.read_text()) if log.is_file() else (None, "", "")
    return Ended(code, stdout, stderr)


def stress(case: Case, folder: Path, kills: int, draw: random.Random) -> Row:
    """End a command ``kills`` times, each time in a folder of its own, and start it again until it is done."""
    start = time.monotonic()
    ended = forked(case, folder / "undisturbed", again=False)
    seconds = time.monotonic() - start
    if ended.status:
        return Row(case.name, 0, 0, 0, [f"the undisturbed run ended with {ended.status}: {ended.stderr[-300:]}"])
    expected = case.result(folder / "undisturbed")
    row = Row(case.name, 0, 0, 0, [])
    for number in range(kills):
        place, number_of_signal = folder / str(number), SIGNALS[number % len(SIGNALS)]
        ended = forked(case, place, False, (number_of_signal, draw.uniform(0.02, 0.95) * seconds))
        row.ended += ended.status != 0
        row.late += ended.status == 0
        row.notes += complaints(ended, number_of_signal)
        ended = forked(case, place, again=True)
        if ended.status:
            row.notes.append(f"{number}: started again it ended with {ended.status}: {ended.stderr[-300:]}")
            continue
        different = differences(expected, case.result(place))
        row.equal += not different
        row.notes += [f"{number}: {different}"] * bool(different)
        row.notes += [f"{number}: left {path.name}" for path in place.rglob(PARTIAL) if number_of_signal != signal.SIGKILL]
    return row


def complaints(ended: Ended, number: int) -> list[str]:
    """What is wrong with the way in which a command has ended: it says one sentence, unless it was killed."""
    if ended.status in (0, -signal.SIGKILL):
        return []
    lines = ended.stderr.splitlines()
    told = [line for line in lines if line.startswith(f"error: stopped by {signal.Signals(number).name}; ")]
    if ended.status != 128 + number or len(told) != 1 or "Traceback" in ended.stderr:
        return [f"{signal.Signals(number).name} ended with {ended.status}: {ended.stderr[-300:]}"]
    return []


def differences(expected: Any, found: Any, where: str = "") -> str:
    """The first place where two results differ; numbers may by what float arithmetic loses, everything else not at all."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            return f"{where}: {sorted(map(str, expected.keys() ^ found.keys()))[:3]}"
        parts = [(key, expected[key], found[key]) for key in expected]
        return next((told for key, *pair in parts if (told := differences(*pair, f"{where}/{key}"))), "")
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return next((told for k, pair in pairs if (told := differences(*pair, f"{where}/{k}"))), "")
    if isinstance(expected, float) and isinstance(found, float):
        return "" if np.isclose(expected, found, rtol=1e-6, atol=1e-9, equal_nan=True) else f"{where}: {expected} and {found}"
    return "" if expected == found else f"{where}: {str(expected)[:60]} and {str(found)[:60]}"


def curve(folder: Path) -> dict[str, dict[str, float]]:
    """Everything that a training has logged, by what it is and its step; of what was logged twice, the last."""
    earlier = sorted(folder.glob("metrics.*.csv"), key=lambda path: int(path.name.split(".")[1]))
    rows: dict[str, dict[str, float]] = {}
    for path in [*earlier, folder / "metrics.csv"]:
        if path.is_file() and path.stat().st_size:
            for row in pd.read_csv(path).to_dict("records"):
                known = {key: float(value) for key, value in row.items() if not np.isnan(value)}
                rows[f"{known['step']:g} of {sorted(known)}"] = known
    return rows


def untimed(tree: Any) -> Any:
    """The same without what differs between any two runs."""
    if isinstance(tree, dict):
        return {key: untimed(value) for key, value in tree.items() if key not in TIMED}
    return [untimed(value) for value in tree] if isinstance(tree, list | tuple) else tree


def points(folder: Path) -> Any:
    """The trade-off of a folder."""
    return untimed(TradeOff.read(folder / "tradeoff.json").to_dict())


def trained(folder: Path) -> Any:
    """Curve, trade-off and weights of a training."""
    return {"curve": curve(folder), "points": points(folder), "weights": weights(folder / "checkpoints" / "best.ckpt")}


def weights(path: Path) -> dict[str, list[float]]:
    """The weights of a checkpoint."""
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name: value.double().flatten().tolist() for name, value in state.items()}


def outcomes(path: Path) -> Any:
    """A table of outcomes, its seconds apart."""
    table = Outcomes.load(path)
    return {"names": table.names} | {key: getattr(table, key).tolist() for key in MEASURES if key != "seconds"}


def fitted(folder: Path) -> Any:
    """What a fitting leaves."""
    content = torch.load(folder / "student.ckpt", weights_only=True)
    return {"weights": weights(folder / "student.ckpt"), "facts": untimed(content["dld_spotter"])}


def evaluated(folder: Path) -> Any:
    """What an evaluation leaves."""
    facts = untimed(json.loads((folder / "evaluation.json").read_text()))
    facts.pop("spent")  # holds milliseconds
    with zipfile.ZipFile(folder / "predictions.zip") as archive:
        return {"facts": facts, "words": {name: archive.read(name).decode() for name in sorted(archive.namelist())}}


def read(folder: Path) -> Any:
    """Lines of a reading, in their order."""
    lines = [untimed(json.loads(line)) for line in (folder / "words.jsonl").read_text().splitlines()]
    return [line | {"image": Path(line["image"]).name} for line in lines]


def exported(folder: Path) -> Any:
    """An export: what it says, and whether each file is the one that it names."""
    meta = json.loads((folder / "meta.json").read_text())
    whole = {name: digest(folder / name) == known for name, known in meta["files"].items()}
    return {key: value for key, value in meta.items() if key != "files"} | {"files": whole}


def cases(material: Path) -> list[Case]:
    """Every command, on checkpoints and photos that are written to ``material``."""
    photos = material / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for number in range(12):
        words = [box(8, 8, 50, 20), box(20, 60, 60, 24)]
        Image.fromarray(sample(200 + number, 240, words, ["cat", "dog"]).image).save(photos / f"{number:02}.png")
    student = make_checkpoint(material / "student.ckpt")
    budgeted = make_checkpoint(material / "budgeted.ckpt", selector=False, operating_points=True)
    scenes = tuple(option for option in SCENES if option.startswith("data.test"))
    small_tests = (*scenes, "data.test.length=8", "data.workers=0", "resamples=20", "device=cpu")
    passes = (
        "trainer.limit_train_batches=4",
        "trainer.val_check_interval=0.5",
        "stages.teacher.epochs=1",
        "stages.distillation.epochs=2",
    )
    often = "callbacks.last.minutes=0.0001"
    one_stage = ("stages.teacher.epochs=0", f"stages.teacher.checkpoint={material / 'teacher.ckpt'}", "evaluation.retention=0")
    validation = tuple(f"data.validation.renderer.layout.{side}" for side in ("height=96", "width=128"))
    return [
        Case(
            "train, both stages",
            "train",
            lambda folder: [*SMALL, *SCENES, *passes, often, f"paths.output_dir={folder}"],
            trained,
            ["resume=auto"],
        ),
        Case(
            "train -m, a sweep of two",
            "train",
            lambda folder: ["-m", *SMALL, *SCENES, *one_stage, "seed=1,2", f"paths.output_dir={folder}"],
            points,
            ["resume=auto"],
        ),
        Case(
            "fit_operating_points",
            "fit_operating_points",
            lambda folder: [
                *(f"ckpt={student}", *validation, "data.validation.length=5", "data.workers=0", "images=5"),
                *("evaluation.rules.task=detection", f"paths.output_dir={folder}"),
            ],
            fitted,
        ),
        Case(
            "measure",
            "measure",
            lambda folder: [f"ckpt={student}", *small_tests, "two_pass=true", f"paths.output_dir={folder}"],
            lambda folder: {"points": points(folder), "table": outcomes(folder / "outcomes_two_pass.npz")},
            ["resume=true"],
        ),
        Case(
            "evaluate budget=0.5",
            "evaluate",
            lambda folder: [f"ckpt={budgeted}", *small_tests, "budget=0.5", f"paths.output_dir={folder}"],
            evaluated,
        ),
        Case(
            "predict budget=0.5",
            "predict",
            lambda folder: [
                *(f"ckpt={budgeted}", f"input={photos}", "budget=0.5", "draw=false", f"out={folder / 'words.jsonl'}"),
                *("device=cpu", f"paths.output_dir={folder}"),
            ],
            read,
        ),
        Case("export", "export", lambda folder: [f"ckpt={student}", f"out={folder}", "images=1"], exported),
    ]


def run_all(folder: Path, kills: tuple[int, int], seed: int, wanted: Sequence[str], tell: Callable[[Row], None]) -> list[Row]:
    """Stress the commands whose names begin with one of ``wanted``.

    Args:
        folder: gets everything.
        kills: of the training of both stages, which also gives the teacher of others, and of each other command.
        seed: of the moments.
        wanted: beginnings of names; empty for all.
        tell: is called with each row.
    """
    rows, teacher = [], folder / "material" / "teacher.ckpt"
    for number, case in enumerate(cases(folder / "material")):
        if wanted and not any(case.name.startswith(name) for name in wanted):
            continue
        row = stress(case, folder / str(number), kills[min(number, 1)], random.Random(f"{seed} {case.name}"))
        if number == 0:
            shutil.copyfile(folder / "0" / "undisturbed" / "checkpoints" / "teacher.ckpt", teacher)
        rows.append(row)
        tell(row)
    return rows
