"""A few inputs of every kind; ``make fuzz`` tries 100,000."""

from pathlib import Path

from tests.fuzz.campaign import campaign, shares
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import CHUNK, inputs

INPUTS = Path(__file__).parents[3] / "shared" / "faults" / "inputs"


def test_every_kind_of_input_is_told_in_a_sentence(tmp_path):
    counts = shares({name: target.weight for name, target in TARGETS.items()}, 400)
    found = dict(campaign(counts, 7, tmp_path))
    assert {name: dict(tally.faults) for name, tally in found.items()} == {name: {} for name in TARGETS}
    assert {name: tally.inputs for name, tally in found.items()} == counts


def test_a_seed_gives_the_same_inputs_and_another_seed_others():
    first, again, other = (list(inputs("jsonl", seed, 0)) for seed in (1, 1, 2))
    assert first == again
    assert len(first) == CHUNK
    assert sum(a != b for a, b in zip(first, other, strict=True)) > CHUNK / 2
