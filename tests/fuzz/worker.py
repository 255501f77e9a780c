"""Tries inputs in a process of its own, which the system ends where it takes too long: ``python -m tests.fuzz.worker FOLDER``.

Reads ``{"target", "seed", "first", "count", "after"}`` a line from standard input. Writes ``+`` for each input before it is
tried, and ``{"fault", ...}`` for one that ended in anything but a sentence; ``{"done": ...}`` after each line.
"""

import json
import os
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

CHUNK = 300
"""Inputs that are made together."""
MEMORY, SECONDS = 2 * 2**30, 5
"""Bytes of a process, and seconds of the processor for an input."""


def limit_memory() -> None:
    """Let this process take ``MEMORY`` in all: beyond what it has mapped, as much as is left of that."""
    pages = [int(word) * resource.getpagesize() for word in Path("/proc/self/statm").read_text().split()]
    most = pages[0] + MEMORY - pages[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_seconds() -> None:
    """Let the system end this process where the next input takes more than ``SECONDS``."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + SECONDS + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def target_of(name: str) -> "Target":
    """The target of that name, or one that is broken on purpose."""
    from tests.fuzz.targets import BROKEN, TARGETS

    return {**TARGETS, **BROKEN}[name]


def inputs(name: str, seed: int, first: int) -> Iterator[bytes]:
    """The inputs ``first`` to ``first + CHUNK`` of a target: every third from hypothesis, where it makes any of that kind."""
    target, whole = target_of(name), _whole(name)
    made = list(_made(target.made, seed + first, -(-CHUNK // 3))) if target.made else []
    for number in range(first, first + CHUNK):
        if made and number % 3 == 0:
            yield made.pop()
        else:
            random = Random(f"{seed} {name} {number}")
            yield target.damage(random.choice(whole), random, whole)


@cache
def _whole(name: str) -> list[bytes]:
    return list(target_of(name).whole())


def _made(kind: str, seed: int, count: int) -> list[bytes]:
    """So many inputs that hypothesis makes from a seed."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.fuzz.strategies import MADE

    found: list[bytes] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(MADE[kind])
    def take(content: bytes) -> None:
        found.append(content)

    take()
    return found


def attempt(name: str, folder: Path, content: bytes) -> dict[str, Any] | None:
    """Try an input; what was wrong, or None: it was read, or told of in a sentence that names the file."""
    from dld_spotter.core.errors import SpotterError

    target = target_of(name)
    path = folder / target.file
    path.write_bytes(content)
    try:
        target.read(folder)
    except SpotterError as error:
        sentence = str(error)
        if sentence and sentence.isprintable() and len(sentence) <= 2500 and (path.name in sentence or name in UNNAMED):
            return None
        return {"fault": "no sentence", "place": f"{_place(error)}", "told": sentence[:300]}
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return {"fault": type(error).__name__, "place": _place(error), "told": str(error)[:300]}
    return None


UNNAMED = {"overrides", "provenance", "score_text"}
"""Targets whose file is no file of the user."""


def _place(error: BaseException) -> str:
    """The innermost line of ours that an error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "dld_spotter" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"


def main(folder: Path) -> None:
    """Try what standard input asks for."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed meanwhile is no answer
    warnings.simplefilter("ignore")
    prepared: set[str] = set()
    limited = False
    for line in sys.stdin:
        job = json.loads(line)
        name = job["target"]
        place = folder / name
        if name not in prepared:
            shutil.rmtree(place, ignore_errors=True)
            (place / target_of(name).file).parent.mkdir(parents=True)
            target_of(name).prepare(place)
            prepared.add(name)
        found = islice(inputs(name, job["seed"], job["first"]), job["count"])
        if not limited:
            limit_memory()
            limited = True
        for number, content in enumerate(found, job["first"]):
            limit_seconds()
            if number < job["after"]:  # the process that tried it has ended
                continue
            print("+", file=answers, flush=True)
            fault = attempt(name, place, content)
            if fault:
                print(json.dumps(fault | {"number": number}), file=answers, flush=True)
        print(
            json.dumps({"done": job["count"], "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}),
            file=answers,
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
