"""``meta.json`` of an export: what it may say, checked before anything of it is used. Needs no torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dld_spotter.core.errors import CheckpointError, shown
from dld_spotter.inference.provenance import (
    ARGUMENTS,
    CHARSET,
    NOTHING,
    PARTS,
    SCALES,
    THUMBNAIL,
    check_fields,
    check_plain,
)
from dld_spotter.inference.provenance import DECODER as TEXT_MAP_DECODER
from dld_spotter.inference.rules import Rule, either, number, one_of, several, text, whole

FORMAT = 9
META, DETECTOR, RECOGNIZER, RESCORER, SELECTOR = (
    "meta.json",
    "detector.onnx",
    "recognizer.onnx",
    "rescorer.onnx",
    "selector.onnx",
)
VOCABULARY = "vocabulary.txt"
FILES = (DETECTOR, RECOGNIZER, RESCORER, SELECTOR, VOCABULARY)
"""What may lie beside ``meta.json``."""
LARGEST = 16 * 2**20
"""Bytes of ``meta.json``."""
GROUP = Rule("values by name", lambda value: type(value) is dict)
RULES = {
    "charset": GROUP,
    "stride": whole(1, 1024),
    "scales": SCALES,
    "postprocess": GROUP,
    "full_resolution_crops": one_of(True, False),
    "min_score": number(0, 1),
    "max_length": whole(1, 4096),
    "vocabulary": either(NOTHING, text(4096)),
    "thumbnail": whole(1, THUMBNAIL),
    "gflops": GROUP,
    "provenance": GROUP,
    "selector": either(NOTHING, GROUP),
}
"""Entry of ``meta.json`` -> what it may be."""
SELECTOR_RULES = {
    "continuous": one_of(True, False),
    "scales": SCALES,
    "gammas": several(number(0, 1e18), 1, 64),
}


def read_meta(folder: Path) -> dict[str, Any]:
    """Read ``meta.json`` of an export.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    path = folder / META
    if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST):
        raise CheckpointError(f"{path} is no file of at most {LARGEST // 2**20} MiB; export again")
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; name a folder that `python -m dld_spotter.export` wrote") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); export again") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}; export again with this version of dld_spotter")
    check_meta(meta, path)
    return meta


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_mixture(meta: Mapping[str, Any], folder: Path) -> None:
    """Raise CheckpointError where a file of an export is not the one that ``meta.json`` was written for."""
    for name in FILES:
        expected, path = meta.get("files", {}).get(name), folder / name
        if path.is_file() and expected not in (None, digest(path)):
            raise CheckpointError(f"{path} is of another export than {folder / META}; export again")


def check_meta(meta: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError where ``meta.json`` says something that no export writes, naming the key."""
    check_plain(meta, path, tuple(f"provenance.training.model.{part}" for part in PARTS))
    check_fields(meta, RULES, "", path)
    check_fields(meta["gflops"], dict.fromkeys(("per_pixel", "per_word", "selector"), number(0, 1e12)), "gflops", path)
    if meta["selector"] is not None:
        check_fields(meta["selector"], SELECTOR_RULES, "selector", path)
    check_fields(meta["provenance"], {"training": GROUP}, "provenance", path)
    if "reads" in meta:
        check_fields(meta, {"reads": one_of("features", "pixels")}, "", path)
    if "files" in meta:
        check_fields(meta, {"files": GROUP}, "", path)
        check_fields(meta["files"], {name: text(64) for name in meta["files"]}, "files", path)
    for name, least in (("margin", 0), ("width_ratio", 0.1)):
        if name in meta:
            check_fields(meta, {name: number(least, 1)}, "", path)
    if "split_at_spaces" in meta:
        check_fields(meta, {"split_at_spaces": one_of(True, False)}, "", path)
    for name, target in (("charset", CHARSET), ("postprocess", TEXT_MAP_DECODER)):
        rules = ARGUMENTS[target]
        if foreign := sorted(set(meta[name]) - set(rules)):
            raise CheckpointError(f"{path} has the unknown {name}.{shown(foreign[0])}; export again")
        check_fields(meta[name], {key: rule for key in meta[name] if isinstance(rule := rules[key], Rule)}, name, path)
    if "characters" not in meta["charset"]:
        raise CheckpointError(f"{path} lacks charset.characters; export again")
