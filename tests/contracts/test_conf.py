"""Every option of every group in ``conf/`` composes with the defaults and builds what its group promises."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from scipy.io import savemat

from dld_spotter.config.assembly import build_data, create, settle_precision
from dld_spotter.config.entry import HELP, ROOT
from dld_spotter.config.studies import RENAMED, find_experiments
from dld_spotter.core.aliases import renamed_override
from dld_spotter.core.charset import Charset
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.predictor import LONG
from dld_spotter.losses.distillation import Distillation
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.objective import SelectionObjective
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.selector import Selector
from tests.data.samples import write_crops
from tests.exports import small_export

CONF = ROOT / "conf"
DEEPEST = 6
"""Keys that lead to the deepest value of a data configuration."""
OLD_WORDS = (
    r"\b(?:looks?|glances?|places?|(?<!contact )sheets?|steps?|ladders?|prices?|beliefs?|luck|dear(?:er)?|pages?|close-ups?)\b"
)
"""Words that this project had for what the field calls otherwise, see ``docs/glossary.md``."""
OVERLAYS = ("arm", "debug", "launcher", "sweep", "paths", "hydra")  # they set values and build nothing
FRAGMENTS = ("loading",)  # parts of other options
PROMISES = {
    "callbacks": Callback,
    "charset": Charset,
    "cost": partial,
    "data": LightningDataModule,
    "distillation": Distillation,
    "engine": Engine | None,
    "second_pass": SecondPassRule,
    "logger": Logger,
    "optimizer": partial,
    "scheduler": partial,
    "selection": SelectionObjective,
    "selector": Selector,
    "spotter": Spotter,
    "trainer": Trainer,
}
"""What an option of a group builds, or each of its entries where it has several."""


def options(keep: Callable[[str], bool]) -> list[Path]:
    """List ``group/option`` of the groups to keep."""
    files = [path.relative_to(CONF).with_suffix("") for path in CONF.glob("*/*.yaml")]
    return sorted(file for file in files if keep(file.parts[0]))


BUILDING = options(lambda group: group not in OVERLAYS + FRAGMENTS)
SETTING = options(lambda group: group in OVERLAYS)
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
EXPERIMENTS = sorted(find_experiments(ROOT / "experiments"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the plain form, ``images/`` beside ``gts/``, with splits and without, and a table of word crops."""
    root = tmp_path_factory.mktemp("photos")
    write_crops(root, [("word", np.zeros((12, 40, 3), np.uint8))] * 4)
    for split in ("", "train", "test", "Train", "Test"):
        images, truths = root / split / "images", root / split / "gts"
        images.mkdir(parents=True)
        truths.mkdir()
        for number in range(1, 41):
            Image.new("RGB", (48, 32)).save(images / f"img_{number}.jpg")
            (truths / f"gt_img_{number}.txt").write_text("4,4,40,4,40,20,4,20,word\n")
    for split in ("Train", "Test"):  # as Total-Text has them
        for kind in ("images", "gts"):
            target = root / {"images": "Images", "gts": "txt_format"}[kind] / split
            target.parent.mkdir(exist_ok=True)
            (root / split / kind).rename(target)
    write_annotation_files(root)
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graphs of a small spotter."""
    pytest.importorskip("onnx")
    return small_export(tmp_path_factory)[1]


def write_annotation_files(root: Path) -> None:
    """The data sets whose words stand in one file, of the same images."""
    names = [f"images/img_{number}.jpg" for number in range(1, 41)]
    (root / "labels.jsonl").write_text("".join(json.dumps({"image": name, "words": []}) + "\n" for name in names))
    for split in ("train", "val"):
        chosen = names[: len(names) // 2] if split == "train" else names[len(names) // 2 :]
        linked = {"imgs": {name: {"file_name": name, "set": split} for name in chosen}, "anns": {}}
        (root / f"TextOCR_0.1_{split}.json").write_text(json.dumps(linked))
        davar = {name: {"content_ann": {"bboxes": []}} for name in chosen}
        (root / f"a_{'test' if split == 'val' else split}_datalist.json").write_text(json.dumps(davar))
    linked = {"imgs": {name: {"file_name": name, "set": ("train", "val")[i % 2]} for i, name in enumerate(names)}}
    (root / "cocotext.v2.json").write_text(json.dumps(linked))
    many = [f"images/img_{number}.jpg" for number in range(1, 1001)]  # of which a hundredth is a part
    cells = {key: np.empty((1, len(many)), object) for key in ("imnames", "txt", "wordBB")}
    for i, name in enumerate(many):
        cells["imnames"][0, i], cells["txt"][0, i], cells["wordBB"][0, i] = name, "word", np.zeros((2, 4))
    savemat(root / "gt.mat", cells)


def composed(folder: Path, *overrides: str, command: str = "train") -> DictConfig:
    """Compose a command's configuration as Hydra does for a job that writes to ``folder``."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(command, [*overrides, f"hydra.runtime.output_dir={folder}"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def find_mount(group: str, folder: Path) -> tuple[str, str]:
    """Command that offers a group, training before others, and the group with the place where it is mounted there."""
    choices = {command: composed(folder, command=command).hydra.runtime.choices for command in ("train", "measure")}
    return next((command, key) for command, keys in choices.items() for key in keys if key.partition("@")[0] == group)


def build(config: DictConfig, group: str, key: str) -> list[Any]:
    """Build what ``group`` chose at ``key`` of the configuration, as the commands do."""
    if group == "data":
        return [build_data(config)]
    if group == "distillation":
        return [Distillation(create(config.distillation.terms))]
    built = create(OmegaConf.select(config, key))
    return list(built.values()) if isinstance(built, dict) else [built]


def test_the_listings_are_not_empty():
    assert {option.parts[0] for option in BUILDING} == PROMISES.keys()
    assert SETTING
    assert "train" in COMMANDS
    assert EXPERIMENTS


@pytest.mark.parametrize("option", BUILDING, ids=str)
def test_option_builds(
    option: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    group, name = option.parts
    if name == "fsdp" and not torch.cuda.is_available():
        pytest.skip("FSDP divides a model among GPUs")
    if name == "slurm":  # what a job of two machines sees
        job = {"NODEID": 0, "PROCID": 0, "LOCALID": 0, "NTASKS": 16, "NTASKS_PER_NODE": 8, "NNODES": 2}
        for key, value in job.items():
            monkeypatch.setenv(f"SLURM_{key}", str(value))
    command, mount = find_mount(group, tmp_path)
    config = composed(tmp_path, f"{mount}={name}", f"data.root={photos}", command=command)
    if group == "engine" and config.engine and (reason := get_class(config.engine._target_).missing()):
        pytest.skip(reason)
    if group == "engine" and config.engine and "folder" in config.engine:
        config.engine.folder = str(request.getfixturevalue("exported"))
    for source in {"crops", "photos", "scans"} & config.data.keys():
        config.data[source] = str(photos)
    if group == "trainer":
        settle_precision(config)  # as train does, of a precision that is left open

    built = build(config, group, mount.partition("@")[2] or group)

    assert built
    assert all(isinstance(part, PROMISES[group]) for part in built)


@pytest.mark.parametrize("name", [option.name for option in BUILDING if option.parts[0] == "selector"])
def test_a_selector_that_learns_comes_with_what_teaches_it(name: str, tmp_path: Path):
    config = composed(tmp_path, f"selector={name}")
    selector = create(config.selector)
    assert selector.trainable == ("selection" in config)
    if selector.trainable:
        assert create(config.selection).teaches(selector)
        assert create(config.selection).name == config.hydra.runtime.choices["selection"]


@pytest.mark.parametrize("option", SETTING, ids=str)
def test_overlay_composes(option: Path, tmp_path: Path):
    config = composed(tmp_path, f"{option.parent}={option.name}")
    assert config.hydra.runtime.choices[str(option.parent)] == option.name


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command: str, tmp_path: Path):
    page = composed(tmp_path, command=command).hydra.help.template
    assert page.startswith(f"python -m dld_spotter.{command} ")
    assert page.index("\nGroups: ") < page.index("\nTypical:\n  ") < page.index("\nSweep: ")


def references(tree: Any) -> list[dict[str, int | None]]:
    """The rules for full resolution that a configuration file writes, wherever in it they stand."""
    if not isinstance(tree, dict):
        return []
    here = [value for key, value in tree.items() if key == "reference" and isinstance(value, dict)]
    return here + [rule for value in tree.values() for rule in references(value)]


def test_full_resolution_is_the_same_wherever_it_is_written():
    """In Python, for photos of ``predict`` and ``demo``, and for data sets of files; rendered images stay as they are."""
    written = [rule for path in CONF.rglob("*.yaml") for rule in references(OmegaConf.to_container(OmegaConf.load(path)))]
    assert len(written) == 4
    assert all((rule.get("short"), rule["long"]) == (None, LONG) for rule in written)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_speaks_the_words_of_the_field(command: str):
    text = (HELP / f"{command}.txt").read_text("utf-8")
    prose = re.sub(r"\S*[=./]\S*", "", text)  # settings and files have their names
    assert re.findall(OLD_WORDS, prose, re.IGNORECASE) == []


def test_every_help_is_of_a_command():
    assert sorted(path.stem for path in HELP.iterdir()) == COMMANDS


def levels(tree: Any) -> int:
    """How many keys lead to the deepest value; an interpolation is a value."""
    return 1 + max(map(levels, tree.values())) if isinstance(tree, dict) and tree else 0


DATA = [f"data={option.name}" for option in BUILDING if option.parts[0] == "data"]


@pytest.mark.parametrize("chosen", [*DATA, *(f"+experiments={name}" for name in EXPERIMENTS)])
def test_data_configurations_are_at_most_six_levels_deep(chosen: str, tmp_path: Path):
    data = OmegaConf.to_container(composed(tmp_path, chosen).data)
    assert levels(data) <= DEEPEST


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_study_writes_at_most_six_levels_of_data(name: str):
    """Composed, it may look shallower than it is written: what replaces an interpolation is expanded."""
    written = OmegaConf.to_container(OmegaConf.load(find_experiments(ROOT / "experiments")[name]))
    assert levels(written.get("data", {})) <= DEEPEST


def test_levels_are_counted_in_keys():
    assert [levels(tree) for tree in (1, {}, {"a": 1}, {"a": {"b": {}, "c": {"d": "${data.x.y}"}}})] == [0, 0, 1, 3]


OVERRIDES = {
    "real_mixed": {
        "data.train.datasets.rendered.renderer.layout.probabilities.scenes": 0.5,
        "data.train.datasets.rendered.renderer.layout.layouts.real_scenes.crops.share": 0.9,
        "data.train.datasets.rendered.renderer.degradation": {"blur": 0.1},
    },
    "whole": {
        "data.train.datasets.rendered.renderer.layout.probabilities.large": 0.5,
        "data.train.datasets.rendered.renderer.layout.width": [64, 160],
    },
    "mixed": {
        "data.train.renderer.layout.layouts.scenes.probabilities.large": 0.5,
        "data.train.renderer.layout.layouts.dense.words": 7,
    },
    "scenes": {
        "data.batch_size": 3,
        "data.workers": 5,
        "data.train_collate.jitter": 0.5,
        "data.test.renderer.layout.height": 96,
    },
}
"""Option of data -> overrides that users may have, those of before the deepest nodes had names among them."""


@pytest.mark.parametrize("option", OVERRIDES)
def test_overrides_of_data_reach_the_data_module(option: str, tmp_path: Path):
    given = OVERRIDES[option]
    extra = "+" if option == "real_mixed" else ""  # no degradation is written there
    arguments = [f"{extra if 'degradation' in key else ''}{key}={_plain(value)}" for key, value in given.items()]
    data = composed(tmp_path, f"data={option}", *map(renamed_override, arguments)).data
    module = OmegaConf.to_container(data.module, resolve=True)
    module |= module["loading"]
    for key, value in given.items():
        found = module
        for part in key.split(".")[1:]:
            found = found[part]
        assert found == value, key


def _plain(value: Any) -> str:
    """A value as it stands on the command line."""
    return json.dumps(value).replace('"', "")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_is_a_difference_from_the_defaults(name: str, tmp_path: Path):
    config, defaults = (composed(tmp_path, *chosen) for chosen in ([f"+experiments={name}"], []))
    del config.hydra, defaults.hydra
    OmegaConf.resolve(config)
    OmegaConf.resolve(defaults)
    assert config != defaults
    assert config.keys() <= defaults.keys()  # a selector that learns nothing brings no objective of its own


GROUPS = ("arm", "sweep")
JOBS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


TRAININGS = [
    f"+experiments={name}"
    for name, path in sorted(find_experiments(ROOT / "experiments").items())
    if "dld_spotter.train" in path.read_text("utf-8")
]


@pytest.mark.parametrize("chosen", [*JOBS, *TRAININGS])
def test_arms_sweeps_and_studies_train_no_control_in_each_run(chosen: str, tmp_path: Path):
    """They have rows of their own for it."""
    config = composed(tmp_path, chosen)
    assert not (config.control and config.distillation.terms and config.stages.distillation.epochs)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_study_that_goes_on_from_weights_does_not_fall_back_to_others(name: str, tmp_path: Path):
    """Merged over a value, ``???`` is ignored: a study must name a file instead, if only one that is to be replaced."""
    named = OmegaConf.to_container(OmegaConf.load(find_experiments(ROOT / "experiments")[name]))
    teacher = named.get("stages", {}).get("teacher", {})
    if "checkpoint" in teacher:
        assert composed(tmp_path, f"+experiments={name}").stages.teacher.checkpoint == teacher["checkpoint"]


def inherited(name: str) -> list[str]:
    """Names of the studies that a study takes its configuration from, the nearest first."""
    config = OmegaConf.to_container(OmegaConf.load(find_experiments(ROOT / "experiments")[name]))
    named = [entry for entry in config.get("defaults", []) if isinstance(entry, str)]
    parents = [entry.removeprefix("/experiments/") for entry in named if entry.startswith("/experiments/")]
    return [each for parent in parents for each in (parent, *inherited(parent))]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_study_inherits_from_at_most_one_other(name: str):
    assert len(inherited(name)) <= 1


def test_some_study_inherits():
    assert any(inherited(name) for name in EXPERIMENTS)


def test_every_earlier_name_of_a_study_leads_to_a_folder():
    renamed = json.loads((ROOT / "experiments" / RENAMED).read_text("utf-8"))
    assert renamed
    assert not [present for present in renamed.values() if not (ROOT / "experiments" / present).is_dir()]
    assert not renamed.keys() & set(EXPERIMENTS)


def test_a_study_composes_by_its_earlier_name(tmp_path: Path):
    earlier, present = (composed(tmp_path, f"+experiments={name}") for name in ("margins", "16_box_jitter"))
    del earlier.hydra, present.hydra
    # as written: the time in the output folder's name differs where a second passes between the two
    assert OmegaConf.to_container(earlier) == OmegaConf.to_container(present)
