"""MATLAB files beside scipy's reader, which is right where they are whole and crashes where they are not."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.mat import read_mat, text_of

HOSTILE = Path(__file__).parents[4] / "shared" / "faults" / "inputs"


def cells(*values):
    made = np.empty((1, len(values)), object)
    for place, value in enumerate(values):
        made[0, place] = value
    return made


VALUES = {
    "numbers": np.arange(24.0).reshape(2, 3, 4),
    "bytes": np.array([[1, 250]], np.uint8),
    "whole": np.array([[-5, 2**40]], np.int64),
    "single": np.float32([[0.5]]),
    "text": np.array(["caf\u00e9 \u4e2d\u6587"]),
    "rows": np.array(["one\n", "longer ", ""]),
    "nothing": np.zeros((0, 0)),
    "cells": cells(np.array(["a"]), np.eye(2), cells(np.array(["within"]), np.zeros((0, 0)))),
    "table": np.array([[1.0, 2.0], [3.0, 4.0]], object),
}


def same(one, other):
    if one.dtype == object:
        return one.shape == other.shape and all(map(same, one.flat, other.flat))
    return one.shape == other.shape and np.array_equal(one, other)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_that_scipy_reads(tmp_path, name, packed):
    path = tmp_path / "a.mat"
    savemat(path, {"other": np.ones((50, 50)), name: VALUES[name]}, do_compression=packed)
    assert same(read_mat(path, name), loadmat(path)[name])


def test_the_first_of_several_names_is_taken(tmp_path):
    savemat(tmp_path / "a.mat", {"gt": np.ones(2), "polygt": np.zeros(3)})
    assert read_mat(tmp_path / "a.mat", "polygt", "gt").sum() == 0
    assert read_mat(tmp_path / "a.mat", "absent", "gt").sum() == 2
    with pytest.raises(DataError, match=r"a\.mat holds no absent"):
        read_mat(tmp_path / "a.mat", "absent")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (np.array([[2013.0]]), "2013"),
        (np.array([[7]], np.uint8), "7"),
        (np.array([[0.5]]), "0.5"),
        (np.array(["2013.0"]), "2013.0"),
    ],
)
def test_a_number_as_a_text_is_written_as_it_stands_in_the_photo(tmp_path, cell, text):
    savemat(tmp_path / "a.mat", {"a": cells(cell, np.zeros((0, 0)))})
    found = read_mat(tmp_path / "a.mat", "a")
    assert [text_of(value) for value in found.flat] == [text, ""]


@pytest.mark.parametrize("packed", [False, True])
def test_every_cut_and_every_changed_byte_ends_in_a_value_or_a_sentence(tmp_path, packed):
    path, damaged = tmp_path / "a.mat", tmp_path / "b.mat"
    savemat(path, {"a": VALUES["cells"], "b": VALUES["rows"]}, do_compression=packed)
    whole = path.read_bytes()
    changed = [whole[:place] for place in range(0, len(whole), 3)]
    for place in range(120, len(whole)):
        changed += [whole[:place] + bytes([value]) + whole[place + 1 :] for value in (0, 1, 0x7F, 0xFF)]
    told = []
    for content in changed:
        damaged.write_bytes(content)
        for name in ("a", "b"):
            try:
                read_mat(damaged, name)
            except DataError as error:
                told.append("b.mat" in str(error))
    assert len(told) > 100
    assert all(told)


def variable(shape, content, kind=6):
    head = struct.pack("<IIII", 6, 8, kind, 0) + struct.pack(f"<II{len(shape)}i", 5, 4 * len(shape), *shape)
    body = head + bytes(-len(head) % 8) + struct.pack("<HH4s", 1, 1, b"a") + content
    return struct.pack("<II", 14, len(body)) + body


def in_file(*elements):
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"".join(elements)


BOMB = zlib.compress(struct.pack("<II", 14, 2**30) + variable((1, 1), b"")[8:] + bytes(2**25))
NESTED = variable((1, 1), b"")
for _ in range(40):
    NESTED = variable((1, 1), NESTED, kind=1)


@pytest.mark.parametrize(
    "content",
    [
        in_file(variable((2**31 - 1, 2**31 - 1), struct.pack("<II", 9, 8) + bytes(8))),
        in_file(variable((2**31 - 1, 2), b"", kind=1)),
        in_file(variable((-1, 2), struct.pack("<II", 9, 8) + bytes(8))),
        in_file(struct.pack("<II", 15, len(BOMB)) + BOMB),
        in_file(struct.pack("<II", 14, 2**32 - 1)),
        in_file(NESTED),
        in_file(variable((1, 1), b"", kind=2)),
        b"",
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM",
        bytes(200),
    ],
    ids=[
        "too many numbers",
        "too many cells",
        "negative",
        "a bomb",
        "too long",
        "too deep",
        "a structure",
        "empty",
        "7.3",
        "zeros",
    ],
)
def test_what_claims_more_than_there_is_is_refused(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mat (cannot be read as a MATLAB file|holds no a)"):
        read_mat(tmp_path / "a.mat", "a")


@pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"{HOSTILE} is absent")
@pytest.mark.parametrize("number", [*range(20, 22), *range(34, 43), *range(46, 49)])
def test_files_that_ended_the_process(number):
    (folder,) = HOSTILE.glob(f"{number}-*")
    (path,) = folder.iterdir()
    told = []
    for names in (("polygt", "gt"), ("imnames",), ("txt",), ("wordBB",)):
        try:
            read_mat(path, *names)
        except DataError as error:
            told.append(path.name in str(error))
    assert told
    assert all(told)
