"""What every entry point shares: where configurations lie, how a run is composed, how errors are told."""

import functools
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dld_spotter.config import studies as experiments
from dld_spotter.config.overrides import as_written, mounted
from dld_spotter.config.suggestions import explained, refuse_unknown_flags
from dld_spotter.config.sweep import shown_at_the_end
from dld_spotter.core.aliases import renamed_override
from dld_spotter.core.charset import read_characters
from dld_spotter.core.errors import ConfigError, SpotterError
from dld_spotter.core.interruption import Interrupted, interruptible
from dld_spotter.core.storage import storage_errors

_PACKAGE = Path(__file__).resolve().parents[1]
ROOT = _PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]
"""Folder of ``conf/``: the package in a wheel, the repository, which has ``experiments/`` too, in a checkout."""

HELP = Path(__file__).with_name("help")
"""Folder of the commands' help: what each does, ``Typical:``, and overrides with what they do."""
HELP_PAGE = """{about}
Groups: choose with GROUP=OPTION (* is the default)
{options}

Everything else: KEY=VALUE; --cfg job prints every key with its value.

Typical:
{typical}
Sweep: -m KEY=A,B runs one job for each value.   A failed run in full: HYDRA_FULL_ERROR=1
"""

USER_ERRORS = (SpotterError, HydraException, OmegaConfBaseException)
"""What a user can cause and mend; everything else is a defect and keeps its traceback."""

GOING_ON = {
    "train": "the same command with resume=auto goes on",
    "measure": "the same command with resume=true goes on",
    "fit_selector": "the same command with resume=true goes on",
    "predict": "the same command goes on after the last photo in out=",
}
"""Command -> how it goes on after a signal."""

TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"
"""Whether the user asked for tracebacks in place of sentences."""

PIPE_CLOSED = 141
"""Exit status of what a closed pipe has ended, as shells give it."""

SECOND_SENTENCE = 5.0
"""Seconds after which a further process of a training tells what went wrong."""

KERNELS = 8192
"""oneDNN compiles a kernel for every shape it meets and keeps 1024 of them: too few for the scales of a batch."""

NOISE = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 calls what torch 2.13 deprecates
    r"The number of training batches .* is smaller than the logging interval",
    r"Experiment logs directory .* exists and is not empty",  # the stages of one run share a folder
    r"Checkpoint directory .* exists and is not empty",
    r"Found \d+ module\(s\) in eval mode",  # the frozen teacher
    r"The '\w+' does not have many workers",  # the number of workers is ours to choose
    r"`ModelCheckpoint\(monitor='val/value'\)` could not find",  # a stage that ends before its first validation
    r"You're resuming from a checkpoint that ended before the epoch ended",  # which training/checkpoints.py takes care of
    r"Image size \(\d+ pixels\) exceeds limit",  # of a later page of a TIFF; the limit is max_pixels
    r"It is recommended to use `self.log\('val/(hmean|value)'",  # which is counted over all processes already
)
"""Warnings of libraries that a user can do nothing about."""


def characters_of(file: str) -> str:
    """Read the characters of a charset file: one that exists, or one of ``conf/charset``."""
    return read_characters(Path(file) if Path(file).is_file() else ROOT / "conf" / "charset" / file)


def list_options(choices: Mapping[str, str | None]) -> str:
    """List the groups of an entry point and what each offers, one line a group, ``*`` at the option that is chosen.

    Args:
        choices: group (``group@package`` where it is mounted elsewhere) -> chosen option, as in ``hydra.runtime.choices``.
    """
    options = {
        key: sorted(path.stem for path in (ROOT / "conf" / key.partition("@")[0]).glob("*.yaml"))
        for key in reversed(list(choices))  # Hydra has the last of the defaults list first
        if not key.startswith("hydra/")
    }
    return "\n".join(
        f"  {key:<24} {'  '.join(name + '*' * (name == choices.get(key)) for name in names)}"
        for key, names in options.items()
        if names
    )


def help_page(command: str, choices: Mapping[str, str | None]) -> str:
    """What ``--help`` prints: ``help/COMMAND.txt``, with the groups of the command between its two parts.

    Args:
        command: such as ``train``.
        choices: as of :func:`list_options`.
    """
    about, _, typical = (HELP / f"{command}.txt").read_text("utf-8").partition("\nTypical:\n")
    page = HELP_PAGE.format(about=about, options=list_options(choices), typical=typical)
    return page.replace("$", "$$")  # Hydra takes it for a template


experiments.register(ROOT / "experiments")
OmegaConf.register_new_resolver("help_page", help_page, replace=True)
OmegaConf.register_new_resolver("characters_of", characters_of, replace=True)


def entry_point(config_name: str, kernels: int = KERNELS) -> Callable[[Callable[[DictConfig], Any]], Callable[..., Any]]:
    """Make a Hydra application of ``conf/<config_name>.yaml`` whose users' errors are one sentence.

    The exit status is 2 where the configuration is wrong, 1 where a file is. ``HYDRA_FULL_ERROR=1`` shows the traceback.

    Args:
        config_name: of the configuration.
        kernels: how many oneDNN keeps, some 25 kB each; fewer where every photo has a size of its own.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(kernels))

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[..., Any]:
        @functools.wraps(task)
        def job(config: DictConfig) -> Any:
            _silence_libraries()
            try:
                with (
                    interruptible(),
                    storage_errors(),
                    _hydra_raises(TRACEBACKS),
                ):  # the processes that the task starts tell in a sentence too
                    return task(config)
            except BrokenPipeError:  # who reads the output, such as head, has enough
                close_output()
                sys.exit(PIPE_CLOSED)
            except USER_ERRORS as error:
                if stop := _interruption_behind(error):
                    raise stop from None
                if TRACEBACKS or HydraConfig.get().mode is RunMode.MULTIRUN:  # of a sweep, Hydra says which job failed
                    raise
                _let_the_first_process_tell()
                sys.exit(_tell(error, explained(error, ROOT / "conf", config_name, sys.argv[1:])))

        application = hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name=config_name)(job)

        @functools.wraps(task)
        def main(*config: DictConfig) -> Any:
            given = sys.argv[1:]
            sys.argv[1:] = mounted(config_name, list(map(renamed_override, given)))
            try:
                if not config:  # else the arguments are of another program, such as a notebook
                    refuse_unknown_flags(given)
                    sys.argv[1:] = as_written(sys.argv[1:])
                # Interruptible outside of jobs too: those of a sweep may run in other processes, and its table is still owed.
                with interruptible(), storage_errors(), _hydra_raises(True), shown_at_the_end():
                    return application(*config)
            except USER_ERRORS as error:
                if stop := _interruption_behind(error):
                    sys.exit(_tell_stop(stop, config_name))
                if TRACEBACKS:
                    raise
                sys.exit(_tell(error, explained(error, ROOT / "conf", config_name, given)))
            except AssertionError as error:
                if not _of_hydra(error):
                    raise
                sys.exit(_tell(error, "an override cannot be understood; give them as name=value, see --help"))
            except (Interrupted, KeyboardInterrupt) as stop:
                sys.exit(_tell_stop(stop, config_name))

        return main

    return decorate


def _interruption_behind(error: BaseException) -> Interrupted | KeyboardInterrupt | None:
    """The signal that an error hides: OmegaConf, stopped while it puts a configuration together, fails where it tidies up."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Interrupted | KeyboardInterrupt):
            return one
        seen.add(id(one))
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None and id(other) not in seen]
    return None


def _of_hydra(error: BaseException) -> bool:
    """Whether an error comes out of Hydra itself, whose parser asserts what some overrides are not."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parent.parent.name == "hydra"


def close_output() -> None:
    """Let what is left of the output go nowhere, so that Python does not stumble over it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _hydra_raises(wanted: bool) -> Iterator[None]:
    """Let Hydra raise its errors, or not; by default it prints several lines and exits."""
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = str(int(wanted))
    try:
        yield
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before


def _silence_libraries() -> None:
    """Keep a run's output to progress bars, tables and what a user should act on."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch", "lightning.fabric"):  # "GPU available: ...", tips, "`Trainer.fit` stopped"
        logging.getLogger(name).setLevel(logging.WARNING)


def _let_the_first_process_tell() -> None:
    """Wait in a further process of a training: where the first one fails for the same reason, it ends this one meanwhile."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(SECOND_SENTENCE)


def _tell_stop(stop: BaseException, command: str) -> int:
    """Print why and in which state a command has stopped, as one line; returns the exit status."""
    if not isinstance(stop, Interrupted):
        stop = Interrupted(signal.SIGINT)
    if not stop.state:
        stop.state = GOING_ON.get(command, "the same command begins anew, and nothing half-written is left")
    _let_the_first_process_tell()
    print(f"error: {stop}", file=sys.stderr)
    return stop.status


def _tell(error: BaseException, explanation: str | None) -> int:
    """Print the error as one line, or what explains it better; returns the exit status."""
    if explanation is not None:
        print(f"error: {ConfigError(explanation)}", file=sys.stderr)  # on one line, whatever was given
        return 2
    cause = _cause(error)
    hint = "" if isinstance(cause, SpotterError | InstantiationException) else " (--help lists what can be chosen)"
    print(f"error: {sentence(error)}{hint}", file=sys.stderr)
    return 1 if isinstance(cause, SpotterError) and not isinstance(cause, ConfigError) else 2


def _cause(error: BaseException) -> BaseException:
    """What Hydra wrapped while it built an object, or OmegaConf while it looked a value up; else the error itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SpotterError):
        cause = cause.__cause__ or cause.__context__
    return cause or error


def sentence(error: BaseException) -> str:
    """What an error says, on one line; with its kind where it is none of a user's."""
    cause = _cause(error)
    own = str(cause).rpartition(f"{type(cause).__name__}: ")[2]  # a loader's worker puts its traceback before the message
    plain = own.partition("Config search path:")[0].partition("To append to your config use")[0]  # which would hide a typo
    kind = "" if isinstance(cause, USER_ERRORS) else f"{type(cause).__name__}: "
    return (kind + " ".join(plain.split())).removesuffix(": ")
