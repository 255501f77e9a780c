"""What a machine does to a training: kills, a full disk, a loader that dies, a loss that is not finite; and that it goes on."""

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from dld_spotter.core.interruption import Interrupted
from dld_spotter.data.synthetic import SyntheticScenes
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.training.modules import DLDModule, TeacherModule
from tests.integration.runs import Ended, train
from tests.stress.kills import differences, trained

OFTEN = "callbacks.last.minutes=0.0001"
"""After every step."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train(folder, OFTEN).status == 0
    return folder


@pytest.fixture(scope="module")
def with_control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_control")
    assert train(folder, OFTEN, "control=true").status == 0
    return folder


class Killed(BaseException):
    """Stands for a signal that cannot be handled: nothing may catch it."""


def at(count: int, patch: pytest.MonkeyPatch, place: type, method: str, fault: BaseException) -> None:
    """Raise ``fault`` in a method when it is called for the ``count``-th time, from 0."""
    calls, original = [], getattr(place, method)

    def failing(self, *arguments):
        calls.append(0)
        if len(calls) > count:
            raise fault
        return original(self, *arguments)

    patch.setattr(place, method, failing)


def told(ended: Ended, status: int, *words: str) -> None:
    """The command has ended with one sentence, which holds these words."""
    assert ended.status == status
    assert "Traceback" not in ended.stderr
    assert [word for word in words if word not in ended.error] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "method", "count"),
    [
        (TeacherModule, "training_step", 1),
        (TeacherModule, "validation_step", 0),
        (DLDModule, "training_step", 0),
        (DLDModule, "training_step", 1),
        (DLDModule, "validation_step", 0),
        (DLDModule, "on_validation_epoch_end", 0),
        (DLDModule, "training_step", 3),  # in the control stage
        (DLDModule, "validation_step", 1),
    ],
)
def test_a_killed_training_goes_on_to_the_undisturbed_end(with_control, tmp_path, monkeypatch, place, method, count):
    at(count, monkeypatch, place, method, Killed())
    with pytest.raises(Killed):
        train(tmp_path, OFTEN, "control=true")
    monkeypatch.undo()
    ended = train(tmp_path, OFTEN, "control=true", "resume=auto")
    assert ended.status == 0, ended.stderr
    assert differences(trained(with_control), trained(tmp_path)) == ""


def test_a_finished_run_says_so_and_shows_its_table(undisturbed, tmp_path, monkeypatch):
    folder = shutil.copytree(undisturbed, tmp_path / "moved")
    monkeypatch.setattr("dld_spotter.train.run_stages", None)
    ended = train(folder, OFTEN, "resume=auto")
    assert (ended.status, ended.stderr) == (0, "")
    assert "is finished, nothing is left to do" in ended.stdout
    assert "student" in ended.stdout.partition("its table:")[2]


def test_a_finished_run_is_not_begun_again_for_another_rate(undisturbed, tmp_path, monkeypatch):
    folder = shutil.copytree(undisturbed, tmp_path / "moved")
    monkeypatch.setattr("dld_spotter.train.run_stages", None)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    ended = train(folder, OFTEN, "resume=auto", "stages.distillation.lr=1e-5")
    told(ended, 2, "is finished, and stages.distillation.lr=1e-05 would change nothing")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_signals_wait_for_the_end_of_the_step(tmp_path, monkeypatch):
    step = DLDModule.training_step

    def signalled(self, *arguments):
        if self.trainer.global_step == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    monkeypatch.setattr(DLDModule, "training_step", signalled)
    ended = train(tmp_path)
    told(ended, 128 + signal.SIGTERM, "stopped by SIGTERM", "holds the distillation stage up to step 1; resume=auto goes on")
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    from dld_spotter.training import checkpoints

    calls, write = [], checkpoints.write_whole

    def full(path: Path, content: dict) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_whole", full)
    told(train(tmp_path, OFTEN), 1, "No space left on device; free some space")
    load_checkpoint(tmp_path / "checkpoints" / "teacher" / "last.ckpt")
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_loader_that_dies_ends_in_a_sentence_and_the_run_goes_on(tmp_path, monkeypatch):
    load, main = SyntheticScenes.__getitem__, os.getpid()

    def dying(self, index: int):
        if os.getpid() != main and len(self) == 16 and index in drawn[4:]:
            os.kill(os.getpid(), signal.SIGKILL)
        return load(self, index)

    drawn = torch.randperm(16, generator=torch.Generator().manual_seed(1)).tolist()  # as the sampler has them
    monkeypatch.setattr(SyntheticScenes, "__getitem__", dying)
    few = ("data.workers=1", "data.train.length=16", "trainer.limit_train_batches=8")
    told(train(tmp_path, *few), 1, "a process that loads data died in the teacher stage", "resume=auto")
    monkeypatch.undo()
    ended = train(tmp_path, *few, "resume=auto")
    assert ended.status == 0, ended.stderr
    assert "going on with" in ended.stdout


def test_a_loss_that_is_not_finite_keeps_the_last_good_weights(undisturbed, tmp_path, monkeypatch):
    step = DLDModule.on_train_batch_start

    def spoil(self, *arguments):
        if self.trainer.global_step == 1:
            next(self.student.parameters()).data.fill_(float("nan"))
        return step(self, *arguments)

    monkeypatch.setattr(DLDModule, "on_train_batch_start", spoil)
    told(train(tmp_path, OFTEN), 1, "the loss is nan at step 1", "resume=auto and a lower stages.distillation.lr")
    monkeypatch.undo()
    state = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt").state
    assert all(value.isfinite().all() for value in state.values())
    ended = train(tmp_path, OFTEN, "resume=auto", "stages.distillation.lr=1e-5")
    assert ended.status == 0, ended.stderr
    rates = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"][0]["max_lr"]
        for folder in (undisturbed, tmp_path)
    ]
    assert rates == [3e-4, 1e-5]


def test_an_interrupted_evaluation_says_how_to_go_on(undisturbed, tmp_path, monkeypatch):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    (folder / "status.json").unlink()
    monkeypatch.setattr("dld_spotter.train.evaluate", lambda *_: (_ for _ in ()).throw(Interrupted(signal.SIGINT)))
    told(train(folder, OFTEN, "resume=auto"), 130, "stopped by SIGINT; the same command with resume=auto goes on")
