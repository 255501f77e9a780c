import pytest
from omegaconf import OmegaConf

from dld_spotter.config.resuming import find_interrupted
from dld_spotter.core.errors import ConfigError
from dld_spotter.train import retention_asked


def found(tmp_path, resume, *written):
    for name in written:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = OmegaConf.create({"resume": resume})
    find_interrupted(config, tmp_path)
    return config.resume


@pytest.mark.parametrize("auto", ["auto", True])
def test_auto_takes_the_last_checkpoint_of_the_latest_stage(tmp_path, auto):
    assert found(tmp_path, auto, "teacher/last.ckpt") == str(tmp_path / "teacher" / "last.ckpt")
    assert found(tmp_path, auto, "last.ckpt") == str(tmp_path / "last.ckpt")


def test_auto_begins_anew_where_there_is_nothing(tmp_path):
    assert found(tmp_path, "auto", "best.ckpt") is None


@pytest.mark.parametrize("given", [None, "some/last.ckpt"])
def test_what_is_given_stays(tmp_path, given):
    assert found(tmp_path, given, "last.ckpt") == given


def asked(retention, checkpoint="bundled", teacher=0, distillation=1):
    stages = {"teacher": {"checkpoint": checkpoint, "epochs": teacher}, "distillation": {"epochs": distillation}}
    return retention_asked(OmegaConf.create({"evaluation": {"retention": retention}, "stages": stages}))


def test_weights_that_were_given_and_trained_on_are_compared_with_their_start():
    assert asked(40)
    assert asked(40, teacher=1, distillation=0)
    assert not asked(0)
    assert not asked(40, checkpoint=None)
    assert not asked(40, distillation=0)
    with pytest.raises(ConfigError, match=r"evaluation\.retention=-1 must be"):
        asked(-1)
