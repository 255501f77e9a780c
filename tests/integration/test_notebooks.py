"""The notebooks run from top to bottom and carry no outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from dld_spotter.tradeoff import Point, TradeOff

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def make_tradeoff(path: Path) -> Path:
    """A teacher at three fixed scales, and a student that is better at half the cost."""
    statics = [Point("static", "teacher", h, h, h, scale**2, scale=scale) for scale, h in ((0.3, 0.2), (0.5, 0.5), (1.0, 0.8))]
    dynamic = [Point("dynamic", "student", h, h, h, cost, gamma=gamma) for gamma, cost, h in ((0.3, 0.2, 0.6), (0.1, 0.5, 0.8))]
    mix = [Point("random_mix", "student", 0.7, 0.7, 0.7, 0.5, budget=0.5)]
    TradeOff("scenes", "rrc", "end_to_end", "none", 9, "TextMapSpotter", None, (*statics, *dynamic, *mix)).write(path)
    return path


def test_there_are_notebooks():
    assert "tradeoff" in [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    for cell in nbformat.read(path, 4).cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)


def test_tradeoff_notebook(tmp_path):
    notebook = nbformat.read(FOLDER / "tradeoff.ipynb", 4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += f"\npath = {str(make_tradeoff(tmp_path / 'tradeoff.json'))!r}\ncosts = [0.25]\nshares = [1.0]"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert "image/png" in outputs["plot"][-1].data
    assert "gamma 0.1" in str(outputs["table"])
    bought, taken = (outputs[cell][-1].data["text/html"] for cell in ("at-cost", "at-hmean"))
    assert "50.0" in bought  # the teacher at scale 0.5
    assert "0.500" in taken  # the student reaches the teacher's best at half the cost
    assert "1.000" in taken
