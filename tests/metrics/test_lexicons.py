import random

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from dld_spotter.core.batches import Word
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.metrics.lexicons import Lexicon, WordList


def _words(*texts, score=1.0):
    return [Word(np.zeros((4, 2), np.float32), text, score) for text in texts]


def _texts(words):
    return [word.text for word in words]


def test_policies_differ_in_how_far_they_correct():
    reading = _words("hause", "hovsse", "zzzzz")
    assert _texts(WordList(("House", "TREE"), "davar").apply(reading)) == ["House", "House", "House"]
    assert _texts(WordList(("House", "TREE"), "adelaidet").apply(reading)) == ["House"]


def test_a_doubtful_reading_is_corrected_farther():
    lexicon = WordList(("HOUSE",), "score_weighted")
    assert _texts(lexicon.apply(_words("hovsse", score=0.9))) == []
    assert _texts(lexicon.apply(_words("hovsse", score=0.5))) == ["HOUSE"]


def test_nearest_equals_a_plain_search_with_the_first_of_equals():
    rng = random.Random(0)
    pool = ["".join(rng.choices("abc", k=rng.randint(1, 7))) for _ in range(120)]
    lexicon = WordList(tuple(pool), "davar")
    random_texts = ["".join(rng.choices("abcd", k=rng.randint(0, 9))) for _ in range(200)]
    texts = ["", "a" * 300, *random_texts]
    expected = []
    for text in texts:
        distances = [Levenshtein.distance(text.upper(), word.upper()) for word in pool]
        first = int(np.argmin(distances))
        expected.append((pool[first], distances[first]))
    assert lexicon.nearest(texts) == expected


def test_reads_a_shared_list_past_mark_and_header(tmp_path):
    (tmp_path / "weak.txt").write_text("\ufeff# about\n# more words here\nHOUSE\r\n\n#1\nTREE \n", "utf-8")
    lexicon = Lexicon.read(tmp_path / "weak.txt")
    assert lexicon.name == "weak"
    assert lexicon.of("7").words == ("HOUSE", "#1", "TREE")


def test_reads_one_list_per_image(tmp_path):
    for number, word in enumerate(("HOUSE", "TREE"), 1):
        (tmp_path / f"voc_img_{number}.txt").write_text(word, "utf-8")
    lexicon = Lexicon.read(tmp_path, "davar")
    assert lexicon.policy == "davar"
    assert lexicon.of("img_2").words == ("TREE",)
    with pytest.raises(DataError, match="no list for image 3"):
        lexicon.of("3")


def test_faults_are_named(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"empty\.txt holds no word"):
        Lexicon.read(tmp_path / "empty.txt")
    with pytest.raises(DataError, match=r"absent\.txt cannot be read"):
        Lexicon.read(tmp_path / "absent.txt")
    with pytest.raises(ConfigError, match="policy=near"):
        WordList(("A",), "near")
