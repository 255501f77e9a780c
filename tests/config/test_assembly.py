"""What assembly leaves of a configuration."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.config.assembly import plain, save_config
from dld_spotter.config.entry import ROOT


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
