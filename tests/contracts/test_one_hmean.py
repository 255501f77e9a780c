"""The harmonic mean of precision and recall is computed in ``core/hmean.py`` and nowhere else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = ROOT / "src" / "dld_spotter" / "core" / "hmean.py"
FILES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
NO_QUOTIENT = ("max", "min", "range")


def formulas(source: str) -> list[int]:
    """Lines that hold a quotient of twice something and a sum, whether as ``a / b`` or as two arguments of a call."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            pair = node.left, node.right
        elif isinstance(node, ast.Call) and len(node.args) > 1 and ast.unparse(node.func) not in NO_QUOTIENT:
            pair = node.args[0], node.args[1]
        else:
            continue
        if _doubled(pair[0]) and _has_sum(pair[1]):
            found.append(node.lineno)
    return found


def _has_sum(node: ast.expr) -> bool:
    return any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add) for part in ast.walk(node))


def _doubled(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if any(isinstance(side, ast.Constant) and side.value == 2 for side in (node.left, node.right)):
            return True
        node = node.left
    return False


@pytest.mark.parametrize(
    "source",
    [
        "2 * matched / (predicted + true)",
        "2.0 * matched / (predicted + true).clamp(min=1)",
        "hmean = 2 * precision * recall / (precision + recall) if matched else 0.0",
        "precision * recall * 2 / (precision + recall)",
        "np.divide(2 * matched, predicted + true, out=zeros, where=some)",
        "_ratio(2 * totals[..., MATCHED], totals[..., PREDICTED] + totals[..., TRUE])",
    ],
)
def test_a_second_formula_would_be_noticed(source):
    assert formulas(source) == [1]


@pytest.mark.parametrize("source", ["2 * matched - reached * (predicted + true)", "value / (2 - value)", "max(2 * a, b + c)"])
def test_other_formulas_are_left_alone(source):
    assert formulas(source) == []


def test_there_is_one_formula():
    assert HOME in FILES
    found = {path: lines for path in FILES if (lines := formulas(path.read_text("utf-8")))}
    assert list(found) == [HOME], f"call dld_spotter.core.hmean.hmean instead of the formulas in {found}"
    assert len(found[HOME]) == 1
