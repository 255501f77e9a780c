"""A few inputs of every kind, and those that once failed; ``make fuzz`` tries 100,000."""

from pathlib import Path

import pytest

from tests.fuzz.campaign import campaign, shares
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import CHUNK, attempt, inputs

FAULTS = Path(__file__).parents[3] / "shared" / "faults" / "inputs"
KINDS = {
    "ckpt": "provenance",
    "cocotext": "cocotext",
    "davar": "davar",
    "image": "image",
    "eps": "image",
    "jsonl": "jsonl",
    "outcomes": "outcomes",
    "overrides": "overrides",
    "score_txt": "score_text",
    "score_zip": "score_predictions",
    "zip_lie": "score_truth",
    "textocr": "textocr",
    "synthtext": "synthtext",
    "totaltext": "totaltext_mat",
}
"""Part of the name of an input -> what reads it."""


def test_every_kind_of_input_is_told_in_a_sentence(tmp_path):
    counts = shares({name: target.weight for name, target in TARGETS.items()}, 240)
    found = dict(campaign(counts, 7, tmp_path))
    assert {name: dict(tally.faults) for name, tally in found.items()} == {name: {} for name in TARGETS}
    assert {name: tally.inputs for name, tally in found.items()} == counts


def test_a_seed_gives_the_same_inputs_and_another_seed_others():
    first, again, other = (list(inputs("jsonl", seed, 0)) for seed in (1, 1, 2))
    assert first == again
    assert len(first) == CHUNK
    assert sum(a != b for a, b in zip(first, other, strict=True)) > CHUNK / 2


@pytest.mark.slow
@pytest.mark.parametrize("end", ["raise", "exit", "hang", "memory"])
def test_what_is_no_sentence_is_counted(tmp_path, end):
    """The campaign sees a reader that fails, ends its process, loops, or takes all of the memory."""
    (tally,) = dict(campaign({f"broken_{end}": 2}, 1, tmp_path)).values()
    assert tally.inputs == 2
    expected = {"raise": "ZeroDivisionError", "exit": "ended with 3", "hang": "hang", "memory": "MemoryError"}[end]
    assert [kind.split(" elsewhere")[0] for kind in tally.faults] == [expected]
    assert tally.faults.total() == 2


@pytest.mark.skipif(not FAULTS.is_dir(), reason=f"{FAULTS} is absent")
def test_inputs_that_once_failed_are_told_in_a_sentence(tmp_path):
    faults = {}
    for folder in sorted(FAULTS.iterdir()):
        (path,) = folder.iterdir()
        name = next(name for part, name in KINDS.items() if part in folder.name.partition("-")[2])
        target, place = TARGETS[name], tmp_path / folder.name
        (place / target.file).parent.mkdir(parents=True)
        target.prepare(place)
        faults[folder.name] = attempt(name, place, path.read_bytes())
    assert len(faults) > 40
    assert {name: fault for name, fault in faults.items() if fault} == {}
