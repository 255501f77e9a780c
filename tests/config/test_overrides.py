"""Names of files on the command line, whatever signs they hold."""

import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dld_spotter.config.overrides import as_written, quoted
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.inference.inputs import find_images
from dld_spotter.inference.writers import open_output
from dld_spotter.predict import main

NAMES = (
    *(
        "photo (1).jpg",
        "Stra\u00dfe.jpg",
        "\u4e2d\u6587.jpg",
        "\U0001f600.jpg",
        "a=b.jpg",
        "a,b.jpg",
        "[a].jpg",
        "{a}.jpg",
        "~a.jpg",
    ),
    *(
        "it's.jpg",
        'say "a".jpg',
        "a\\b.jpg",
        "a\\'b.jpg",
        "${a}.jpg",
        "a\u2028b.jpg",
        "a#b.jpg",
        "*.jpg",
        " a.jpg",
        "a:b.jpg",
        "%a.jpg",
    ),
    *("[a", "a]", "{", "}", "a;b.jpg", "-.jpg", "a\nb.jpg", "caf\udce9.jpg", "range(1,3)"),
)


def value_of(argument):
    """What a command is given."""
    override = OverridesParser.create().parse_override(argument)
    return OmegaConf.to_container(OmegaConf.create({"input": override.value()}), resolve=True)["input"]


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_is_found_whatever_it_is_called(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    for given_name in (name, f"{tmp_path}/{name}"):
        (argument,) = as_written([f"input={given_name}"])
        found = value_of(argument)
        assert [path.resolve() for path in find_images(found if isinstance(found, str) else str(found))] == [tmp_path / name]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab\\'\"$ {}[](),=~#:*\u2028\u00fc", max_size=12))
def test_a_quoted_text_comes_back(text):
    assert value_of(f"input={quoted(text)}") == text


@pytest.mark.parametrize(
    "argument", ["scale=0.5", "input=[a,b]", "data=icdar2015", "~vocabulary", "+a.b=1", "budget=0.3,0.5", "a={b:1}"]
)
def test_what_the_grammar_knows_is_left_as_it_is(argument):
    assert as_written([argument, "--cfg=job"]) == [argument, "--cfg=job"]


@pytest.mark.parametrize("argument", ["+=", "=", "", "[", "a b"])
def test_what_is_no_setting_is_told(argument):
    with pytest.raises(ConfigError, match="is no setting; give KEY=VALUE"):
        as_written([argument])


def test_a_name_that_cannot_be_parsed_is_told_in_the_words_of_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict", "input=photo (1).jpg", "device=cpu"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("error: input=photo (1).jpg does not exist; give a photo")


def test_one_photo_is_read_once_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b").mkdir()
    assert len(find_images(["a.jpg", "./a.jpg", "b/../a.jpg", str(tmp_path / "a.jpg"), "*.jpg"])) == 1


def test_a_list_with_a_missing_photo_keeps_the_others(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.jpg\n{tmp_path}/gone.jpg\n")
    assert [path.name for path in find_images(str(tmp_path / "list.txt"))] == ["a.jpg", "gone.jpg"]


def test_two_runs_cannot_write_one_file(tmp_path):
    again = open_output(str(tmp_path / "a.jsonl"))
    with open_output(str(tmp_path / "a.jsonl")), pytest.raises(DataError, match="is being written by another run"):
        again.__enter__()
    with open_output(str(tmp_path / "a.jsonl")) as (_, done):
        assert not done


@pytest.mark.parametrize("key", ["input", "out", "data.root", "paths.output_dir", "picture"])
def test_a_comma_in_the_name_of_a_file_that_is_not_there_is_no_sweep(key):
    (written,) = as_written([f"{key}=absent/a,b.jsonl"])
    override = OverridesParser.create().parse_override(written)
    assert not override.is_sweep_override()
    assert override.value() == "absent/a,b.jsonl"


@pytest.mark.parametrize(
    "arguments", [["-m", "out=a,b"], ["out=a,b", "--multirun"], ["hydra.mode=MULTIRUN", "out=a,b"], ["seed=1,2"]]
)
def test_a_sweep_stays_a_sweep(arguments):
    assert as_written(arguments) == arguments


@pytest.mark.parametrize("argument", ["out=[a,b]", "input=[a.jpg,b.jpg]"])
def test_a_list_stays_a_list(argument):
    assert as_written([argument]) == [argument]


@pytest.mark.parametrize("argument", ["~a", "+a", "a"])
def test_a_key_that_is_too_long_for_a_file_is_told(argument):
    with pytest.raises(ConfigError, match="is no setting; give KEY=VALUE"):
        as_written([argument + "9" * 300])
    with pytest.raises(ConfigError, match="is no setting; give KEY=VALUE"):
        as_written([argument + "9" * 300 + "=3"])
