"""Every command line that the documents show composes, each job of a sweep too."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dld_spotter.config.console import COMMANDS
from dld_spotter.config.entry import ROOT
from dld_spotter.config.overrides import mounted
from dld_spotter.core.aliases import renamed_override
from dld_spotter.score import _parse as parse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(?:bash|)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python -m dld_spotter\.|dld-spotter )\w+ [^`]+)`")
COMMAND = re.compile(r"(?:python -m dld_spotter\.|dld-spotter )(?P<name>\w+)(?P<rest>(?: .*)?)$")
FLAGS = ("-m", "--multirun", "--help", "--cfg", "job")
STANDS_FOR_MORE = ("KEY=VALUE", "[OVERRIDES]")
ANY = "COMMAND"


def lines(page: Path) -> list[str]:
    """The commands of a page, each on one line."""
    text = page.read_text("utf-8")
    blocks = [
        *(block.replace("\\\n", " ") for block in FENCED.findall(text)),
        *(one.replace("\n", " ") for one in INLINE.findall(text)),
    ]
    written = (line.strip() for block in blocks for line in block.splitlines())
    return [line for line in written if (found := COMMAND.match(line)) and found["name"] != ANY]


WRITTEN = [(page.name, line) for page in PAGES for line in lines(page)]


def jobs(arguments: list[str]) -> list[list[str]]:
    """The overrides of so many jobs of a sweep that each value occurs; one job where nothing is swept over."""
    overrides = OverridesParser.create().parse_overrides([renamed_override(argument) for argument in arguments])
    searched = [one for one in overrides if one.is_sweep_override() and not one.is_discrete_sweep()]
    seen: set[str] = set()
    chosen = []
    for job in BasicSweeper.split_arguments([one for one in overrides if one not in searched], None)[0]:
        if not seen.issuperset(job) or not chosen:
            chosen.append(job)
            seen.update(job)
    return chosen


def test_each_value_of_a_sweep_occurs():
    assert jobs(["a=1,2", "b=3,4", "c=5", "d=interval(0,1)"]) == [
        ["a=1", "b=3", "c=5"],
        ["a=1", "b=4", "c=5"],
        ["a=2", "b=3", "c=5"],
    ]
    assert jobs([]) == [[]]


def test_there_are_commands_on_many_pages():
    assert len(WRITTEN) > 30
    assert {"README.md", "sweeps.md", "training.md", "scale.md", "many_photos.md"} <= {page for page, _ in WRITTEN}
    assert {COMMAND.match(line)["name"] for _, line in WRITTEN} >= {"train", "predict", "evaluate", "measure"}


@pytest.mark.parametrize(("page", "line"), sorted(set(WRITTEN)), ids=lambda value: value[:70])
def test_composes(page: str, line: str, tmp_path: Path):
    found = COMMAND.match(line)
    assert found["name"] in COMMANDS
    arguments = mounted(found["name"], shlex.split(found["rest"], comments=True))
    arguments = [one for one in arguments if one not in FLAGS and not any(word in one for word in STANDS_FOR_MORE)]
    if found["name"] == "score":  # which is no Hydra application
        assert parse(arguments)
        return
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for job in jobs(arguments):
            config = compose(found["name"], [*job, f"hydra.runtime.output_dir={tmp_path}"], return_hydra_config=True)
            params = OmegaConf.select(config, "hydra.sweeper.params") or {}
            for swept in jobs([f"{key}={value}" for key, value in params.items()]) if params else []:
                compose(found["name"], [*job, *swept])
