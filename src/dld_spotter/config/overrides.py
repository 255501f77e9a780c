"""Overrides as they are written: names of files may hold any sign, those of Hydra's grammar among them."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from dld_spotter.core.errors import ConfigError, shown

SETTING = re.compile(r"(?P<key>\+{0,2}[\w./@-]+)=(?P<value>.*)", re.DOTALL)
PLAIN = re.compile(r"(?! )[A-Za-z0-9_./ -]*(?<! )")
"""A value that means itself in Hydra's grammar, or, as null, true and 1e5, what a configuration would have there."""
FILE = re.compile(r"input|out|export|picture|data\.root|paths\.output_dir")
"""Keys whose value is the name of a file, although it may not be there yet."""
LONGEST_KEY = 200
"""Characters; Hydra looks for a file of the name of a key."""
PATTERNS = "*?["
"""Signs of a glob."""


MOUNTED = {("train", "spotter"): ("spotter@model.teacher", "spotter@model.student")}
"""Command and group -> every place where it has that group, which one override may choose for all of them."""


def mounted(command: str, arguments: Sequence[str]) -> list[str]:
    """Choose an option of a group in each place where a command has the group, where the override names no place.

    A sweep over several options names the places itself: each of them may then differ.

    >>> mounted("train", ["spotter=small", "seed=1"])
    ['spotter@model.teacher=small', 'spotter@model.student=small', 'seed=1']
    """
    found = []
    for argument in arguments:
        group, sign, option = argument.partition("=")
        places = MOUNTED.get((command, group), ()) if sign and "," not in option else ()
        found += [f"{place}={option}" for place in places] or [argument]
    return found


def as_written(arguments: Sequence[str]) -> list[str]:
    """Put quotes around values that would be taken apart, or not be understood, although they are names.

    These are the names of what there is, such as ``input=a,b.jpg`` or ``input={1}.jpg``, whatever Hydra's grammar cannot
    parse, such as ``input=photo (1).jpg``, and of files that are written, such as ``out=a,b.jsonl``, what it would take for the
    choices of a sweep, unless ``-m`` asks for one.

    Raises:
        ConfigError: an argument is no setting in any way.
    """
    sweeps = any(argument in ("-m", "--multirun") or argument.startswith("hydra.mode=") for argument in arguments)
    return [argument if argument.startswith("-") else _quoted(argument, sweeps) for argument in arguments]


def _quoted(argument: str, sweeps: bool) -> str:
    if len(argument.partition("=")[0]) > LONGEST_KEY:
        raise ConfigError(f"{shown(argument)} is no setting; give KEY=VALUE, and --help lists the keys")
    found = SETTING.fullmatch(argument)
    if found and not PLAIN.fullmatch(found["value"]):
        chooses = not sweeps and FILE.fullmatch(found["key"]) and _chooses(argument)
        if chooses or _exists(found["value"]) or not _parses(argument):
            return f"{found['key']}={quoted(found['value'])}"
    if not found and ("=" in argument[:2] or not _parses(argument)):
        raise ConfigError(f"{shown(argument)} is no setting; give KEY=VALUE, and --help lists the keys")
    return argument


def quoted(value: str) -> str:
    r"""Write a text as Hydra's grammar takes it for itself.

    >>> print(quoted("it's [1].jpg"), quoted("${a}"))
    'it\'s [1].jpg' '\${a}'
    """
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf takes one half of these away, Hydra's grammar that of the next
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return f"'{escaped}{_trailing_backslashes(escaped)}'"


def _trailing_backslashes(text: str) -> str:
    return text[len(text.rstrip("\\")) :]


def _exists(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):  # too long for a name
        return False


def _chooses(argument: str) -> bool:
    return _parses(argument) and OverridesParser.create().parse_override(argument).is_choice_sweep()


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    except (AssertionError, ValueError, RecursionError, LookupError, TypeError, AttributeError):  # of the parser itself
        return False
    return True
