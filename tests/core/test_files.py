"""Files that are whole or not there."""

import errno
from pathlib import Path

import pytest

from dld_spotter.core.files import whole, write_text


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
