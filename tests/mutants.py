"""Breaks one line at a time and sees that a fast test fails: ``make mutants``, or ``python -m tests.mutants [NAME ...]``.

Each mutant is applied to a copy of the checkout, in which its tests run; without it they must pass there. Exit status 1
where one survives, or no longer applies.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("conf", "src", "tests", "pyproject.toml")
WIRING = "tests/training/test_wiring.py"


class Mutant(NamedTuple):
    """A line that is broken.

    Args:
        name: what is wrong then.
        file: where.
        before: the line, or part of it; stands there once.
        after: what takes its place.
        tests: of which one must fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str = WIRING


MODULES, SRC = "src/dld_spotter/training/modules.py", "src/dld_spotter"
MUTANTS = (
    Mutant(
        "student not initialised from the teacher",
        MODULES,
        "self.student.load_state_dict(self.teacher.state_dict())",
        "pass",
        "tests/training/test_stages.py",
    ),
    Mutant(
        "best epoch's weights not loaded",
        f"{SRC}/train.py",
        "load_weights(getattr(module, part), content.weights(part), content.path)",
        "pass",
    ),
    Mutant("worst epoch kept", "conf/callbacks/default.yaml", "mode: max", "mode: min"),
    Mutant(
        "student's batch statistics not frozen",
        f"{SRC}/config/assembly.py",
        "normalization=fits)",
        "normalization=False)",
    ),
    Mutant("L_seq weighs nothing", "conf/train.yaml", "sequence: 1.0", "sequence: 0.0"),
    Mutant(
        "no share of the gradient is held by default",
        "conf/train.yaml",
        "shares: {roi: 0.3, context: 0.3, sequence: 0.3, token: 0.3}",
        "shares: null",
    ),
    Mutant(
        "weights that hold the shares are not used",
        f"{SRC}/training/balancing.py",
        "trainer.is_global_zero)\n        weights |= self.balance.weights",
        "trainer.is_global_zero)",
    ),
    Mutant(
        "weights that held the shares are forgotten on resume",
        f"{SRC}/training/balancing.py",
        "module.objective.weights |= self.balance.weights",
        "pass",
        "tests/training/test_balancing.py",
    ),
    Mutant("another selector by default", "conf/train.yaml", "- selector: gumbel", "- selector: random"),
    Mutant("words cost nothing in L_flops", MODULES, ", batch.words_per_image())", ")"),
    Mutant(
        "the control is distilled, too",
        f"{SRC}/config/assembly.py",
        "student, selector, Distillation({}))",
        "student, selector, module.distillation)",
        "tests/training/test_stages.py",
    ),
    Mutant(
        "gradients not clipped by default", "conf/trainer/default.yaml", "gradient_clip_val: 5.0", "gradient_clip_val: null"
    ),
    Mutant("groups clipped together", MODULES, 'clip_grad_norm_(group["params"], ', "clip_grad_norm_(self.parameters(), "),
    Mutant(
        "no Gumbel schedule by default",
        "conf/callbacks/default.yaml",
        "dld_spotter.training.callbacks.TemperatureSchedule\n  decay: 0.965      # per epoch of the paper's 50\n  floor: 0.5",
        "dld_spotter.training.callbacks.ScaleHistogram",
    ),
    Mutant(
        "L_seq asks the student for sequences",
        f"{SRC}/losses/distillation.py",
        "spotters[1].beams(teacher.context",
        "spotters[0].beams(student.context",
    ),
    Mutant(
        "only the first cost weight is trained for",
        MODULES,
        "drawn = torch.randint(len(indices), (len(batch),), device=indices.device)",
        "drawn = torch.zeros(len(batch), dtype=torch.int64)",
    ),
    Mutant("factor of a cost weight ignored", f"{SRC}/selection/drs.py", "cost.append(factor * ", "cost.append(1.0 * "),
    Mutant(
        "the same images in every pass",
        f"{SRC}/data/datamodule.py",
        "first = self.epoch * len(self.dataset)",
        "first = 0",
    ),
    Mutant("schedule stepped by epoch", f"{SRC}/training/components.py", '"interval": "step"', '"interval": "epoch"'),
    Mutant(
        "teacher stage sees every view",
        f"{SRC}/config/assembly.py",
        'collate["draw_one"] = stage == "teacher"',
        'collate["draw_one"] = False',
    ),
    Mutant(
        "selector_lr ignored",
        f"{SRC}/config/assembly.py",
        "config.stages.distillation.selector_lr)",
        "config.stages.distillation.lr)",
    ),
    Mutant(
        "an engine's threads ignored",
        f"{SRC}/inference/engines/rapidocr.py",
        '"EngineConfig.onnxruntime.intra_op_num_threads": usable_threads(self.threads),',
        '"EngineConfig.onnxruntime.intra_op_num_threads": -1,',
    ),
    Mutant(
        "scores not scaled",
        f"{SRC}/inference/photo.py",
        "found = [[scaled(word) for word in words] for words in found]",
        "pass",
        "tests/inference/test_loading.py",
    ),
    Mutant(
        "words read twice where all of them wait",
        f"{SRC}/selection/second_pass/rule.py",
        "scale >= AT_ONCE and isfinite(self.height)",
        "scale >= AT_ONCE",
        "tests/inference/second_pass/test_two_pass.py",
    ),
)


def passes(tests: str, copy: Path) -> bool:
    """Whether tests pass in a copy of the checkout."""
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # neither passed nor failed: the tests did not run
        raise SystemExit(f"error: {tests} did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def survives(mutant: Mutant, copy: Path) -> bool:
    """Whether all tests pass in a copy of the checkout where the mutant lives."""
    path = copy / mutant.file
    text = path.read_text("utf-8")
    if (count := text.count(mutant.before)) != 1:
        raise SystemExit(f"error: {mutant.name}: {mutant.file} holds that line {count} times; bring the mutant up to date")
    path.write_text(text.replace(mutant.before, mutant.after), "utf-8")
    try:
        return passes(mutant.tests, copy)
    finally:
        path.write_text(text, "utf-8")


def main() -> int:
    """Apply each mutant, or those that are named."""
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            if not passes(tests, copy):
                raise SystemExit(f"error: {tests} fails without any mutant")
        for mutant in chosen:
            alive = survives(mutant, copy)
            survivors += alive
            print(f"{'SURVIVES' if alive else 'killed  '}  {mutant.name}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
