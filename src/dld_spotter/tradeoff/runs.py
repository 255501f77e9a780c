"""What became of a run: the small file beside its results, by which sweeps go on and tables tell what failed."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

from dld_spotter.core.errors import DataError, SpotterError
from dld_spotter.core.files import locked, write_text
from dld_spotter.core.records import Record

STATUS = "status.json"
RESULT = "tradeoff.json"
"""Files of a run."""


@dataclass(frozen=True)
class RunStatus(Record):
    """How far a run has come.

    Args:
        status: a run that is ``running`` and has no process any more was killed.
        started: time, as ISO 8601 has it.
        overrides: what it was started with, key -> value.
        seconds: how long it took.
        score: the metric that a sweep optimises.
        error: why it failed, in a sentence.
    """

    remedy: ClassVar[str] = "remove the file, and the run is done anew"
    refusal: ClassVar[type[SpotterError]] = DataError
    closed: ClassVar[bool] = False

    status: Literal["running", "completed", "failed"]
    started: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    score: float | None = None
    error: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``status.json`` to the folder of the run."""
        write_text(folder / STATUS, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read what :meth:`write` wrote; None where there is nothing.

        Raises:
            DataError: the file is damaged.
        """
        path = folder / STATUS
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as JSON ({error}); {cls.remedy}") from error
        return cls.from_dict(content, str(path))


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold the folder of a run, for as long as this process lives at most; gives False where another process holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # there is none, or the system opens no folders
        yield True
        return
    try:
        with locked(descriptor) as mine:
            yield mine
    finally:
        os.close(descriptor)
