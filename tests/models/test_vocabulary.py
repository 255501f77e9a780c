"""Words that readings are weighed against."""

import string
import unicodedata
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Hamming, Levenshtein

from dld_spotter.core.charset import END, PADDING, Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.vocabulary import SPELLINGS, Vocabulary, Words, boost_known_words, least_score, rescore

PRINTABLE = Charset("".join(chr(code) for code in range(33, 127)))
short = st.text("abcd", min_size=1, max_size=7)


@pytest.fixture
def vocabulary(tmp_path):
    """cat three times as often as cart, dog and giraffe each."""
    (tmp_path / "words.txt").write_text("# animals\r\ncat\t3\r\ncart\t1\n\nDOG\ngiraffe\ncar\t0\n", "utf-8-sig")
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


def test_pulls_by_hand(vocabulary):
    shares = {"cat": 1 / 2, "cart": 1 / 6, "dog": 1 / 6, "giraffe": 1 / 6, "car": 0}
    assert vocabulary.words.share == pytest.approx(shares)
    assert vocabulary.prior("cat") == pytest.approx(log(0.7 * 3 / 6))
    strange = log(0.3) - 3 * log(50)
    assert vocabulary.spellings("cst") == {"cat": pytest.approx(0.4 * (log(0.7 / 2) - strange))}
    assert vocabulary.spellings("(cst),") == {"(cat),": vocabulary.spellings("cst")["cat"]}  # punctuation tips nothing
    assert vocabulary.spellings("girafte") == {"giraffe": 6.0}  # however long a word is, an image that is sure wins


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
        ("CAT'S", []),
        ("\u201ccat\u201d", []),
        ("dogs'", ["dog'"]),
        ("car", []),  # is one that is not proposed
        ("caz", ["cat"]),
        ("...", []),
        ("ca", []),  # too short
        ("12:45", []),
    ],
)
def test_spellings_are_written_as_what_was_read(vocabulary, text, spellings):
    assert list(vocabulary.spellings(text)) == spellings


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
    assert 4.0 < vocabulary.spellings("cst")["cat"] < 6.0
    asked = []
    texts = rescore(["dog", "cst", "x"], vocabulary, PRINTABLE, 26, weigher({"cst": 0.0, "cat": seen}, asked))
    assert texts == ["dog", chosen, "x"]
    assert asked == [(1, "cst"), (1, "cat")]  # nothing is asked of what is a word, or has none near


def test_words_that_cannot_be_written_are_not_tried(vocabulary):
    def refuse(words, labels):
        raise AssertionError("nothing was to be asked")

    assert rescore(["cst"], vocabulary, Charset("cs"), 26, refuse) == ["cst"]
    assert rescore(["girafe"], vocabulary, PRINTABLE, 7, refuse) == ["girafe"]  # END would not fit
    assert rescore(["girafff"], vocabulary, PRINTABLE, 7, refuse) == ["girafff"]  # never ended
    assert rescore([], vocabulary, PRINTABLE, 26, refuse) == []


def test_words_are_believed_more_than_what_is_none(vocabulary):
    scores = np.array([0.0, 0.6, 0.95, 1.0, 0.5, 0.7])
    texts = ["cat", "cat", "(Cat's)", "dog", "cst", ""]
    expected = [0.0, 0.6**0.75, 0.95**0.75, 1.0, 0.5, 0.7]
    np.testing.assert_allclose(boost_known_words(scores, texts, vocabulary), expected)
    np.testing.assert_array_equal(boost_known_words(scores, texts, None), scores)
    assert boost_known_words(np.array([least_score(0.75, vocabulary)]), ["cat"], vocabulary) == pytest.approx([0.75])
    assert least_score(0.75, None) == 0.75


def test_english_knows_words_and_names_and_proposes_no_offence():
    english = Vocabulary.of("english")
    for text in ("restaurant", "RESTAURANT,", "Singapore", "Women's", "don't", "LTD", "cafe", "god", "fuck"):
        assert english.knows(text), text
    assert english.prior("the") > english.prior("restaurant") > english.prior("abseil")
    assert list(english.spellings("RESTAUPANT")) == ["RESTAURANT"]
    assert "fuck" not in english.words.near("fvck", 1000)


def test_listed_words_may_have_accents_and_punctuation(tmp_path):
    (tmp_path / "words.txt").write_text(unicodedata.normalize("NFD", "m\u00fcller\nph.d.\n"))
    vocabulary = Vocabulary.of(tmp_path / "words.txt")
    assert vocabulary.knows("M\u00dcLLER")
    assert vocabulary.knows("Ph.D.")
    assert list(vocabulary.spellings("muller")) == ["m\u00fcller"]


def test_a_file_that_has_changed_is_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("cat\n")
    before = Vocabulary.of("words.txt")
    (tmp_path / "words.txt").write_text("dogs\n")
    assert (before.knows("cat"), Vocabulary.of("words.txt").knows("dogs")) == (True, True)
    assert Vocabulary.of("words.txt").source == str(tmp_path / "words.txt")  # wherever it is asked for


def test_none_is_none():
    assert Vocabulary.of(None) is Vocabulary.of("none") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"# nothing\n", "holds no word"),
        (b"cat\t0\n", "holds no word that may be proposed"),
        (b"cat\ndog\tmany\n", r"line 2: 'dog\\tmany' is not a word"),
        (b"Main Street\n", "line 1"),
        (b"Route 66\n", "line 1"),
        (b"cat\t1\t2\n", "line 1"),
        (b"cat\t-1\n", "line 1"),
        (b"cat\tnan\n", "line 1"),
        (b"cat\tinf\n", "line 1"),
    ],
)
def test_bad_files_are_told(tmp_path, content, words):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as told:
        Vocabulary.of(path)
    assert str(path) in str(told.value)
