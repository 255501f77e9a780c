"""Records that travel as plain values, in checkpoints and JSON: one form of ``to_dict`` and ``from_dict`` for all of them."""

from collections.abc import Mapping
from dataclasses import fields
from math import inf
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from dld_spotter.core.errors import CheckpointError, SpotterError

INFINITE = "inf"
"""How infinity is written, since JSON knows none."""


class Record:
    """A frozen dataclass of numbers, strings, tuples, mappings and other records.

    Attributes:
        remedy: what to do where the plain values are damaged.
    """

    remedy: ClassVar[str] = "make the file again"

    def to_dict(self) -> dict[str, Any]:
        """Plain values by field: tuples as lists, keys as strings, infinity as ``"inf"``."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.init}

    @classmethod
    def from_dict(cls, values: Any, origin: str) -> Self:
        """Read what :meth:`to_dict` gave.

        Raises:
            CheckpointError: ``values`` is something else; the sentence names ``origin`` and the remedy.
        """
        try:
            return _typed(cls, values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SpotterError) as error:
            raise CheckpointError(f"{origin} holds a damaged or older {cls.__name__} ({error}); {cls.remedy}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return INFINITE if value == inf else value


def _typed(hint: Any, value: Any) -> Any:
    """Bring a plain value to the type that a field declares; raises where it is none."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not NoneType)
        return _typed(hint, value)
    if isinstance(hint, type) and issubclass(hint, Record):
        known = get_type_hints(hint)
        names = {field.name for field in fields(hint) if field.init}
        if unknown := sorted(set(dict(value)) - names):
            raise ValueError(f"unknown entry {unknown[0]}")
        return hint(**{name: _typed(known[name], item) for name, item in value.items()})
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, found {type(value).__name__}")
        return tuple(_typed(arguments[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {_typed(arguments[0], key): _typed(arguments[1], item) for key, item in value.items()}
    if hint is float:
        return _number(value)
    if hint in (int, bool, str) and type(value) is not hint:
        raise TypeError(f"expected {hint.__name__}, found {value!r:.40}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"expected a number, found {value!r:.40}")
    return float(value)
