"""The order of the package's parts: imports go down only; and bounds of what a reader has to look through."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dld_spotter"
NAME = PACKAGE.name
LEVELS = (
    ("assets", "core"),
    ("data", "metrics", "tradeoff"),
    ("models",),
    ("budget",),
    ("losses",),
    ("selection",),
    ("inference",),
    ("training", "evaluation"),
    ("config",),
)
"""Folders from the bottom to the top, above which the commands lie. Those of one level know nothing of each other."""
LEVEL = {folder: height for height, level in enumerate(LEVELS) for folder in level}
TOP = len(LEVELS)
FILES = sorted(PACKAGE.rglob("*.py"))
ENTRIES, FOLDERS, LINES = 25, 13, 400


def part_of(names: list[str]) -> str:
    """The folder or the command that a module, as its names below the package, belongs to."""
    return names[0] if names else "__init__"


def imported(tree: ast.Module, own: list[str]) -> Iterator[tuple[int, str]]:
    """Line and part of everything that a module imports from this package, wherever in the file and for whatever end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([NAME, *own[: len(own) - node.level], *([base] if base else [])])
            modules = [f"{base}.{alias.name}" for alias in node.names] if base == NAME else [base]
        else:
            continue
        for module in modules:
            first, *rest = module.split(".")
            if first == NAME and rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file()):
                yield node.lineno, rest[0]


def upward(file: Path, source: str) -> list[str]:
    """Imports of a file that do not go down, as ``file:line -> part``."""
    own = list(file.relative_to(PACKAGE).with_suffix("").parts)
    part = part_of(own)
    height = LEVEL.get(part, TOP)
    return [
        f"{file.relative_to(PACKAGE)}:{line} -> {other}"
        for line, other in imported(ast.parse(source), own)
        if other != part and LEVEL.get(other, TOP) >= height and part != "__init__"
    ]


def test_imports_go_down_only():
    assert len(FILES) > 100
    assert [found for file in FILES for found in upward(file, file.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("core/words.py", "from dld_spotter.core.errors import ConfigError", 0),
        ("core/words.py", "from dld_spotter.data.photos import scaled_size", 1),
        ("data/photos.py", "import dld_spotter.core.words", 0),
        ("data/photos.py", "import numpy, dld_spotter.metrics.rules", 1),
        ("data/readers/mlt.py", "from .. import photos", 0),
        ("data/readers/mlt.py", "from ...models.spotter import Spotter", 1),
        (
            "models/spotter.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dld_spotter.losses import detection",
            1,
        ),
        ("models/spotter.py", "def later():\n    import dld_spotter.training.modules", 1),
        ("training/modules.py", "from dld_spotter.evaluation import measuring", 1),
        ("config/console.py", "from dld_spotter import __version__", 0),
        ("config/console.py", "from dld_spotter import predict", 1),
        ("demo.py", "from dld_spotter import predict", 1),
        ("demo.py", "from dld_spotter.predict import to_json", 1),
        ("demo.py", "from dld_spotter.config.entry import entry_point", 0),
    ],
)
def test_an_upward_import_is_noticed(file: str, source: str, found: int):
    assert len(upward(PACKAGE / file, source)) == found


def test_every_folder_has_its_place():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(LEVEL)
    assert len(folders) <= FOLDERS


def test_the_top_of_the_package_is_short():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES


def test_files_are_short():
    files = [*FILES, *(ROOT / "tests").rglob("*.py")]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def asked_for_its_class(source: str) -> list[int]:
    """Lines that ask whether a policy is one of operating points."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if ast.unparse(call.func) in ("isinstance", "issubclass") and "OperatingPointPolicy" in ast.unparse(call)
    ]


def test_nobody_asks_whether_a_policy_is_one_of_operating_points():
    assert asked_for_its_class("isinstance(policy, (Fixed, policies.OperatingPointPolicy))") == [1]
    files = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    found = {str(file.relative_to(ROOT)): asked_for_its_class(file.read_text("utf-8")) for file in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
