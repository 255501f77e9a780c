"""A constructor takes few arguments: what belongs together is passed as one object."""

import ast
from pathlib import Path

import pytest

import dld_spotter
from dld_spotter.inference.provenance import ARGUMENTS

SOURCE = Path(dld_spotter.__file__).parents[1]
MOST = 8
IN_CHECKPOINTS = "its arguments are the keys of its configuration in every checkpoint, which must go on loading"
EXEMPT = {
    "dld_spotter.models.spotter.TextMapSpotter": IN_CHECKPOINTS,
}
"""Class -> why it may have more."""


def constructors(source: str) -> dict[str, int]:
    """Number of arguments of every constructor that is written out; a dataclass writes its own."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    given = method.args
                    named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - 1
                    found[node.name] = named + (given.vararg is not None) + (given.kwarg is not None)
    return found


@pytest.fixture(scope="module")
def counted() -> dict[str, int]:
    modules = {".".join(file.relative_to(SOURCE).with_suffix("").parts): file for file in SOURCE.rglob("*.py")}
    return {
        f"{module}.{name}": count
        for module, file in modules.items()
        for name, count in constructors(file.read_text("utf-8")).items()
    }


def test_arguments_are_counted_without_self():
    source = "class A:\n    def __init__(self, a, /, b, *c, d=1, **e): pass\nclass B:\n    def __init__(self): pass"
    assert constructors(source) == {"A": 5, "B": 0}


def test_no_constructor_takes_more_than_eight_arguments(counted):
    assert len(counted) > 50
    assert {name: count for name, count in counted.items() if count > MOST and name not in EXEMPT} == {}


def test_exemptions_are_needed_and_hold(counted):
    assert [name for name in EXEMPT if counted[name] <= MOST] == []
    assert EXEMPT.keys() <= ARGUMENTS.keys()
