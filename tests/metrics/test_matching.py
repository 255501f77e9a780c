import numpy as np
import pytest
import shapely

from dld_spotter.core.batches import TextInstances, Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.metrics.matching import Hmean, ImageCounts, match_image, match_images, score_image

A = (0, 0, 100, 20)
FAR = (500, 500, 600, 520)

# name, truth, words, task, (matched, predicted, true)
CASES = [
    ("nothing at all", [], [], "end_to_end", (0, 0, 0)),
    ("no prediction", [(*A, "one")], [], "end_to_end", (0, 0, 1)),
    ("no truth", [], [(*A, "one")], "end_to_end", (0, 1, 0)),
    ("read", [(*A, "one")], [(*A, "ONE")], "end_to_end", (1, 1, 1)),
    ("misread", [(*A, "one")], [(*A, "two")], "end_to_end", (0, 1, 1)),
    ("misread but found", [(*A, "one")], [(*A, "two")], "detection", (1, 1, 1)),
    ("misread first spends the word", [(*A, "one")], [(*A, "two"), (*A, "one")], "end_to_end", (0, 2, 1)),
    ("duplicate", [(*A, "one")], [(*A, "one"), (*A, "one")], "end_to_end", (1, 2, 1)),
    ("elsewhere", [(*A, "one")], [(*FAR, "one")], "detection", (0, 1, 1)),
    ("IoU exactly one half", [(*A, "one")], [(0, 0, 50, 20, "one")], "detection", (0, 1, 1)),
    ("IoU just above one half", [(*A, "one")], [(0, 0, 51, 20, "one")], "detection", (1, 1, 1)),
    ("only don't care", [(*A, "###")], [], "detection", (0, 0, 0)),
    ("in don't care", [(*A, "###")], [(10, 0, 40, 20, "x")], "detection", (0, 0, 0)),
    ("half in don't care", [(*A, "###")], [(50, 0, 150, 20, "x")], "detection", (0, 1, 0)),
    ("over half in don't care", [(*A, "###")], [(49, 0, 149, 20, "x")], "detection", (0, 0, 0)),
    ("don't care wins over a word", [(*A, "###"), (*A, "one")], [(*A, "one")], "end_to_end", (0, 0, 1)),
    # 40 + 40 of 100 pixels of width lie in don't-care regions, but no more than 40 in one: the prediction counts.
    ("between two don't cares", [(0, 0, 40, 20, "###"), (60, 0, 100, 20, "###")], [(*A, "x")], "detection", (0, 1, 0)),
    # The don't-care region itself has IoU 1 with the prediction and still pairs with nothing.
    ("don't care is no partner", [(*A, "###")], [(*A, "###")], "end_to_end", (0, 0, 0)),
    ("three hashes read", [(*A, "one")], [(*A, "###")], "end_to_end", (0, 1, 1)),
    ("no word swallows in word spotting", [(*A, "A24")], [(*A, "x"), (60, 0, 160, 20, "y")], "word_spotting", (0, 1, 0)),
    ("and is a word otherwise", [(*A, "A24")], [(*A, "A24"), (60, 0, 160, 20, "y")], "end_to_end", (1, 2, 1)),
    ("zero area of a true word", [(5, 5, 5, 50, "one")], [(*A, "one")], "end_to_end", (0, 1, 1)),
    ("zero area of a don't care", [(5, 5, 5, 50, "###")], [(*A, "one")], "end_to_end", (0, 1, 0)),
    ("one prediction for two words", [(*A, "one"), (*A, "two")], [(*A, "two")], "end_to_end", (0, 1, 2)),
    ("read with a comma", [(*A, "1,000")], [(*A, "1,000")], "end_to_end", (1, 1, 1)),
    ("capital of two letters", [(*A, "STRASSE")], [(*A, "straße")], "end_to_end", (1, 1, 1)),
    ("zero area", [(*A, "one")], [(5, 5, 5, 5, "one")], "detection", (0, 1, 1)),
    ("zero area in don't care", [(*A, "###")], [(5, 5, 5, 5, "one")], "detection", (0, 1, 0)),
    ("zero area twice", [(5, 5, 5, 5, "one")], [(5, 5, 5, 5, "one")], "detection", (0, 1, 1)),
    ("number is no dictionary word", [(*A, "A24")], [(*A, "A24")], "word_spotting", (0, 0, 0)),
    ("dictionary word without its 's", [(*A, "Joe's")], [(*A, "JOE")], "word_spotting", (1, 1, 1)),
    ("dictionary word with its 's", [(*A, "Joe's")], [(*A, "Joe's")], "word_spotting", (0, 1, 1)),
    ("empty texts", [(*A, "")], [(*A, "")], "end_to_end", (1, 1, 1)),
    ("empty truth", [(*A, "")], [(*A, "x")], "end_to_end", (0, 1, 1)),
]


@pytest.mark.parametrize(("truth", "words", "task", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_counts_by_hand(image, truth, words, task, expected):
    assert score_image(*image(truth, words), task=task) == expected


def test_first_truth_takes_first_prediction_even_if_the_second_fits_better(image):
    truth, words = image([(*A, "one"), (20, 0, 120, 20, "two")], [(10, 0, 110, 20, "two"), (0, 0, 100, 20, "one")])
    match = match_image(truth, words)
    assert match.pairs.tolist() == [[0, 0], [1, 1]]
    assert match.correct.tolist() == [False, False]


def test_davar_uses_one_threshold_for_words_and_dont_care(image):
    words = [(0, 0, 20, 20, "one"), (80, 0, 180, 20, "x")]
    truth = [(*A, "###"), (0, 30, 100, 50, "one")]
    assert score_image(*image(truth, words), "davar", "detection", iou=0.1) == (0, 0, 1)
    assert score_image(*image(truth, words), "rrc", "detection", iou=0.1) == (0, 1, 1)


@pytest.mark.parametrize(("width", "ignored"), [(100, False), (99, True)])
def test_dont_care_exactly_at_the_threshold_of_davar(image, width, ignored):
    # 30 of 100 pixels of the width lie inside: equal to 0.3 is not enough, 30 of 99 is.
    truth, words = image([(0, 0, 30, 20, "###")], [(0, 0, width, 20, "x")])
    assert match_image(truth, words, "davar", "detection", iou=0.3).ignored_words.tolist() == [ignored]
    assert match_image(truth, words, "rrc", "detection", iou=0.3).ignored_words.tolist() == [False]


def test_rrc_rounds_to_pixels_and_totaltext_does_not(image):
    truth, words = image([(*A, "one")], [(0, 0, 50.4, 20, "one")])
    assert score_image(truth, words, "rrc", "detection").matched == 0
    assert score_image(truth, words, "totaltext", "detection").matched == 1


@pytest.mark.parametrize("first", range(4))
def test_turning_direction_and_first_corner_do_not_matter(image, first):
    truth, words = image([(*A, "###"), (0, 100, 100, 120, "one")], [(40, 0, 140, 20, "x"), (0, 100, 100, 115, "one")])
    turned = [Word(np.roll(word.polygon[::-1], first, 0), word.text, 1.0) for word in words]
    assert score_image(truth, turned) == score_image(truth, words) == (1, 1, 1)
    np.testing.assert_allclose(match_image(truth, turned).iou, [[60 / 140, 0], [0, 0.75]])


def test_share_inside_a_dont_care_region_is_taken_of_the_signed_area(image):
    # The polygon crosses itself at (5, 5): left of it a triangle of 25, right of it 25 up to x = 10 and 37.5 beyond, which
    # turns the other way. Its signed area is 62.5 - 25 = 37.5, and 25 + 25 of what it covers lie in the region.
    truth, _ = image([(0, 0, 10, 10, "###")], [])
    crossing = np.array([[0, 0], [10, 10], [15, 10], [15, 5], [10, 0], [0, 10]], np.float32)
    match = match_image(truth, [Word(crossing, "x", 1.0)], task="detection")
    assert match.inside.item() == pytest.approx(50 / 37.5)


@pytest.mark.parametrize(
    ("polygon", "iou"),
    [
        # A bow tie covers half of the square by the even-odd rule, and has shoelace area 0: 50 / (100 + 0 - 50).
        ([[0, 0], [10, 10], [10, 0], [0, 10]], 1.0),
        # A square with a tail that runs out and back: covers and measures the square.
        ([[0, 0], [10, 0], [20, 0], [10, 0], [10, 10], [0, 10]], 1.0),
        # A square walked around twice cancels itself, but measures twice its area.
        ([[0, 0], [10, 0], [10, 10], [0, 10]] * 2, 0.0),
        ([[0, 0], [10, 0], [20, 0]], 0.0),
        ([[0, 0], [10, 0]], 0.0),
    ],
)
def test_degenerate_polygons_count_as_in_the_scripts(polygon, iou):
    truth = TextInstances.of([np.array([[0, 0], [10, 0], [10, 10], [0, 10]])], ["one"])
    match = match_image(truth, [Word(np.array(polygon, np.float32), "one", 1.0)], task="detection")
    assert match.iou.item() == pytest.approx(iou)


def _plain(truth, words, iou):
    """The rules for detection, read aloud: two loops over shapely polygons."""
    shapes, boxes = [shapely.Polygon(p) for p in truth.polygons], [shapely.Polygon(word.polygon) for word in words]
    regions = [shape for shape, ignore in zip(shapes, truth.ignore, strict=True) if ignore]
    dropped = {d for d, b in enumerate(boxes) if any(region.intersection(b).area / b.area > 0.5 for region in regions)}
    taken_truth, taken_words = set(), set()
    for g, s in enumerate(shapes):
        for d, b in enumerate(boxes):
            free = not truth.ignore[g] and d not in dropped and g not in taken_truth and d not in taken_words
            if free and s.intersection(b).area / s.union(b).area > iou:
                taken_truth.add(g)
                taken_words.add(d)
    return ImageCounts(len(taken_truth), len(boxes) - len(dropped), int((~truth.ignore).sum()))


def test_equals_a_plain_double_loop_on_random_boxes(image):
    rng = np.random.default_rng(0)
    for _ in range(50):
        corner, size = rng.integers(0, 60, (2, 12, 2)), rng.integers(5, 40, (2, 12, 2))
        sides = np.concatenate([corner, corner + size], -1).tolist()
        truth, words = image([(*s, "###" if i < 3 else "x") for i, s in enumerate(sides[0])], [(*s, "x") for s in sides[1]])
        assert score_image(truth, words, task="detection", iou=0.3) == _plain(truth, words, 0.3)


@pytest.mark.parametrize("iou", [0, 0.1, 0.5])
@pytest.mark.parametrize("protocol", ["rrc", "davar"])
def test_pairs_that_decide_nothing_can_be_left_out(protocol, iou):
    """Crowds of polygons, some of which cross themselves, so that their signed areas are odd."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        crowd = rng.integers(0, 25, (2, 9, 4, 2)).astype(np.float32)
        truth = TextInstances.of(crowd[0], ["x"] * 9, rng.random(9) < 0.3)
        words = [Word(polygon, "x", 1.0) for polygon in crowd[1]]
        exact = match_image(truth, words, protocol, "detection", iou)
        (short,) = match_images([truth], [words], protocol, "detection", iou, exact=False)
        assert short.pairs.tolist() == exact.pairs.tolist()
        assert short.ignored_words.tolist() == exact.ignored_words.tolist()


def test_all_images_at_once_equal_one_by_one(image):
    rng = np.random.default_rng(0)
    scenes = [([], []), ([(*A, "one")], []), ([], [(*A, "one")]), ([(*A, "###")], [(*A, "one")])]
    for count in (7, 3, 9):
        corner, size = rng.integers(0, 60, (2, count, 2)), rng.integers(5, 40, (2, count, 2))
        sides = np.concatenate([corner, corner + size], -1).tolist()
        scenes.append(tuple([(*s, "###" if i % 4 == 0 else "x") for i, s in enumerate(side)] for side in sides))
    truths, words = zip(*(image(*scene) for scene in scenes), strict=True)
    matches = match_images(truths, words, task="detection", iou=0.2)
    for truth, found, match in zip(truths, words, matches, strict=True):
        alone = match_image(truth, found, task="detection", iou=0.2)
        for name in ("iou", "inside", "ignored_truth", "ignored_words", "pairs", "correct"):
            np.testing.assert_array_equal(getattr(match, name), getattr(alone, name), err_msg=name)
        assert (match.truths, match.words) == (alone.truths, alone.words)
    assert match_images([], []) == []


def test_hmean_sums_counts_over_images():
    assert Hmean.of([ImageCounts(1, 2, 1), ImageCounts(2, 2, 4)]) == Hmean(3 / 4, 3 / 5, pytest.approx(2 / 3))
    assert Hmean.of([]) == Hmean.of([ImageCounts(0, 0, 3)]) == Hmean(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("key", "value"), [("protocol", "icdar"), ("task", "reading"), ("iou", 1.0)])
def test_unknown_rules_are_refused_by_name(image, key, value):
    with pytest.raises(ConfigError, match=f"{key}={value}"):
        score_image(*image([], []), **{key: value})
