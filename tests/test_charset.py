import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.charset import END, PADDING, PRINTABLE_ASCII, SPECIAL, START, Charset
from dld_spotter.errors import ConfigError

PRINTABLE = Charset(PRINTABLE_ASCII)


@given(st.lists(st.text(PRINTABLE_ASCII, max_size=12), max_size=5))
def test_encoding_round_trips(texts):
    labels = PRINTABLE.encode(texts, 13)
    assert labels.shape == (len(texts), 13)
    assert [PRINTABLE.decode(row) for row in labels.tolist()] == texts
    for row, text in zip(labels.tolist(), texts, strict=True):
        assert row[len(text)] == END
        assert row[len(text) + 1 :] == [PADDING] * (12 - len(text))


@given(st.text(max_size=20))
def test_what_is_not_unknown_is_written(text):
    unknown = PRINTABLE.unknown(text)
    written = PRINTABLE.decode(PRINTABLE.encode([text], 100)[0].tolist())
    assert sorted(written + "".join(unknown)) == sorted(PRINTABLE.normalize(text))
    assert not PRINTABLE.unknown(written)


@pytest.mark.parametrize(
    ("text", "length", "indices"),
    [("", 3, [END, 0, 0]), ("ab", 3, [3, 4, END]), ("abba", 3, [3, 4, END]), ("a?b", 4, [3, 4, END, 0]), ("abc", 1, [END])],
)
def test_encoding_by_hand(text, length, indices):
    assert Charset("abc").encode([text], length).tolist() == [indices]


@pytest.mark.parametrize(
    ("indices", "text"), [([], ""), ([END, 3], ""), ([3, PADDING, START, 4, END, 5], "ab"), ([SPECIAL, SPECIAL], "aa")]
)
def test_decoding_by_hand(indices, text):
    assert Charset("abc").decode(indices) == text


def test_case_and_composition():
    folding = Charset("abc\u00e9", fold_case=True)
    assert folding.normalize("ABe\u0301") == "ab\u00e9"
    assert folding.decode(folding.encode(["CABE\u0301"], 8)[0].tolist()) == "cab\u00e9"
    assert Charset("abc").unknown("aBcB ") == ["B", "B", " "]


def test_length_counts_the_special_classes():
    assert len(Charset("abc")) == 6
    assert PRINTABLE.encode(["~"], 2)[0, 0] == len(PRINTABLE) - 1


@pytest.mark.parametrize(
    ("characters", "fold", "found"), [("abca", False, "'a'"), ("", False, "empty"), ("aB", True, "fold_case")]
)
def test_bad_characters_are_refused(characters, fold, found):
    with pytest.raises(ConfigError, match=found):
        Charset(characters, fold)
