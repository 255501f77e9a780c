"""What assembly leaves of a configuration."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.config.assembly import build_data, build_teacher, create, plain, save_config
from dld_spotter.config.entry import ROOT
from dld_spotter.config.overrides import mounted
from dld_spotter.core.errors import CheckpointError


def test_a_saved_configuration_says_everything_once(tmp_path: Path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("fit_selector", [f"paths.output_dir={tmp_path}", "data.train.weights.scans=0.123"])

    save_config(config, tmp_path)

    text = (tmp_path / "config.yaml").read_text("utf-8")
    assert text.count("scans: 0.123\n") == 1
    saved = OmegaConf.load(tmp_path / "config.yaml")
    assert saved.data.module.train.weights.scans == 0.123
    assert plain(config)["scales"] == saved.scales
    OmegaConf.resolve(config)
    OmegaConf.resolve(saved)
    assert saved == config


def test_weights_of_another_family_are_refused_with_the_way_to_train_one():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", mounted("train", ["spotter=two_stage_tiny"]))
    with pytest.raises(
        CheckpointError, match=r"bundled_tiny holds a TextMapSpotter, and a TwoStageSpotter is to be trained; give "
    ):
        build_teacher(config)


def test_targets_are_those_that_the_spotter_is_taught_with():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", mounted("train", ["spotter=two_stage_tiny"]))
        asked = compose("train", ["data.train_collate.targets=text_map", "data.train_collate.shrink=0.5"])
    spotter = create(config.model.teacher)
    assert build_data(config, "teacher", spotter).train_collate.targets == "words"
    assert build_data(config, "teacher").train_collate.targets is None
    own = build_data(asked, "teacher", spotter).train_collate
    assert (own.targets, own.shrink) == ("text_map", 0.5)
