"""The fate of every true word and of every prediction, on small images made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.fate_tables import case_of, kind_of, summarize
from dld_spotter.metrics.fates import Claim, Evidence, Fate, Predicted, find_fates, heights
from dld_spotter.metrics.lexicons import Lexicon, WordList
from dld_spotter.metrics.matching import match_image
from dld_spotter.metrics.rules import Rules
from tests.metrics.conftest import box

EXIT = (0, 0, 100, 20, "Exit")
AT_EXIT = EXIT[:4]
WRONG = (*AT_EXIT, "Exlt")


def evidence(truth, predictions=(), regions=(), boxes=None) -> Evidence:
    """Build from tuples (left, top, right, bottom, text), of regions and predictions also with a score behind."""
    texts = [text for *_, text in truth]
    instances = TextInstances.of([box(*sides) for *sides, _ in truth], texts, [text == "###" for text in texts])
    return Evidence(instances, *(list(map(word, words)) for words in (predictions, regions)), boxes)


def word(values) -> Word:
    left, top, right, bottom, text, *score = values
    return Word(box(left, top, right, bottom), text, *(score or [0.9]))


def fates(found) -> list[str]:
    return [str(one.fate) for one in found.words]


def claims(found) -> list[tuple[str, int | None]]:
    return [(str(one.claim), one.owner) for one in found.predictions]


@pytest.mark.parametrize(
    ("truth", "predictions", "regions", "boxes", "expected"),
    [
        pytest.param(EXIT, [EXIT], [], None, "read", id="read"),
        pytest.param((*AT_EXIT, "Exit!"), [EXIT], [], None, "read", id="the protocol forgives a mark at the end"),
        pytest.param(EXIT, [(*AT_EXIT, "EXIT")], [], None, "case", id="right but for case"),
        pytest.param(EXIT, [(*AT_EXIT, "ex-it")], [], ["Exit"], "sign", id="right but for a sign"),
        pytest.param(EXIT, [WRONG], [], None, "misread", id="misread, nothing known of the truth's box"),
        pytest.param(EXIT, [WRONG], [], ["EXIT"], "misread_own", id="misread, right from the truth's box"),
        pytest.param(EXIT, [WRONG], [], ["Exlt"], "misread_both", id="misread from both"),
        pytest.param(EXIT, [], [WRONG], ["Exlt"], "misread_both", id="misread and below the score"),
        pytest.param(EXIT, [], [(*AT_EXIT, "", 0.0)], ["Exit"], "misread_own", id="found, nothing read"),
        pytest.param(EXIT, [], [(*AT_EXIT, "exit", 0.2)], None, "below_score", id="right, below the score"),
        pytest.param(EXIT, [(0, 0, 48, 20, "Ex"), (52, 0, 100, 20, "it")], [], None, "split", id="split"),
        pytest.param(EXIT, [(0, 0, 70, 20, "Exi"), (75, 0, 100, 20, "t")], [], ["Exit"], "split", id="split, yet found"),
        pytest.param(EXIT, [(0, 0, 70, 20, "Exi")], [(75, 0, 100, 20, "t", 0.1)], None, "split", id="split, part below"),
        pytest.param(EXIT, [(0, 0, 45, 20, "Ex"), (2, 0, 46, 20, "Ex")], [], None, "off", id="two that overlap split nothing"),
        pytest.param(EXIT, [(0, 0, 45, 20, "Ex")], [], None, "off", id="cut"),
        pytest.param(EXIT, [(-60, -5, 150, 25, "Exit")], [], None, "off", id="box off, rightly read"),
        pytest.param(EXIT, [(0, 0, 50, 20, "Exit")], [], None, "off", id="an IoU equal to the threshold is not enough"),
        pytest.param(EXIT, [(0, 0, 9, 20, "E")], [], None, "not_found", id="hardly touched"),
        pytest.param(EXIT, [], [], ["Exit"], "not_found", id="not found"),
        pytest.param(EXIT, [WRONG, EXIT], [], None, "unmatched", id="the wrong one came first"),
    ],
)
def test_one_word(truth, predictions, regions, boxes, expected):
    found = find_fates(evidence([truth], predictions, regions, boxes), Rules())
    assert fates(found) == [expected]


@pytest.mark.parametrize(
    ("neighbour", "region", "expected"),
    [
        pytest.param((110, 0, 210, 20, "way"), (0, 0, 210, 20, "Exitway"), ["merged", "merged"], id="two alike"),
        pytest.param((105, 0, 130, 20, "way"), (0, 0, 130, 20, "Exitway"), ["merged", "merged"], id="one of them found"),
        pytest.param((110, 0, 210, 20, "###"), (0, 0, 210, 20, "Exitway"), ["merged"], id="with a don't-care word"),
        pytest.param((105, 0, 130, 20, "way"), (0, 0, 130, 20, "Exit"), ["read", "merged"], id="one of them read"),
        pytest.param((110, 0, 210, 20, "way"), (0, 0, 160, 20, "Exitw"), ["misread", "off"], id="half of it is no merger"),
    ],
)
def test_neighbours(neighbour, region, expected):
    assert fates(find_fates(evidence([EXIT, neighbour], [region]), Rules())) == expected


def test_a_right_prediction_in_a_do_not_care_region_is_not_paired():
    found = find_fates(evidence([EXIT, (-10, -10, 110, 30, "###")], [EXIT]), Rules())
    assert (fates(found), claims(found)) == (["unmatched"], [])


def test_what_a_true_word_carries():
    seen = evidence([EXIT, (0, 50, 30, 60, "12")], [(0, 2, 100, 20, "Exlt", 0.7)], [(0, 50, 30, 60, "12", 0.1)], ["Exit", "I2"])
    first, second = find_fates(seen, Rules()).words
    assert (first.index, first.text, first.height, first.iou) == (0, "Exit", 20, pytest.approx(0.9))
    assert (first.region.text, first.region.score, first.found, first.right) == ("Exlt", 0.7, True, False)
    assert (first.box, first.box_right, first.exact) == ("Exit", True, None)
    assert (second.height, second.found, second.right, second.box_right) == (10, True, True, False)


def test_detection_knows_no_texts():
    truth = [EXIT, (0, 50, 100, 70, "b"), (0, 100, 100, 120, "c"), (0, 150, 100, 170, "d")]
    seen = evidence(truth, [(*AT_EXIT, "?"), (0, 100, 45, 120, "")], [(0, 50, 100, 70, "", 0.0)])
    found = find_fates(seen, Rules(task="detection"))
    assert fates(found) == ["read", "below_score", "off", "not_found"]


def test_word_spotting_counts_dictionary_words_in_their_form():
    truth = [(*AT_EXIT, "(Joe's"), (0, 50, 100, 70, "24h")]
    found = find_fates(evidence(truth, [(*AT_EXIT, "Joe"), (0, 50, 100, 70, "24h")]), Rules(task="word_spotting"))
    assert (fates(found), len(found.predictions)) == (["read"], 1)


def test_a_lexicon_corrects_everything_that_is_read():
    seen = evidence([EXIT, (0, 50, 100, 70, "Gate")], [WRONG, (0, 50, 100, 70, "Gate")], boxes=["Exot", "gate"])
    found = find_fates(seen, Rules(), WordList(("EXIT",)))
    assert fates(found) == ["read", "misread_both"]  # what the list lacks is dropped, wherever it is read
    assert [one.exact for one in found.words] == [None, None]  # the list has no case to tell
    assert [one.box_right for one in found.words] == [True, False]
    assert claims(found) == [("matched", 0)]


def test_a_lexicon_does_not_write_where_nothing_is_read():
    seen = evidence([(*AT_EXIT, "ab")], [], [(*AT_EXIT, "", 0.0)], [""])
    found = find_fates(seen, Rules(), WordList(("ab",), "davar"))
    assert (fates(found), found.words[0].box_right) == (["misread_both"], False)


def test_boxes_must_be_one_for_each_true_word():
    with pytest.raises(ValueError, match="found 1"):
        find_fates(evidence([EXIT, EXIT], boxes=["Exit"]), Rules())


def test_an_image_without_anything():
    found = find_fates(evidence([]), Rules())
    report = summarize([found])
    assert (found.words, found.predictions, report.total.hmean) == ((), (), 0.0)
    assert (report.close, report.exact, report.overall.found, report.reliability.error) == (None, None, None, None)


def test_heights_of_quadrilaterals_and_of_odd_outlines():
    odd = np.array([[0, 0], [10, 3], [0, 7]])
    polygons = [box(0, 0, 50, 12), odd, np.array([[0, 0], [30, 40], [22, 46], [-8, 6]])]
    assert heights(TextInstances.of(polygons, [""] * 3)).tolist() == pytest.approx([12, 7, 10])


TRUTH = [
    (0, 0, 100, 20, "read"),
    (0, 100, 100, 120, "Case"),
    (0, 200, 100, 220, "sign"),
    (0, 300, 100, 320, "wrong"),
    (0, 400, 100, 420, "left"),
    (110, 400, 210, 420, "right"),
    (0, 500, 100, 520, "split"),
    (0, 600, 100, 620, "lost"),
    (0, 700, 100, 720, "###"),
    (0, 800, 100, 820, "faint"),
]
PREDICTIONS = [
    (0, 0, 100, 20, "read", 0.95),
    (0, 2, 100, 22, "read", 0.9),  # duplicate
    (0, 100, 100, 120, "CASE", 0.9),
    (0, 200, 100, 220, "s-ign", 0.8),
    (0, 300, 100, 320, "wring", 0.8),
    (0, 400, 210, 420, "leftright", 0.7),  # merged, of the first word
    (0, 500, 48, 520, "spl", 0.7),
    (52, 500, 100, 520, "it", 0.7),
    (300, 300, 400, 320, "ghost", 0.6),  # invented
    (60, 690, 160, 730, "blur", 0.6),  # 0.2 of it in the don't-care word
    (0, 700, 100, 720, "any", 0.6),  # ignored
]
REGIONS = [(0, 800, 100, 820, "faint", 0.3)]


def test_a_table_worked_by_hand():
    """9 true words count, 10 predictions, 2 matches: Hmean 4 / 19."""
    found = find_fates(evidence(TRUTH, PREDICTIONS, REGIONS), Rules())
    assert fates(found) == ["read", "case", "sign", "misread", "merged", "merged", "split", "not_found", "below_score"]
    assert claims(found) == [
        ("matched", 0),
        ("duplicate", 0),
        ("matched", 1),
        ("of_lost_word", 2),
        ("of_lost_word", 3),
        ("of_lost_word", 4),
        ("of_lost_word", 6),
        ("of_lost_word", 6),
        ("invented", None),
        ("dont_care", 8),
    ]
    report = summarize([found])
    assert report.counts == (2, 10, 9)
    assert report.total.hmean == pytest.approx(4 / 19)
    costs = {cost.fate: cost for cost in report.costs}
    mended = {
        # fate: words, false predictions that go, 2 * matched / (predicted + true) afterwards
        "read": (1, 0, 4 / 19),
        "case": (1, 0, 4 / 19),
        "sign": (1, 1, 6 / 19),
        "misread": (1, 1, 6 / 19),
        "merged": (2, 1, 8 / 20),  # two words more, one prediction less
        "split": (1, 2, 6 / 18),
        "not_found": (1, 0, 6 / 20),
        "below_score": (1, 0, 6 / 20),
        "duplicate": (0, 1, 4 / 18),
        "dont_care": (0, 1, 4 / 18),
        "invented": (0, 1, 4 / 18),
    }
    for fate, (lost, false, hmean) in mended.items():
        assert (costs[fate].words, costs[fate].false) == (lost, false), fate
        assert costs[fate].mended == pytest.approx(hmean), fate
        assert costs[fate].cost == pytest.approx(hmean - 4 / 19), fate
        assert costs[fate].share == pytest.approx(lost / 9), fate
    for fate in {*costs} - {*mended}:
        assert (costs[fate].words, costs[fate].false, costs[fate].cost) == (0, 0, 0)


def test_shares_of_groups_are_those_of_their_words():
    report = summarize([find_fates(evidence(TRUTH, PREDICTIONS, REGIONS), Rules())])
    # Found: read, Case, sign, wrong, faint. Of the split and the merged ones no region is large or small enough.
    assert (report.overall.found, report.overall.own) == (pytest.approx(5 / 9), pytest.approx(3 / 5))
    assert (report.overall.box, report.overall.read) == (None, pytest.approx(2 / 9))
    assert (report.close, report.exact) == (1.0, 0.5)
    for rows in report.groups.values():
        assert sum(row.words for row in rows) == 9
    assert [row.words for row in report.groups["height"]] == [0, 0, 0, 9, 0, 0]
    assert {row.group: row.words for row in report.groups["length"]}["3 to 4"] == 5
    assert {row.group: row.words for row in report.groups["case"]} == {
        "upper": 0, "lower": 8, "capitalised": 1, "mixed": 0, "no letters": 0
    }  # fmt: skip


def test_images_add_up_before_anything_is_divided():
    images = [find_fates(evidence(TRUTH, PREDICTIONS), Rules()), find_fates(evidence([EXIT], [EXIT]), Rules())]
    assert summarize(images).total.hmean == pytest.approx(6 / 21)


def test_scores_are_compared_with_what_is_a_match():
    words = [Word(box(0, 0, 1, 1), "", score) for score in (0.95, 0.91, 0.35, 1.0)]
    claims_made = [Claim.MATCHED, Claim.INVENTED, Claim.MATCHED, Claim.MATCHED]
    predictions = tuple(Predicted(one, claim, None) for one, claim in zip(words, claims_made, strict=True))
    found = summarize([replace(find_fates(evidence([], []), Rules()), predictions=predictions)]).reliability
    assert [(row.predictions, row.right) for row in found.bins] == [(1, 1.0), (3, pytest.approx(2 / 3))]
    assert found.error == pytest.approx(0.25 * 0.65 + 0.75 * abs((0.95 + 0.91 + 1) / 3 - 2 / 3))
    assert summarize([], scored=False).reliability is None


def test_kinds_follow_what_people_write():
    assert [kind_of(text) for text in ("Ärger", "$5", "")] == ["letters", "with signs", "with signs"]
    assert case_of("É1") == "upper"


BOXES = st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(5, 60), st.integers(5, 20))
TEXTS = st.sampled_from(["ab", "AB", "a-b", "cd", "abcd", "", "12"])


def words_of(boxes):
    return [(left, top, left + width, top + height, text) for (left, top, width, height), text in boxes]


@settings(max_examples=150, deadline=None)
@given(
    truth=st.lists(st.tuples(BOXES, st.sampled_from(["ab", "Ab", "cd", "a-b", "12", "###"])), max_size=5),
    predictions=st.lists(st.tuples(BOXES, TEXTS), max_size=6),
    regions=st.lists(st.tuples(BOXES, TEXTS), max_size=3),
    task=st.sampled_from(["end_to_end", "detection", "word_spotting"]),
    protocol=st.sampled_from(["rrc", "totaltext", "davar"]),
    with_list=st.booleans(),
)
def test_every_word_has_one_fate_and_the_protocol_its_counts(truth, predictions, regions, task, protocol, with_list):
    seen = evidence(words_of(truth), words_of(predictions), words_of(regions), ["ab"] * len(truth))
    words = WordList(("ab", "cd")) if with_list else None
    rules = Rules(protocol, task, lexicon=words and Lexicon("two", words))
    found = find_fates(seen, rules, words)
    match = match_image(seen.truth, seen.predictions, protocol, task, lexicon=words)
    assert found.counts == match.counts
    assert [one.index for one in found.words] == np.flatnonzero(~match.ignored_truth).tolist()
    matched = sum(one.claim is Claim.MATCHED for one in found.predictions)
    assert matched == match.counts.matched
    report = summarize([found])
    assert sum(cost.words for cost in report.costs) == match.counts.true
    assert sum(cost.false for cost in report.costs) + matched == match.counts.predicted
    assert all(cost.cost >= 0 for cost in report.costs)
    lost = {one.index for one in found.words if not one.fate.matched}
    assert all((one.owner in lost) == (one.claim is Claim.OF_LOST_WORD) for one in found.predictions)
    assert all(one.found for one in found.words if one.fate in (Fate.READ, Fate.CASE, Fate.SIGN, Fate.BELOW_SCORE))
