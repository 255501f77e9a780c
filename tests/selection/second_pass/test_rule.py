"""When and where an image is read again: whatever brings most beyond its cost."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dld_spotter.budget.cap import CostCap
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.words import SpottingResult
from dld_spotter.selection.second_pass.gains import FOUND, READ, SHAPE, UNREAD, Gains, second_scales
from dld_spotter.selection.second_pass.regions import Region
from dld_spotter.selection.second_pass.rule import SecondPass, SecondPassRule, choose
from tests.selection.second_pass.tables import area, gained


def test_what_brings_most_beyond_the_gain_threshold_is_taken():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    small, large = Region((0, 0, 20, 10), evidence), Region((0, 50, 100, 100), 4 * evidence)  # 2 and 50 % of the image
    both, whole = [small, large], (100, 100)

    def chosen(threshold: float, between: float = 0.0) -> SecondPass | None:
        return choose(both, 0.25, whole, gained(1.0, between), threshold, area)

    assert chosen(51) is None
    assert chosen(49) == SecondPass(1.0, [small])  # 1 word for 2 %
    assert chosen(9) == SecondPass(1.0, [small])  # the other one's 4 words for 50 % are worth 8 per area
    assert chosen(7) == SecondPass(1.0, both)  # gain 5 on a mosaic of 60 %: 5 - 4.2
    # At a threshold of 7, the mosaic at 0.7 takes 29 % of the image: 5 * between - 2.058 is more than 0.8 from 0.572 words on.
    assert chosen(7, 0.57) == SecondPass(1.0, both)
    assert chosen(7, 0.58) == SecondPass(0.7, both)
    assert chosen(0, 0.99) == SecondPass(1.0, both)  # as much as the whole image brings, for less
    assert choose([], 0.25, whole, gained(1.0), 0.0, area) is None


def test_the_whole_image_is_read_again_where_regions_on_a_mosaic_take_more():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    found = [Region((0, 0, 60, 48), evidence), Region((0, 50, 60, 98), evidence), Region((62, 0, 100, 98), evidence)]
    # In two rows they take 146 pixels in height and 102 in width.
    assert choose(found, 0.25, (100, 100), gained(1.0), 0.1, area) == SecondPass(1.0)
    assert choose(found, 0.25, (100, 100), gained(1.0, 0.99), 0.1, area) == SecondPass(0.7)
    assert choose(found, 0.25, (100, 100), gained(1.0, 0.96), 0.1, area) == SecondPass(1.0)  # 0.12 words for 0.051


def test_words_have_their_cost_at_every_scale():
    evidence = np.zeros(SHAPE)
    evidence[READ, 2] = 1.0
    rule = SecondPassRule(
        gains=Gains(
            {0.25: {scale: ((gain,) * 5, (0.0,) * 5, (0.0,) * 5, (0.0,) * 5) for scale, gain in ((0.7, 0.3), (1.0, 0.4))}}
        )
    )

    def chosen(word: float, threshold: float) -> SecondPass | None:
        found = [Region((0, 0, 20, 10), evidence)]
        return choose(found, 0.25, (100, 100), rule, threshold, lambda height, width, words: height * width + word * words)

    # 200 pixels take 0.02, at 0.7 0.0098, and 100 pixels a word 0.01 at both: 0.4 - 0.03 t beside 0.3 - 0.0198 t.
    for threshold, scale in ((9, 1.0), (10, 0.7), (15, 0.7)):
        assert chosen(100, threshold).scale == scale
    assert chosen(100, 16) is None  # 0.3 - 0.3168
    assert chosen(0, 16).scale == 0.7  # 0.3 - 0.1568


def test_words_that_wait_are_read_anyway_and_cost_nothing_more():
    def cost(height: int, width: int, words: float) -> float:
        return height * width + 100 * words

    for kind, threshold in ((UNREAD, 33), (FOUND, 49)):  # 1 word for 2 % of the area, and for a word as costly as 1 %
        evidence = np.zeros(SHAPE)
        evidence[kind, 2] = 1.0
        region = Region((0, 0, 20, 10), evidence)
        assert choose([region], 0.5, (100, 100), gained(1.0), threshold, cost) == SecondPass(1.0, [region])
        assert choose([region], 0.5, (100, 100), gained(1.0), threshold + 2, cost) is None


def test_a_second_pass_is_at_full_resolution_or_far_second_scales():
    assert second_scales(0.25, [0.25, 0.5, 0.6, 0.7, 1.0]) == [0.6, 0.7, 1.0]
    assert second_scales(0.3, [0.5, 0.7, 1.0]) == second_scales(0.7, [0.8, 1.0]) == [1.0]
    assert second_scales(0.95, [1.0]) == []  # which sees the same
    region = Region((0, 0, 50, 100), np.ones(SHAPE))
    for scale, again in ((0.25, 0.7), (0.4, 1.0)):  # the tables of 0.25 are the nearest ones
        assert choose([region], scale, (100, 100), gained(1.0, 5.0), 0.1, area) == SecondPass(again, [region])
    assert choose([region], 0.95, (100, 100), gained(1.0, 5.0), 0.1, area) is None


def test_what_cannot_be_afforded_is_left_out_the_least_worthy_first():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    small, large = Region((0, 0, 20, 10), evidence), Region((0, 50, 100, 100), 4 * evidence)  # 2 and 50 % of the image
    whole = (100, 100)

    def chosen(left: float, rule: SecondPassRule) -> SecondPass | None:
        cap = CostCap(left, whole, lambda height, width, words: height * width / 1e4 + words / 100).after(
            SpottingResult([], ((0, 0),), (0,))
        )
        return choose([large, small], 0.25, whole, rule, 0.1, area, cap)

    # Both need 60 % for a mosaic and 1 % for each of 5 words, at 0.7 29.4 % and 5 %; the small region 2 % and 1 %.
    assert chosen(0.66, gained(1.0)) == SecondPass(1.0, [small, large])
    assert chosen(0.64, gained(1.0)) == SecondPass(1.0, [small])
    assert chosen(0.02, gained(1.0)) is None
    assert chosen(0.64, gained(1.0, 0.9)) == SecondPass(0.7, [small, large])
    assert chosen(0.33, gained(1.0, 0.9)) == SecondPass(1.0, [small])


def test_a_rule_keeps_its_own_gains_and_takes_those_that_were_learned_where_it_has_none():
    learned = gained(2.0)
    assert SecondPassRule(gain_threshold=7.0).taught_by(learned) == replace(learned, gain_threshold=7.0, min_height=12)
    assert SecondPassRule().taught_by(replace(learned, min_height=20)).height == 20  # with which the gains were learned
    assert SecondPassRule(min_height=8).taught_by(replace(learned, min_height=20)).height == 8
    assert gained(3.0).taught_by(learned) == gained(3.0)


def test_a_rule_comes_back_from_plain_values():
    rule = gained(0.25, 0.5)
    assert SecondPassRule.from_dict(json.loads(json.dumps(rule.to_dict())), "here") == rule
    for wrong in (
        {"gains": {"tables": {}}},
        {"gains": {"tables": {"0.5": {"1.0": [[1]]}}}},
        {"gains": {"tables": {"0.5": [[1]]}}},
        {"gains": 1},
        {"context": 1.5},
        {"threshold": 2.0},
        {"glance": 1},
    ):
        with pytest.raises(CheckpointError, match=r"here holds a damaged or older SecondPassRule .*; run fit_operating"):
            SecondPassRule.from_dict(rule.to_dict() | wrong, "here")


def test_commands_read_again_as_the_library_does():
    rule = OmegaConf.load(ROOT / "conf" / "second_pass" / "default.yaml")
    assert instantiate(rule) == SecondPassRule()


def test_rules_out_of_range_are_refused():
    for wrong in ({"threshold": 0.0}, {"gain_threshold": -1.0}, {"context": -1}, {"context": 2.5}, {"min_height": -1.0}):
        with pytest.raises(ConfigError, match="second_pass needs"):
            SecondPassRule(**wrong)
