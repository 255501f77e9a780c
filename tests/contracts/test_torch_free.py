"""Modules that say that they need no torch, and ``predict``, import none, directly or through others: it takes seconds."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "dld_spotter"
HEAVY = {"torch", "lightning", "torchmetrics", "transformers"}


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported; not functions, nor what is for type checkers alone."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if not isinstance(node, ast.FunctionDef):
            for part in ("body", "orelse", "handlers", "finalbody"):
                yield from statements(getattr(node, part, []))


def module_file(name: str) -> Path | None:
    """The file of a module of the package; None where it is none."""
    place = PACKAGE.joinpath(*name.split(".")[1:])
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Names of the modules that importing a file imports, packages on the way included."""
    names: list[str] = []
    for node in statements(ast.parse(file.read_text("utf-8")).body):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 2))


def way_to_torch(file: Path) -> list[str]:
    """How importing a file leads to torch, by file names; empty where it does not."""
    waiting, seen = [[file]], {file}
    while waiting:
        way = waiting.pop()
        for name in imported(way[-1]):
            if name in HEAVY:
                return [*(str(step.relative_to(PACKAGE)) for step in way), name]
            other = module_file(name) if name.split(".")[0] == PACKAGE.name else None
            if other is not None and other not in seen:
                seen.add(other)
                waiting.append([*way, other])
    return []


def test_what_says_so_needs_no_torch():
    files = [file for file in PACKAGE.rglob("*.py") if "Needs no torch" in file.read_text("utf-8").partition('"""\n')[0]]
    assert len(files) > 25
    assert [way for file in [*files, PACKAGE / "predict.py"] if (way := way_to_torch(file))] == []


def test_a_way_to_torch_is_found():
    assert way_to_torch(PACKAGE / "train.py")[-1] in HEAVY
    assert way_to_torch(PACKAGE / "core" / "batches.py") == ["core/batches.py", "torch"]
