import numpy as np
import pytest

from dld_spotter.core.charset import PRINTABLE_ASCII
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.synthetic import WordSource
from dld_spotter.data.synthetic.words import DEFAULT_MIX


def draw(source, count, seed=0):
    rng = np.random.default_rng(seed)
    return [source.draw(rng) for _ in range(count)]


def test_default_mix_covers_every_printable_character_and_every_case():
    words = draw(WordSource(), 8000)
    assert set("".join(words)) == set(PRINTABLE_ASCII)
    assert all(1 <= len(word) <= 24 for word in words)
    for form in (str.islower, str.isupper, str.istitle, str.isdigit):
        assert sum(map(form, words)) > 150
    assert len(set(words)) > 4000


@pytest.mark.parametrize("charset", ["0123456789", "abcdefghijklmnopqrstuvwxyz", "ABC-", "é", "xX!"])
def test_words_stay_within_the_charset(charset):
    words = draw(WordSource(charset=charset), 500)
    assert all(words)
    assert set("".join(words)) == set(charset)


def test_lower_case_charset_keeps_whole_words():
    words = draw(WordSource(charset="abcdefghijklmnopqrstuvwxyz", mix={"word": 1}), 300)
    assert set(words) <= set(WordSource().words)


def test_length_limit():
    assert {len(word) for word in draw(WordSource(max_length=1), 200)} == {1}
    assert max(len(word) for word in draw(WordSource(max_length=5), 500)) == 5


def test_own_word_list(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# a comment\n\nalpha\nbeta \n", encoding="utf-8")
    assert {word.lower() for word in draw(WordSource(word_list=path, mix={"word": 1}), 50)} == {"alpha", "beta"}


@pytest.mark.parametrize("content", [None, "# nothing\n\n", b"\xff\xfe\x80"])
def test_unusable_word_list_is_named(tmp_path, content):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"list\.txt"):
        WordSource(word_list=path)


@pytest.mark.parametrize(
    "arguments",
    [{"mix": {"poem": 1}}, {"mix": {}}, {"mix": {"word": -1}}, {"mix": {"word": 0}}, {"charset": " "}, {"max_length": 0}],
)
def test_bad_settings(arguments):
    with pytest.raises(ConfigError, match=r"words\."):
        WordSource(**arguments)


def test_names_come_when_they_are_asked_for_and_only_then():
    names = draw(WordSource(mix={"name": 1}), 2000)
    assert {"O'Brien", "SMITH", "Zoe", "Müller"} & set(names) or len(set(names)) > 400
    assert all(name[0].isupper() for name in names)
    assert sum(name.endswith("'s") for name in names) > 50
    assert sum(name.endswith(".") for name in names) > 100
    assert set("".join(names)) <= set(PRINTABLE_ASCII)
    mixed = draw(WordSource(mix={"number": 0.5, "name": 0.5}), 1000)
    assert 400 < sum(any(char.isalpha() for char in word) for word in mixed) < 600


def test_the_default_mix_is_the_one_that_published_scenes_were_made_with():
    assert draw(WordSource(), 500) == draw(WordSource(mix=DEFAULT_MIX | {"name": 0}), 500)
