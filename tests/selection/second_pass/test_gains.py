"""What second passes bring: learned from probes whose gains are known."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import SpottingResult
from dld_spotter.inference.second_pass.probing import Again, Probe, learn_gains, worth
from dld_spotter.selection.second_pass.gains import SHAPE, Gains, height_bin
from dld_spotter.selection.second_pass.regions import Region

TABLE = np.array([[0.5, 0.2, 0, 0, 0], [2.0, 1.0, 0.5, 0.2, 0.1], [0, 1.0, 0.8, 0.6, 0.4], [0.3, 0.2, 0.1, 0, 0]])


def probe(rng: np.random.Generator, scale: float, noise: float = 0.0) -> Probe:
    """An image with ten regions, in which each unit of evidence brings what ``TABLE`` says."""
    evidence = rng.poisson(1.0, (10, *SHAPE)).astype(float)
    right = (evidence * TABLE).sum((1, 2)) + noise * rng.normal(size=10)
    changes = np.stack([right, right, np.zeros(10)], axis=1)  # what is read is right
    counts = np.array([5.0, 8.0, 40.0])
    again = {
        second: Again(share * changes, np.ones(10), counts + share * changes.sum(0), SpottingResult([], ((100, 100),), (10,)))
        for second, share in ((0.8, 0.25), (1.0, 1.0))
    }
    first = SpottingResult([], ((30, 30),), (8,))
    regions = [Region((0, 0, 9, 9), one) for one in evidence]
    return Probe((100, 100), scale, first, counts, np.zeros((0, 2)), regions, np.ones(10), again)


def test_known_gains_are_learned():
    rng = np.random.default_rng(0)
    gains = learn_gains([[probe(rng, 0.3, 0.3), probe(rng, 0.5, 0.3)] for _ in range(150)], 0.4)
    for scale in (0.3, 0.5):
        np.testing.assert_allclose(gains.tables[scale][1.0], TABLE, atol=0.12)
        np.testing.assert_allclose(gains.tables[scale][0.8], 0.25 * TABLE, atol=0.03)


def test_what_brings_nothing_is_expected_to_bring_nothing_and_never_less():
    rng = np.random.default_rng(0)
    row = [probe(rng, 0.3) for _ in range(20)]
    lost = [replace(one, again={1.0: replace(one.again[1.0], regions=-one.again[1.0].regions)}) for one in row]
    gains = learn_gains([[one] for one in lost], 0.4)
    assert not np.any(gains.tables[0.3][1.0])


def test_a_false_word_takes_what_it_costs():
    assert worth(np.array([[3.0, 5.0, 9.0], [0.0, 1.0, 9.0]]), 0.4).tolist() == pytest.approx([3 - 0.8, -0.4])


def test_the_tables_of_the_nearest_scale_are_taken():
    low, high = (tuple(map(tuple, table.tolist())) for table in (TABLE, 2 * TABLE))
    gains = Gains({0.2: {0.5: low, 1.0: high}, 0.5: {1.0: low}})
    evidence = np.zeros((1, *SHAPE))
    evidence[0, 1, height_bin(10.0)] = 3.0
    assert {second: words.tolist() for second, words in gains.of(0.2, evidence).items()} == {0.5: [3.0], 1.0: [6.0]}
    assert {second: words.tolist() for second, words in gains.of(0.36, evidence).items()} == {1.0: [3.0]}
    assert {second: words.tolist() for second, words in gains.of(0.34, evidence).items()} == {1.0: [6.0]}  # 0.5 is too near
    assert [height_bin(height) for height in (7.9, 8.1, 29.0, 31.0)] == [0, 1, 3, 4]


def test_damaged_tables_are_refused():
    row = (0.0,) * 5
    assert Gains({0.3: {1.0: (row,) * 4}}).tables
    for tables in (
        {},
        {0.3: {}},
        {0.3: {1.0: (row,) * 3}},
        {0.3: {1.0: (*(row,) * 3, (-1.0, *row[1:]))}},
        {0.3: {1.0: (*(row,) * 3, (inf, *row[1:]))}},
        {0.3: {1.0: ((0.0,), *(row,) * 3)}},
        {0.3: {50.0: (row,) * 4}},
        {0.3: {0.2: (row,) * 4}},
    ):
        with pytest.raises(ConfigError, match="gains need a table"):
            Gains(tables)
