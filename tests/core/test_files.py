"""Files that are whole or not there, and files of strangers."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from dld_spotter.core.errors import DataError
from dld_spotter.core.files import parse_json, read_bounded, save_picture, whole, write_text


def test_a_file_takes_the_place_of_the_earlier_one_at_the_end(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with whole(path) as partial:
        partial.write_text("half")
        assert (path.read_text(), partial.parent) == ("before", path.parent)
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path: Path, fault: BaseException):
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def write() -> None:
        with whole(path) as partial:
            partial.write_text("half")
            raise fault

    with pytest.raises(type(fault)):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_read_up_to_its_bound(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError) as caught:
        read_bounded(tmp_path / "a", 4)
    assert "more than" in caught.value.strerror


def test_devices_pipes_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError):
            read_bounded(path)


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".PNG", "PNG")])
def test_a_picture_has_the_format_of_its_suffix(tmp_path, suffix, kind):
    path = tmp_path / f"sheet{suffix}"
    save_picture(Image.new("RGB", (4, 3)), path)
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == (kind, (4, 3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("suffix", "error"), [(".jpg", OSError), (".txt", ValueError)])
def test_a_picture_that_cannot_be_written_leaves_the_one_before(tmp_path, suffix, error):
    path = tmp_path / f"sheet{suffix}"
    path.write_text("before")
    with pytest.raises(error):
        save_picture(Image.new("RGBA", (4, 3)), path)
    assert [(one, one.read_text()) for one in tmp_path.iterdir()] == [(path, "before")]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "{", "\ud800", b"\xff"])
def test_json_that_cannot_be_parsed_is_one_kind_of_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\u2028d", "a b c d"),
        ("\x1b[31mred\x07", "\\u001b[31mred\\u0007"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("half \ud83d", "half \\ud83d"),
        ("Caught DataError in worker 0.\nTraceback ...\ndld_spotter.core.errors.DataError: a: b; mend it", "a: b; mend it"),
    ],
)
def test_a_sentence_is_one_line_that_every_terminal_and_file_takes(text, shown):
    assert str(DataError(text)) == shown
    str(DataError(text)).encode()


def test_a_sentence_is_bounded_and_keeps_its_remedy():
    sentence = str(DataError(f"a.txt: found {'9' * 10**6}; correct it"))
    assert len(sentence) <= 2000
    assert sentence.startswith("a.txt: found 999")
    assert sentence.endswith("9; correct it")
