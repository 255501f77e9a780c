"""Reads the file that an offline run of Weights & Biases leaves: a log in LevelDB's form, one protocol buffer a record."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

HEADER = 7
BLOCK = 32768
FULL, LAST = 1, 4


def records(path: Path) -> Iterator[Record]:
    """All records of a ``.wandb`` file."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, parts = HEADER, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # the rest of a block is padding
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            yield Record.FromString(parts)
            parts = b""


def history(path: Path) -> list[dict[str, Any]]:
    """The rows that were logged, each with the metrics of one call."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(path)
        if record.HasField("history")
    ]


def run_of(path: Path) -> dict[str, Any]:
    """Group and configuration of the run."""
    found = next(record.run for record in records(path) if record.HasField("run"))
    config = {update.key or "/".join(update.nested_key): json.loads(update.value_json) for update in found.config.update}
    for record in records(path):
        if record.HasField("config"):
            config |= {u.key or "/".join(u.nested_key): json.loads(u.value_json) for u in record.config.update}
    return {"group": found.run_group, "project": found.project, "config": config}


def summary_of(record: Record) -> dict[str, Any]:
    """What a record adds to the summary of the run."""
    if not record.HasField("summary"):
        return {}
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update}
