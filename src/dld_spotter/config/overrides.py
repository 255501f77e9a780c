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
PATTERNS = "*?["
"""Signs of a glob."""


def as_written(arguments: Sequence[str]) -> list[str]:
    """Put quotes around values that would be taken apart, or not be understood, although they are names.

    These are the names of what there is, such as ``input=a,b.jpg`` or ``input={1}.jpg``, and whatever Hydra's grammar cannot
    parse, such as ``input=photo (1).jpg``.

    Raises:
        ConfigError: an argument is no setting in any way.
    """
    return [argument if argument.startswith("-") else _quoted(argument) for argument in arguments]


def _quoted(argument: str) -> str:
    found = SETTING.fullmatch(argument)
    if found and not PLAIN.fullmatch(found["value"]) and (_exists(found["value"]) or not _parses(argument)):
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


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    except (AssertionError, ValueError, RecursionError, LookupError, TypeError, AttributeError):  # of the parser itself
        return False
    return True
