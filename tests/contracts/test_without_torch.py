"""An exported spotter reads in an environment that has the packages of ``requirements-onnx.txt`` and nothing else."""

import json
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import load

ROOT = Path(__file__).parents[2]
LISTED = {
    canonicalize_name(name): pin
    for name, pin in (
        line.split("==") for line in (ROOT / "requirements-onnx.txt").read_text().splitlines() if not line.startswith("#")
    )
}
READ = """
import json, sys
import dld_spotter

spotter = dld_spotter.load(sys.argv[1])
asked = {"scale": 0.6, "budget": 0.4, "budget_ms": 900}
readings = {name: spotter.read(sys.argv[2], **{name: value}) for name, value in asked.items()}
print(json.dumps({name: [[word.text, word.polygon.tolist()] for word in reading.words] for name, reading in readings.items()}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of the list, what these require, and this package; there is nothing else to import."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "dld_spotter").symlink_to(ROOT / "src" / "dld_spotter")
    for name in with_requirements(LISTED):
        package = distribution(name)
        for top in {path.parts[0] for path in package.files if ".." not in path.parts}:
            place = Path(package.locate_file(top))
            if place.exists() and not (folder / top).exists():
                (folder / top).symlink_to(place)
    return folder


def with_requirements(names: dict[str, str]) -> set[str]:
    """Names of distributions and of all that they require."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        wanted = [Requirement(line) for line in requires(name) or ()]
        needed = {canonicalize_name(one.name) for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})}
        waiting |= needed - found
    return found


def run(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code that sees the standard library and ``site``: ``-I`` and ``-S`` keep all else away."""
    start = f"import sys; sys.path.append({str(site)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", start + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_list_pins_what_the_tests_run_with():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and not line.startswith("#")]
    pins = {canonicalize_name(name): pin for name, pin in (line.split("==") for line in lines)}
    assert {name: pins[name] for name in LISTED} == LISTED


def test_the_page_names_the_packages_of_the_list():
    page = (ROOT / "docs" / "onnx.md").read_text("utf-8")
    assert not [name for name in LISTED if f"`{name}`" not in page]


@pytest.mark.parametrize("name", ["torch", "scipy", "rich", "hydra", "omegaconf", "matplotlib", "lightning"])
def test_nothing_else_is_there(site: Path, name: str):
    assert "ModuleNotFoundError" in run(site, f"import {name}").stderr


def test_the_reader_is_imported(site: Path):
    done = run(site, "import dld_spotter\nprint(dld_spotter.load.__name__)")
    assert done.stdout == "load\n", done.stderr


@pytest.mark.slow
def test_a_photo_is_read_there(site: Path, tmp_path: Path):
    scene = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1})).render(0)
    Image.fromarray(scene.image).save(tmp_path / "photo.png")
    reader = load("bundled", device="cpu")
    write(load_checkpoint("bundled"), reader, tmp_path / "exported")
    done = run(site, READ, str(tmp_path / "exported"), str(tmp_path / "photo.png"))
    assert done.returncode == 0, done.stderr
    readings = json.loads(done.stdout)
    words = reader.read(tmp_path / "photo.png", scale=0.6).words
    assert words
    assert [text for text, _ in readings["scale"]] == [word.text for word in words]
    assert all(readings.values())
