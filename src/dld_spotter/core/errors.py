"""Exceptions whose message is one sentence for the user: what is wrong, where, and the remedy."""

from typing import Any


class SpotterError(Exception):
    """Base of every error that this package raises on purpose; entry points print it without a traceback."""


class ConfigError(SpotterError):
    """A configuration key has a value that cannot be used, or two keys contradict each other."""


class DataError(SpotterError):
    """A file of a data set is missing, damaged or malformed."""


class CheckpointError(SpotterError):
    """A checkpoint is missing, damaged, or does not fit the model it is loaded into."""


class StorageError(SpotterError):
    """A file cannot be written or read for want of space or permission, or because its folder is none."""


class TrainingError(SpotterError):
    """A training cannot go on."""


def shown(value: Any) -> str:
    """A value in a message: on one line, and short; of what holds values the type alone.

    >>> print(shown("word"), shown(0.5), shown([1, 2]))
    'word' 0.5 list
    """
    try:
        words = ascii(value) if isinstance(value, str | bytes | int | float | bool | None) else type(value).__name__
    except ValueError:  # a whole number of thousands of digits
        words = type(value).__name__
    return words if len(words) <= 60 else f"{words[:57]}..."
