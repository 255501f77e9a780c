"""Archives that lie about themselves, beside what numpy and zipfile write."""

import io
import struct
import zipfile

import numpy as np
import pytest

from dld_spotter.core.archives import UNREADABLE, Bounds, open_archive, read_arrays

BOUNDS = Bounds(members=5, member=2**20, archive=2**21)
ARRAYS = {"a": np.arange(12.0).reshape(3, 4), "b": np.array(["é", "ab"]), "c": np.asfortranarray(np.ones((2, 3), np.int8))}


def pack(path, files, way=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", way) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def contents(path, bounds=BOUNDS):
    with open_archive(path, bounds) as archive:
        return {info.filename: archive.read(info) for info in archive.infos}


def lie(path, size):
    """Let both places that state the size of the first member state another one."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", content, content.index(mark) + offset, size)
    path.write_bytes(content)


def npy(header, content=b""):
    text = f"{header}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def test_members_are_read_as_zipfile_reads_them(tmp_path):
    files = {"a.txt": b"one" * 1000, "b/c.txt": b"", "d": bytes(range(256))}
    for way in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert contents(pack(tmp_path / "a.zip", files, way)) == files


@pytest.mark.parametrize("size", [1, 100, 2**20])
def test_a_member_that_lies_about_its_size_is_never_unpacked_whole(tmp_path, size, monkeypatch):
    path = pack(tmp_path / "a.zip", {"a.txt": bytes(2**27)})
    lie(path, size)
    asked = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: asked.append(n) or read(self, n))
    with pytest.raises(UNREADABLE):
        contents(path)
    assert all(0 < n <= 2**20 for n in asked)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({str(n): b"" for n in range(6)}, "holds 6 files, more than 5"),
        ({"a": bytes(2**20 + 1)}, "would unpack to 1 MiB"),
        ({n: bytes(2**20) for n in "abc"}, "would unpack to 3 MiB"),
    ],
)
def test_archives_beyond_their_bounds_are_refused_unread(tmp_path, files, told):
    with pytest.raises(ValueError, match=told):
        contents(pack(tmp_path / "a.zip", files))


def test_a_ratio_beyond_what_texts_have_is_refused(tmp_path):
    path = pack(tmp_path / "a.zip", {"a": bytes(2**20), "b": bytes(2**20)})
    assert path.stat().st_size * 100 < 2**21
    with pytest.raises(ValueError, match="would unpack to 2 MiB"):
        contents(path)


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_of_packing_that_cannot_be_stopped_are_refused(tmp_path, way):
    with pytest.raises(ValueError, match="packed in an unusual way"):
        contents(pack(tmp_path / "a.zip", {"a": b"text"}, way))


def test_a_list_of_millions_of_members_is_refused_unread(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", {"a": b""})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\5\6") + 12, 2**30)
    path.write_bytes(content)
    monkeypatch.setattr(zipfile.ZipFile, "__init__", None)
    with pytest.raises(ValueError, match="list of files has more than 16 MiB"):
        contents(path)


def test_arrays_are_those_that_numpy_wrote(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **ARRAYS)
        found = read_arrays(tmp_path / "a.npz", list(ARRAYS), BOUNDS)
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == values.dtype


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (28000000000,)}"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", bytes(8)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n(S'true'\ntR."),
        npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", b"\xff\xff\xff\xff"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1e99,)}"),
        npy("(" * 5000),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
    ids=["224 GB", "negative", "a pickle", "no characters", "a fraction", "too deep", "another version", "nothing"],
)
def test_arrays_that_are_not_what_they_claim_are_refused(tmp_path, content):
    path = pack(tmp_path / "a.npz", {"a.npy": content})
    with pytest.raises(UNREADABLE):
        read_arrays(path, ["a"], BOUNDS)


def test_a_pickle_is_never_loaded(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds no numbers or texts"):
        read_arrays(pack(tmp_path / "a.npz", {"a.npy": stream.getvalue()}), ["a"], BOUNDS)
