"""Words that readings are weighed against."""

import string
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Hamming, Levenshtein

from dld_spotter.charset import END, PADDING, Charset
from dld_spotter.errors import ConfigError
from dld_spotter.vocabulary import SPELLINGS, Vocabulary, Words, proofread

PRINTABLE = Charset("".join(chr(code) for code in range(33, 127)))
short = st.text("abcd", min_size=1, max_size=7)


@pytest.fixture
def vocabulary(tmp_path):
    """cat three times as often as cart, dog and giraffe each."""
    (tmp_path / "words.txt").write_text("# animals\ncat 3\ncart 1\n\nDOG\ngiraffe\n")
    return Vocabulary.of(tmp_path / "words.txt")


@given(st.sets(short, min_size=1, max_size=40), short)
def test_near_words_are_those_of_a_plain_search(words, text):
    found = Words(dict.fromkeys(words, 1 / len(words))).near(text, 100)
    one = {word for word in words if Levenshtein.distance(word, text) <= 1}
    two = {word for word in words if len(word) == len(text) >= 5 and Hamming.distance(word, text) == 2}
    assert len(found) == len(set(found))
    assert set(found) == one | two
    assert set(found[: len(one)]) == one  # an edit weighs more than any of these frequencies


def test_the_most_frequent_of_the_near_words_are_kept():
    words = Words({"cab": 0.1, "cad": 0.4, "can": 0.2, "cap": 0.3})
    assert words.near("cat", 3) == ["cad", "cap", "can"]


def test_any_script_can_be_near():
    assert Words({"straße": 0.5, "東京都": 0.5}).near("東京部", 4) == ["東京都"]
    assert Words({"straße": 0.5, "東京都": 0.5}).near("strase", 4) == ["straße"]


def test_priors_by_hand(vocabulary):
    assert vocabulary.words.share == pytest.approx({"cat": 1 / 2, "cart": 1 / 6, "dog": 1 / 6, "giraffe": 1 / 6})
    assert vocabulary.prior("Cat!") == pytest.approx(log(0.7 * 3 / 6))
    assert vocabulary.prior("caat") == pytest.approx(log(0.3) - 4 * log(50))
    assert sum(exp(vocabulary.prior(word)) for word in vocabulary.words.share) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "spellings"),
    [
        ("GIRAFTE", ["GIRAFFE"]),
        ("GlRAFFE", ["GIRAFFE"]),
        ("(Girafle),", ["(Giraffe),"]),
        ("glraffe", ["giraffe"]),
        ("cst", ["cat"]),
        ("caxt", ["cat", "cart"]),
        ("Cat", []),  # is a word
        ("...", []),
        ("ca", []),  # too short
        ("12:45", []),
    ],
)
def test_spellings_are_written_as_what_was_read(vocabulary, text, spellings):
    assert vocabulary.spellings(text) == spellings


def test_no_more_spellings_than_are_paid_for(tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(f"ca{letter}" for letter in string.ascii_lowercase))
    assert len(Vocabulary.of(tmp_path / "words.txt").spellings("caé")) == SPELLINGS


def weigher(likelihoods, asked):
    """Answers from a table, and remembers what it was asked."""

    def weigh(words, labels):
        texts = [PRINTABLE.decode(row) for row in labels]
        asked.extend(zip(words.tolist(), texts, strict=True))
        for row, text in zip(labels, texts, strict=True):
            assert row[len(text)] == END
            assert (row[len(text) + 1 :] == PADDING).all()
        return np.array([likelihoods[text] for text in texts])

    return weigh


@pytest.mark.parametrize(("seen", "chosen"), [(-4.0, "cat"), (-6.0, "cst")])
def test_a_word_wins_where_it_is_likelier_with_its_prior(vocabulary, seen, chosen):
    margin = 0.4 * (log(0.7 / 2) - log(0.3) + 3 * log(50))  # what the prior is worth
    assert 4.0 < margin < 6.0
    asked = []
    texts = proofread(["dog", "cst", "x"], vocabulary, PRINTABLE, 26, weigher({"cst": 0.0, "cat": seen}, asked))
    assert texts == ["dog", chosen, "x"]
    assert asked == [(1, "cst"), (1, "cat")]  # nothing is asked of what is a word, or has none near


def test_words_that_cannot_be_written_are_not_tried(vocabulary):
    def refuse(words, labels):
        raise AssertionError("nothing was to be asked")

    assert proofread(["cst"], vocabulary, Charset("cs"), 26, refuse) == ["cst"]
    assert proofread(["girafe"], vocabulary, PRINTABLE, 7, refuse) == ["girafe"]  # END would not fit
    assert proofread([], vocabulary, PRINTABLE, 26, refuse) == []


def test_english_knows_words_and_names_and_proposes_no_offence():
    english = Vocabulary.of("english")
    assert all(map(english.knows, ("restaurant", "RESTAURANT,", "Singapore", "the")))
    assert english.prior("the") > english.prior("restaurant") > english.prior("abseil") > english.prior("reztaurant")
    assert english.spellings("RESTAUPANT") == ["RESTAURANT"]
    assert not english.knows("fuck")
    assert sum(english.words.share.values()) == pytest.approx(1)


def test_none_is_none():
    assert Vocabulary.of(None) is Vocabulary.of("none") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"# nothing\n", "holds no word"),
        (b"cat\ndog many\n", "line 2: 'dog many' is not a word"),
        (b"cat 0\n", "line 1"),
        (b"cat nan\n", "line 1"),
    ],
)
def test_bad_files_are_told(tmp_path, content, words):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as told:
        Vocabulary.of(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("options", [{"weight": -1}, {"unknown": 0}, {"unknown": 1}, {"letters": 1}])
def test_numbers_out_of_range_are_told(options):
    with pytest.raises(ConfigError, match="a vocabulary needs"):
        Vocabulary(**options)
