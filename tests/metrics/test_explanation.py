"""Every way in which a word can count or not, and the sentence that says so."""

import numpy as np
import pytest

from dld_spotter.metrics.explanation import differences, explain_image
from dld_spotter.metrics.lexicons import WordList
from dld_spotter.metrics.matching import match_image

A = (0, 0, 100, 20)
B = (0, 100, 100, 120)

# name, truth, words, task, verdict on the last truth or prediction (side, outcome, partner, part of the reason)
CASES = [
    ("read", [(*A, "one")], [(*A, "ONE")], "end_to_end", ("truth", "matched", 1, "read")),
    ("found", [(*A, "one")], [(*A, "two")], "detection", ("prediction", "matched", 1, "found")),
    ("punctuation", [(*A, "(one)")], [(*A, "one")], "end_to_end", ("truth", "matched", 1, "punctuation")),
    ("possessive", [(*A, "Joe's")], [(*A, "joe")], "word_spotting", ("truth", "matched", 1, 'reduced to "Joe"')),
    ("misread", [(*A, "one")], [(*A, "two")], "end_to_end", ("prediction", "misread", 1, '"two" instead of "one"')),
    ("nothing there", [(*A, "one")], [(*B, "one")], "end_to_end", ("truth", "missed", None, "no prediction overlaps")),
    ("stray", [(*A, "one")], [(*B, "one")], "end_to_end", ("prediction", "extra", None, "no true word overlaps")),
    ("too small", [(*A, "one")], [(0, 0, 50, 20, "one")], "end_to_end", ("truth", "missed", 1, "IoU 0.5 with prediction 1")),
    ("small", [(*A, "one")], [(0, 0, 50, 20, "one")], "detection", ("prediction", "extra", 1, "is not above 0.5")),
    ("marked", [(*A, "###")], [], "end_to_end", ("truth", "ignored", None, "###")),
    ("no word", [(*A, "A24")], [], "word_spotting", ("truth", "ignored", None, "no dictionary word")),
    # 30 of the prediction's 50 pixels of width lie in the region
    ("swallowed", [(*A, "###")], [(70, 0, 120, 20, "x")], "detection", ("prediction", "ignored", 1, "0.6 of its area")),
    ("hardly", [(*A, "###")], [(50, 0, 150, 20, "x")], "detection", ("prediction", "extra", 1, "0.5 of its area")),
    (
        "duplicate",
        [(*A, "one")],
        [(*A, "two"), (*A, "one")],
        "end_to_end",
        ("prediction", "extra", 1, "taken prediction 1"),
    ),
    ("beaten", [(*A, "one"), (*A, "two")], [(*A, "two")], "end_to_end", ("truth", "missed", 1, "taken by true word 1")),
    ("covered", [(*A, "###"), (*A, "one")], [(*A, "one")], "end_to_end", ("truth", "missed", 1, "lies in a don't-care")),
]


@pytest.mark.parametrize(("truth", "words", "task", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reasons(image, truth, words, task, expected):
    side, outcome, partner, part = expected
    verdict = [verdict for verdict in explain_image(*image(truth, words), task=task) if verdict.side == side][-1]
    assert (verdict.outcome, verdict.partner) == (outcome, partner)
    assert part in verdict.reason


def test_lexicon_drops_and_corrects_and_places_stay_those_of_the_file(image):
    truth, words = image([(*A, "house"), (*B, "tree")], [(*B, "zzzzz"), (*A, "hause")])
    verdicts = explain_image(truth, words, lexicon=WordList(("HOUSE", "TREE")))
    assert [(v.side, v.index, v.text, v.outcome, v.partner) for v in verdicts] == [
        ("truth", 1, "house", "matched", 2),
        ("truth", 2, "tree", "missed", None),
        ("prediction", 1, "zzzzz", "dropped", None),
        ("prediction", 2, "hause", "matched", 1),
    ]
    assert verdicts[1].reason == "prediction 1 would fit but was dropped by the lexicon"
    assert '"HOUSE", is 5 edits away' in verdicts[2].reason
    assert 'made it "HOUSE"' in verdicts[3].reason


@pytest.mark.parametrize("task", ["detection", "end_to_end", "word_spotting"])
@pytest.mark.parametrize("protocol", ["rrc", "davar"])
def test_verdicts_add_up_to_the_counts_on_random_crowds(image, protocol, task):
    rng = np.random.default_rng(0)
    for _ in range(40):
        corner, size = rng.integers(0, 50, (2, 8, 2)), rng.integers(0, 40, (2, 8, 2))
        sides = np.concatenate([corner, corner + size], -1).tolist()
        texts = rng.choice(["###", "one", "two", "(one)", "A24"], (2, 8)).tolist()
        truth, words = image(*([(*s, t) for s, t in zip(*pair, strict=True)] for pair in zip(sides, texts, strict=True)))
        lexicon = WordList(("ONE", "TWO"))
        verdicts = explain_image(truth, words, protocol, task, 0.3, lexicon)
        match = match_image(truth, words, protocol, task, 0.3, lexicon)
        outcomes = [(verdict.side, verdict.outcome) for verdict in verdicts]
        counted = [("prediction", outcome) for outcome in ("matched", "misread", "extra")]
        assert match.counts == (
            outcomes.count(("truth", "matched")),
            sum(outcomes.count(outcome) for outcome in counted),
            sum(outcomes.count(("truth", outcome)) for outcome in ("matched", "misread", "missed")),
        )
        assert outcomes.count(("truth", "misread")) == outcomes.count(("prediction", "misread"))


def test_differences_lists_only_words_whose_outcome_differs(image):
    scene = image([(*A, " one"), (*B, "two")], [(*A, "one"), (*B, "two")])
    rows = differences({name: explain_image(*scene, name) for name in ("rrc", "davar")})
    assert [(row["side"], row["index"]) for row in rows] == [("truth", 1), ("prediction", 1)]
    assert rows[0]["verdicts"]["rrc"] == ["misread", 'text differs: "one" instead of " one"']
    assert rows[0]["verdicts"]["davar"][0] == "matched"
    assert differences({"rrc": explain_image(*scene)}) == []
