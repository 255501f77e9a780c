import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dld_spotter.config.assembly import create
from dld_spotter.config.entry import ROOT
from dld_spotter.core.charset import END, PADDING, PRINTABLE_ASCII, SPECIAL, START, Charset, read_characters
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.checkpoint import load_checkpoint

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


@pytest.mark.parametrize(("characters", "fold", "found"), [("abca", False, "'a'"), ("", False, "empty"), ("aBa", True, "'a'")])
def test_bad_characters_are_refused(characters, fold, found):
    with pytest.raises(ConfigError, match=found):
        Charset(characters, fold)


def test_any_charset_folds_case():
    folded = Charset(PRINTABLE_ASCII, fold_case=True)
    assert len(folded) == len(PRINTABLE) - 26
    assert folded.decode(folded.encode(["Ab-Z"], 9)[0].tolist()) == "ab-z"
    assert not folded.unknown(PRINTABLE_ASCII)
    assert Charset("aAbB", fold_case=True) == Charset("ab", fold_case=True)


def test_lines_are_written_with_single_spaces():
    lines = Charset(" " + PRINTABLE_ASCII)
    assert len(lines) == 98
    assert lines.decode(lines.encode([" TWO\twords \u3000 more\n"], 30)[0].tolist()) == "TWO words more"
    assert lines.unknown("a\u00a0b") == []
    assert PRINTABLE.unknown(" a b") == [" ", " "], "without a space in it a charset leaves white space as it is"


@pytest.mark.parametrize(
    ("content", "characters"),
    [
        ("abc\n", "abc"),
        ("a\r\nb\r\n\r\nc", "abc"),
        ("\ufeffaab b\t", "ab "),
        ("e\u0301\u4e2d\U0001f600", "\u00e9\u4e2d\U0001f600"),
        ("a${b}", "a{b}$"),
    ],
)
def test_characters_from_a_file(tmp_path, content, characters):
    (tmp_path / "chars.txt").write_bytes(content.encode())
    assert read_characters(tmp_path / "chars.txt") == characters


@pytest.mark.parametrize(("content", "found"), [(None, "No such file"), (b"\n\n", "holds no character"), (b"\xe9", "UTF-8")])
def test_a_file_without_characters_is_named(tmp_path, content, found):
    if content is not None:
        (tmp_path / "chars.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"charset_file=.*chars\.txt.*{found}"):
        read_characters(tmp_path / "chars.txt")


@pytest.fixture
def composed():
    """Compose a command's charset."""

    def compose_charset(*overrides):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("check_data", list(overrides))
        return OmegaConf.to_container(config.charset, resolve=True)

    return compose_charset


@pytest.mark.parametrize(
    ("option", "count", "sample"),
    [
        ("alphanumeric", 36, "z9"),
        ("printable", 94, "Zz9~"),
        ("ascii", 95, "two words"),
        ("file", 336, "\u0141\u00f3d\u017a"),
    ],
)
def test_the_options(composed, option, count, sample):
    charset = create(composed(f"charset={option}"))
    assert len(charset.characters) == count
    assert not charset.unknown(sample)
    assert charset.decode(charset.encode([sample], 12)[0].tolist()) == sample


@pytest.mark.parametrize(("option", "name"), [("printable", "bundled_tiny"), ("ascii", "bundled")])
def test_options_are_those_of_the_bundled_weights(composed, option, name):
    assert create(composed(f"charset={option}")) == load_checkpoint(name).spotter().charset


def test_the_printable_option_is_printable_ascii(composed):
    assert create(composed("charset=printable")) == PRINTABLE


def test_a_file_of_ones_own_is_kept_as_characters(composed, tmp_path):
    file = tmp_path / "greek.txt"
    file.write_text("\u0391\u0392\u03b1\u03b2", "utf-8")
    found = composed("charset=file", f"charset_file={file}", "charset.fold_case=true")
    assert found["characters"] == "\u0391\u0392\u03b1\u03b2"
    assert create(found).characters == "\u03b1\u03b2"
    with pytest.raises(OmegaConfBaseException, match="charset_file="):
        composed("charset=file", "charset_file=lost.txt")
