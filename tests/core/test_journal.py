"""What a reading keeps of what it has read."""

from pathlib import Path

import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.journal import Journal

FACTS = {"scales": [0.5, 1.0]}


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The journal of a reading that ended in the middle of a line."""
    path = tmp_path / "student.journal"
    journal = Journal(path, FACTS, resume=False)
    journal.add("img_1", [[1.0, 0.1]])
    journal.add("img_2", [[float("nan"), 2.0]])
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"name": "img_3", "ro')
    return path


def test_what_was_read_is_there_and_a_cut_line_is_not(stopped: Path):
    journal = Journal(stopped, FACTS, resume=True)
    assert list(journal.rows) == ["img_1", "img_2"]
    assert journal.rows["img_1"] == [[1.0, 0.1]]
    journal.add("img_3", [[3.0, 4.0]])
    journal.close()
    assert list(Journal(stopped, FACTS, resume=True).rows) == ["img_1", "img_2", "img_3"]


def test_without_resume_it_begins_anew(stopped: Path):
    assert Journal(stopped, FACTS, resume=False).rows == {}


def test_other_settings_are_refused(stopped: Path):
    with pytest.raises(ConfigError, match="was read with other settings; give the same, or resume=false"):
        Journal(stopped, {"scales": [0.3, 1.0]}, resume=True)


def test_it_can_be_removed(stopped: Path):
    Journal(stopped, FACTS, resume=True).remove()
    assert not stopped.exists()
