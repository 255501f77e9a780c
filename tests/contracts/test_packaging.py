"""The project as its users get it: make targets, pinned versions, and the wheel outside the repository."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.parent.name for path in ROOT.glob("experiments/*/config.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and capture what it prints."""
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree, unpacked: what ``pip install`` would put among the packages."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "site")
    return folder / "site"


def test_make_help_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    listed = run("make", "--no-print-directory", cwd=ROOT).stdout
    assert {"install", "train", "test", "lint"} <= set(targets)
    assert [line.split()[0] for line in listed.splitlines()[1:]] == targets


def test_versions_agree():
    assert version("dld_spotter") == PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]


def test_constraints_pin_every_requirement_within_its_range():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): pin for name, pin in (line.split("==") for line in lines)}
    extras = PROJECT["optional-dependencies"]
    for requirement in map(Requirement, PROJECT["dependencies"] + extras["dev"] + extras["export"] + extras["docs"]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_every_import_is_a_declared_requirement():
    """What another package happens to bring along may be gone with its next version."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    undeclared = {
        f"{path.name}: {name}"
        for path in (ROOT / "src").rglob("*.py")
        for name in imported(ast.parse(path.read_text("utf-8")))
        if name not in sys.stdlib_module_names | {"dld_spotter"}
        and not {canonicalize_name(owner) for owner in owners.get(name, [name])} & declared
    }
    assert not undeclared


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all packages that a module imports, wherever in it."""
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | origins}


def test_imports_are_seen_wherever_they_stand():
    assert imported(ast.parse("import a.b as c\ndef f():\n    from d.e import g\nfrom . import h")) == {"a", "d"}


@pytest.mark.parametrize("python", ["/bin/false", "no-such-python"])
def test_make_asks_for_a_recent_python(tmp_path: Path, python: str):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    ended = run("make", "install", f"PYTHON={python}", cwd=tmp_path)
    assert ended.returncode != 0
    assert f"error: found no Python 3.11 or newer in PYTHON={python}; give" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_finds_a_recent_python_by_itself(tmp_path: Path):
    """The first name on the PATH is too old; the next one is tried."""
    old, recent = tmp_path / "python3.11", tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    recent.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for script in (old, recent):
        script.chmod(0o755)
    (tmp_path / "show.mk").write_text(f"include {ROOT / 'Makefile'}\nshow: ; @echo found $(PYTHON)\n")
    shown = run("make", "--no-print-directory", "-f", "show.mk", "show", cwd=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert shown.stdout == "found python3\n"


def test_the_wheel_carries_what_the_commands_read(wheel: Path):
    packaged = {path.relative_to(wheel / "dld_spotter") for path in wheel.glob("dld_spotter/**/*") if path.is_file()}
    carried = {"conf": ("*.yaml",), "src/dld_spotter": ("*.ckpt", "*.html")}
    for folder, pattern in ((folder, f"**/{name}") for folder, names in carried.items() for name in names):
        base = ROOT / "src/dld_spotter" if folder.startswith("src") else ROOT
        assert {path.relative_to(base) for path in (ROOT / folder).glob(pattern)} <= packaged
    assert Path("data/synthetic/words.txt") in packaged
    assert not [path for path in packaged if path.parts[0] == "experiments" or path.suffix in (".png", ".jpg", ".npz", ".csv")]


def test_the_wheel_works_in_an_empty_folder(wheel: Path, tmp_path: Path):
    (wheel / "dld_spotter" / "conf" / "cost" / "only_in_the_wheel.yaml").touch()
    shown = run(sys.executable, "-m", "dld_spotter.train", "--help", cwd=tmp_path, PYTHONPATH=str(wheel))
    assert shown.returncode == 0, shown.stderr
    assert "only_in_the_wheel" in shown.stdout
    assert STUDIES
    assert not [study for study in STUDIES if study in shown.stdout]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["16_box_jitter", "margins", "no_such_study"])
def test_a_study_of_the_wheel_is_refused_in_one_sentence(wheel: Path, tmp_path: Path, name: str):
    refused = run(sys.executable, "-m", "dld_spotter.train", f"+experiments={name}", cwd=tmp_path, PYTHONPATH=str(wheel))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: +experiments={name}: studies are not part of an installed package")
    assert refused.stderr.endswith("run the command in a checkout of the repository\n")
    assert refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_tiny_run_from_the_wheel(wheel: Path, tmp_path: Path):
    command = (sys.executable, "-m", "dld_spotter.train", "debug=tiny", "paths.output_dir=run")
    done = run(*command, cwd=tmp_path, PYTHONPATH=str(wheel))
    assert done.returncode == 0, done.stderr
    left = {path.name for path in (tmp_path / "run").rglob("*")}
    assert {"teacher.ckpt", "best.ckpt", "last.ckpt", "metrics.csv", "config.yaml", "tradeoff.json", "tradeoff.png"} <= left


@pytest.mark.slow
def test_predict_reads_in_an_environment_with_only_the_wheel(wheel: Path, tmp_path: Path):
    """The requirements are lent by this environment; a path in a .pth file does not bring along the editable install."""
    home, folder = tmp_path / "environment", tmp_path / "photos"
    assert run(sys.executable, "-m", "venv", "--without-pip", str(home), cwd=tmp_path).returncode == 0
    (site,) = home.glob("lib/*/site-packages")
    shutil.copytree(wheel, site, dirs_exist_ok=True)
    (site / "requirements.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    folder.mkdir()
    scene = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1})).render(0)
    Image.fromarray(scene.image).save(folder / "photo.jpg", quality=95)

    python = str(home / "bin" / "python")
    origin = run(python, "-c", "import dld_spotter; print(dld_spotter.__file__)", cwd=folder, PYTHONPATH="")
    done = run(python, "-m", "dld_spotter.predict", "input=photo.jpg", "paths.output_dir=out", cwd=folder, PYTHONPATH="")

    assert origin.stdout.startswith(str(site)), origin.stderr
    assert done.returncode == 0, done.stderr
    reading = json.loads((folder / "out" / "predictions.jsonl").read_text("utf-8"))
    assert {word["text"] for word in reading["words"]} & set(scene.instances.transcriptions)
    assert Image.open(folder / "out" / "drawn" / "photo.jpg").size[0] >= 256
