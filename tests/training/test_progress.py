import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from dld_spotter.training import progress
from dld_spotter.training.progress import StageProgress
from tests.training.test_modules import make_module


@pytest.fixture
def told(monkeypatch):
    """What is printed where there is no terminal, or where there is one after ``told.terminal = True``."""
    text = io.StringIO()
    text.terminal = False
    monkeypatch.setattr(progress, "Console", lambda: Console(file=text, force_terminal=text.terminal, width=120))
    return text


def run(bar, steps, start=0, first=True):
    module = make_module()
    trainer = SimpleNamespace(
        global_step=start,
        estimated_stepping_batches=steps,
        world_size=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        progress_bar_metrics={"loss": 1.5},
        loggers=[],
        sanity_checking=False,
        num_val_batches=[2],
    )
    if not first:
        bar.disable()
    bar.on_train_start(trainer, module)
    for step in range(start + 1, steps + 1):
        trainer.global_step = step
        bar.on_train_batch_end(trainer, module, None, None, step)
    bar.on_validation_batch_end(trainer, module, None, None, 0)
    trainer.progress_bar_metrics["val/hmean"] = 0.625
    bar.on_validation_end(trainer, module)
    bar.on_train_end(trainer, module)


def test_a_file_gets_about_ten_lines_a_stage(told):
    run(StageProgress(lines=10), 95)
    lines = told.getvalue().splitlines()
    assert lines[0] == "distillation stage: 95 steps on cpu"
    assert lines[1].startswith("distillation: step 9 of 95, 0:00:00 left, loss 1.500")
    assert 10 <= len(lines) <= 14
    assert lines[-1].endswith("val/hmean 0.625")


def test_a_terminal_gets_a_bar_that_goes_on_where_the_stage_was_interrupted(told):
    told.terminal = True
    run(StageProgress(), 30, start=20)
    text = told.getvalue()
    assert "30/30" in text
    assert "distillation" in text
    assert "left" in text
    assert "val/hmean 0.625" in text
    assert "step 30 of" not in text


def test_other_processes_are_silent(told):
    run(StageProgress(), 5, first=False)
    assert told.getvalue() == ""
