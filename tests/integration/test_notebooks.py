"""The notebooks run from top to bottom and carry no outputs."""

import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from dld_spotter.tradeoff import Outcomes, Point, TradeOff
from tests.tradeoff.test_loading import write_run

FOLDER = Path(__file__).parents[2] / "notebooks"
README = FOLDER.parent / "experiments" / "08_distillation_control" / "README.md"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def make_tradeoff(path: Path) -> Path:
    """A teacher at three fixed scales, and a student that is better at half the cost."""
    statics = [Point("static", "teacher", h, h, h, scale**2, scale=scale) for scale, h in ((0.3, 0.2), (0.5, 0.5), (1.0, 0.8))]
    dynamic = [Point("dynamic", "student", h, h, h, cost, gamma=gamma) for gamma, cost, h in ((0.3, 0.2, 0.6), (0.1, 0.5, 0.8))]
    mix = [Point("random_mix", "student", 0.7, 0.7, 0.7, 0.5, budget=0.5)]
    TradeOff("scenes", "rrc", "end_to_end", "none", 9, "TextMapSpotter", None, (*statics, *dynamic, *mix)).write(path)
    return path


def executed(name, folder, parameters=""):
    """Run a notebook in a folder; returns the outputs of its cells by id."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source += f"\n{parameters}"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs):
    """The last thing that a cell displays, as HTML."""
    return outputs[-1].data["text/html"]


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {"tradeoff", "resolution", "distillation"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    for cell in nbformat.read(path, 4).cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_computes_little_by_itself(path):
    """What is worth a test of its own belongs into the package."""
    for cell in nbformat.read(path, 4).cells:
        assert len(cell.source.splitlines()) <= 32


def test_tradeoff_notebook(tmp_path):
    path = make_tradeoff(tmp_path / "tradeoff.json")
    outputs = executed("tradeoff", tmp_path, f"path = {str(path)!r}\ncosts = [0.25]\nshares = [1.0]")
    assert "image/png" in outputs["plot"][-1].data
    assert "gamma 0.1" in str(outputs["table"])
    bought, taken = shown(outputs["at-cost"]), shown(outputs["at-hmean"])
    assert "50.0" in bought  # the teacher at scale 0.5
    assert "0.500" in taken  # the student reaches the teacher's best at half the cost
    assert "1.000" in taken
    front = shown(outputs["pareto"])
    assert front.count("<tr") == 4  # the head; scale 0.3 is the cheapest, both dynamic points beat the scales of their cost
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs["slider"])


@pytest.mark.slow
def test_tradeoff_notebook_of_the_stored_study(tmp_path):
    outputs = executed("tradeoff", FOLDER, "resamples = 50")
    assert "random policy" in shown(outputs["at-cost"])
    assert "oracle" in shown(outputs["area"])


def test_resolution_notebook(tmp_path):
    """With a selector's choices in the folder, which are those of the cheapest scale here."""
    study = FOLDER.parent / "experiments" / "07_resolution_tradeoff"
    shutil.copy(study / "outcomes_student.npz", tmp_path)
    outcomes = Outcomes.load(study / "outcomes_student.npz")
    cheapest, costly = outcomes.measures[:, 0], outcomes.measures[:, -1]
    totals = np.stack([cheapest.values, costly.values])
    np.savez(tmp_path / "dynamic_student.npz", names=np.array(outcomes.names), gammas=[1.0, 0.1], totals=totals)
    outputs = executed("resolution", FOLDER, f"folder = {str(tmp_path)!r}\nimages, budget = 6, 0.15")
    assert "gamma 1 spends" in str(outputs["selector"][0])
    why = shown(outputs["why"])
    assert why.count("<tr") == 3  # the head has two lines: every image is read at the lowest scale
    assert "0.3" in why
    assert all("image/png" in outputs[cell][-1].data for cell in ("selector", "scatter", "gallery"))


def test_distillation_notebook(tmp_path):
    write_run(tmp_path / "0", settings={"distillation.temperature": "1"})
    write_run(tmp_path / "1", settings={"distillation.temperature": "4"})
    outputs = executed("distillation", FOLDER, f"sweep = {str(tmp_path)!r}")
    differences = shown(outputs["difference"])
    (row,) = re.findall(r"^\| 0.4 \| .* \|$", README.read_text("utf-8"), re.MULTILINE)[:1]
    assert all(figure in differences for figure in re.findall(r"[+-]?\d+\.\d", row)[1:])
    assert "image/png" in outputs["terms"][-1].data
    assert "4.0" in str(outputs["sweep"])
