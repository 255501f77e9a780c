"""Commands that check their settings by a dataclass know every key of their file, and no other."""

from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dld_spotter import demo, predict

CONF = Path(__file__).parents[2] / "conf"
OF_HYDRA = {"defaults", "hydra"}
OF_GROUPS = {"engine", "second_pass", "paths"}
"""Keys that configuration groups bring."""


@pytest.mark.parametrize("command", [predict, demo], ids=lambda module: module.__name__)
def test_every_key_of_the_file_has_its_type(command):
    keys = set(OmegaConf.load(CONF / f"{command.__name__.rpartition('.')[2]}.yaml")) - OF_HYDRA
    assert keys - OF_GROUPS == {field.name for field in fields(command.Settings)} - OF_GROUPS
