"""Exceptions whose message is one sentence for the user: what is wrong, where, and the remedy."""

from typing import Any

LONGEST = 2000
"""Characters of a message; what stands in a file may be of any length."""


class SpotterError(Exception):
    """Base of every error that this package raises on purpose; entry points print it without a traceback."""

    def __str__(self) -> str:
        """The sentence on one line, whatever was found in a file: no control characters, which a terminal would obey."""
        text = super().__str__()
        if text.startswith("Caught "):  # a loader's worker puts its traceback before the message
            text = text.rpartition(f"{type(self).__name__}: ")[2]
        if len(text) > LONGEST:
            text = f"{text[: LONGEST - 500]} ... {text[-495:]}"
        return "".join(map(_plain, text)) if not text.isprintable() else text


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


def _plain(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else f"\\u{ord(character):04x}"


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
