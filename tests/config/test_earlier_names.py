"""Commands that were written down under earlier names go on working."""

import sys

import pytest
from omegaconf import DictConfig, OmegaConf

from dld_spotter.config.entry import entry_point


@pytest.fixture
def composed(monkeypatch, tmp_path):
    """What a command composes of its arguments, as given on the command line."""

    def compose(command: str, *arguments: str) -> DictConfig:
        seen: list[DictConfig] = []
        monkeypatch.setattr(sys, "argv", [command, *arguments, f"paths.output_dir={tmp_path}"])
        entry_point(command)(seen.append)()
        (config,) = seen
        return config

    return compose


@pytest.mark.parametrize(
    ("command", "argument", "key", "value"),
    [
        ("predict", "second_look=true", "two_pass", True),
        ("predict", "escalation.price=4", "second_pass.gain_threshold", 4),
        ("measure", "escalation.legible=9", "second_pass.min_height", 9),
        ("measure", "second_look=true", "two_pass", True),
        ("fit_operating_points", "escalation.context=20", "second_pass.context", 20),
        ("train", "+model.student.close_up=true", "model.student.full_resolution_crops", True),
        ("train", "model.student.close_up=true", "model.student.full_resolution_crops", True),
        ("train", "data=glances", "data.name", "whole"),
        ("fit_selector", "data=glances", "data.name", "whole"),
        ("check_data", "sheet=6", "contact_sheet", 6),
        ("train", "distillation=finding", "distillation.terms.text_map._target_", "dld_spotter.losses.distillation.TextMap"),
    ],
)
def test_an_earlier_name_sets_what_it_is_called_now(composed, command: str, argument: str, key: str, value: object):
    assert OmegaConf.select(composed(command, argument), key) == value
