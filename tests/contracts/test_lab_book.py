"""The lab book in ``experiments/``: READMEs of one form, and an index made of them."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
BOOK = runpy.run_path(str(EXPERIMENTS / "index.py"))
STUDIES = BOOK["find_studies"](EXPERIMENTS)
README = """\
# 07 Box jitter

**Question.** Boxes are loose. Do *looser* boxes
help ([06](../06_other), [script](run.py), [page](../../docs/a.md), [paper](https://a.b))? Why?

**Command.**

    python -m dld_spotter.train +experiments=07_box_jitter

**Result.**

| before | after |
|---|---|
| 1 | 2 |

**Conclusion (helped).** Yes, by 0.5 points. More is not known.

- One seed.
"""
HEAD = "# Lab book\n\n" + BOOK["MARK"]
ROW = (
    "| 07 | [Box jitter](07_box_jitter) | Do *looser* boxes help ([06](06_other), [script](07_box_jitter/run.py), "
    "[page](../docs/a.md), [paper](https://a.b))? | Yes, by 0.5 points. | helped |"
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A lab book of one study, whose index is not written yet."""
    (tmp_path / "07_box_jitter").mkdir()
    (tmp_path / "07_box_jitter" / "README.md").write_text(README)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text(HEAD + "| an earlier index |\n")
    return tmp_path


@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_every_study_has_a_readme_of_the_form(folder: Path):
    assert BOOK["read_study"](folder).question


def test_studies_are_numbered_from_one_without_a_gap():
    numbers = [int(path.name.partition("_")[0]) for path in STUDIES]
    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_folder_is_a_study_or_the_benchmarks():
    folders = {path.parent for path in EXPERIMENTS.glob("*/*") if path.parent.name != "__pycache__"}
    assert folders - set(STUDIES) == {EXPERIMENTS / "benchmarks"}


def test_the_index_of_the_repository_is_up_to_date():
    assert BOOK["main"](EXPERIMENTS, check=True) == 0


def test_a_study_becomes_a_row_below_what_is_written_by_hand(book: Path):
    assert BOOK["main"](book) == 0
    written = (book / "README.md").read_text()
    assert written.startswith(HEAD)
    assert written.splitlines()[-1] == ROW
    assert "earlier" not in written
    assert BOOK["main"](book, check=True) == 0


def test_a_stale_index_fails_and_stays_as_it_is(book: Path, capsys: pytest.CaptureFixture[str]):
    before = (book / "README.md").read_text()
    assert BOOK["main"](book, check=True) == 1
    assert "is stale; run python experiments/index.py" in capsys.readouterr().err
    assert (book / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text.replace("# 07", "# 08"), "must begin with '# 07 ' and a title, not with '# 08 Box jitter'"),
        (lambda text: text.replace("**Command.**", ""), "must have the parts Question, Command, Result, Conclusion, not"),
        (lambda text: text.replace("(helped)", "(perhaps)"), "helped, did not help, neutral in brackets, not perhaps"),
        (lambda text: text.replace(" (helped)", ""), "helped, did not help, neutral in brackets, not None"),
        (lambda text: text.replace("?", "."), "asks no question"),
        (lambda text: text + "\n" * 70, "lines; at most 80 are allowed"),
    ],
)
def test_a_readme_of_another_form_is_named(
    book: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[str], str], told: str
):
    path = book / "07_box_jitter" / "README.md"
    path.write_text(spoil(README))
    assert BOOK["main"](book) == 1
    error = capsys.readouterr().err
    assert told in error
    assert str(path) in error


def test_a_study_without_a_readme_and_an_index_without_its_mark_are_named(book: Path, capsys: pytest.CaptureFixture[str]):
    (book / "07_box_jitter" / "README.md").unlink()
    assert BOOK["main"](book) == 1
    assert "07_box_jitter/README.md is missing" in capsys.readouterr().err
    (book / "README.md").write_text("# Lab book\n")
    assert BOOK["main"](book) == 1
    assert "below which the index stands" in capsys.readouterr().err
