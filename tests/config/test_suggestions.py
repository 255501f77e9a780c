"""A misspelt setting, option or flag is told with the known one that is nearest."""

import sys

import pytest
from hydra.errors import MissingConfigException

from dld_spotter.config.entry import ROOT, entry_point
from dld_spotter.config.suggestions import explained


def told(command: str, monkeypatch, capsys, *arguments: str) -> str:
    """The one line that ``command`` ends with, at status 2."""
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as ended:
        entry_point(command)(lambda config: config.absent)()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("command", "argument", "meant"),
    [
        ("predict", "inputt=x", "input"),
        ("train", "stages.teacher.epoch=2", "stages.teacher.epochs"),
        ("train", "stages.teachr.epoch=2", "stages.teacher.epochs"),
        ("train", "slector=gumbel", "selector"),
        ("train", "spotter@model.studnt=tiny", "spotter@model.student"),
        ("train", "~data.rot", "data.root"),
        ("train", "epochs=3", "stages.teacher.epochs or stages.distillation.epochs"),
        ("predict", "second_lok=true", "two_pass"),  # nearest to an earlier name
        ("predict", "escalation.pric=4", "second_pass.gain_threshold"),
        ("train", "model.student.clos_up=true", "model.student.full_resolution_crops"),
        ("train", "selector=gumbl", "selector=gumbel"),
        ("train", "data=icdar15", "data=icdar2015"),
        ("train", "data=glance", "data=whole"),
        ("train", "debug=tiy", "debug=tiny"),
        ("train", "spotter@model.teacher=smal", "spotter@model.teacher=small"),
        ("measure", "engine=rapidor", "engine=rapidocr"),
        ("train", "+experiments=marginns", "+experiments=16_box_jitter"),
        ("train", "--hlp", "--help"),
    ],
)
def test_the_nearest_is_suggested(command: str, argument: str, meant: str, monkeypatch, capsys):
    line = told(command, monkeypatch, capsys, argument)
    assert line.startswith("error: ")
    assert line.endswith(f"; did you mean {meant}?")
    assert argument.lstrip("~").partition("=")[0] in line


def test_an_option_is_told_with_the_place_that_it_was_written_for(monkeypatch, capsys):
    line = told("train", monkeypatch, capsys, "spotter@model.teacher=small", "spotter@model.student=smll")
    assert line.endswith("; did you mean spotter@model.student=small?")


def test_a_group_is_told_with_the_places_that_it_is_mounted_at(monkeypatch, capsys):
    line = told("train", monkeypatch, capsys, "-m", "spotter=tiny,small")
    assert line.endswith("; did you mean spotter@model.student or spotter@model.teacher?")


def test_a_setting_that_is_null_is_known(monkeypatch, capsys):
    assert "has no setting" not in told("train", monkeypatch, capsys, "~resume")


def test_a_setting_of_a_chosen_option_is_known(monkeypatch, capsys):
    line = told("train", monkeypatch, capsys, "distillation=token", "distillation.temprature=4")
    assert line.endswith("; did you mean distillation.temperature?")


def test_a_misspelt_setting_of_a_sweep(monkeypatch, capsys, tmp_path):
    line = told("train", monkeypatch, capsys, "-m", "seeed=1,2", f"hydra.sweep.dir={tmp_path}")
    assert line == "error: train has no setting seeed; did you mean seed?"


def test_a_setting_that_is_unknown_while_a_command_runs(monkeypatch, capsys, tmp_path):
    line = told("predict", monkeypatch, capsys, f"paths.output_dir={tmp_path}")
    assert line.startswith("error: predict has no setting absent; ")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("zzz=1", "--help lists what can be chosen"),
        ("stages.teacher.momentum=1", "--cfg job"),
        ("selector=best_of_all", "choose one of fixed, gumbel, random"),
        ("--seed=1", "KEY=VALUE without dashes"),
        ("-x", "KEY=VALUE without dashes"),
    ],
)
def test_nothing_is_suggested_where_nothing_is_near(argument: str, words: str, monkeypatch, capsys):
    line = told("train", monkeypatch, capsys, argument)
    assert "did you mean" not in line
    assert words in line


@pytest.mark.parametrize(
    ("option", "extra"), [("joblib", "joblib"), ("submitit_slurm", "submitit"), ("submitit_local", "submitit")]
)
def test_a_launcher_whose_plugin_is_not_installed_is_told_with_the_extra(option: str, extra: str):
    error = MissingConfigException("not found", missing_cfg_file=f"hydra/launcher/{option}", options=["basic"])
    sentence = explained(error, ROOT / "conf", "train", [f"launcher={option}"])
    assert sentence == f"launcher={option} needs a plugin of Hydra; install the extra: pip install 'dld-spotter[{extra}]'"


def test_a_line_that_is_given_in_a_name_makes_no_second_line(monkeypatch, capsys):
    line = told("train", monkeypatch, capsys, "+debug=t\niny")
    assert line == "error: +debug=t iny is no option of debug; did you mean +debug=tiny?"
