"""Records that travel as plain values, in checkpoints and JSON: one form of ``to_dict`` and ``from_dict`` for all of them."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from math import inf, isnan
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from dld_spotter.core.errors import CheckpointError, SpotterError, shown

INFINITE = "inf"
"""How infinity is written, since JSON knows none."""
LARGEST = 2**53
"""Whole numbers up to this are the same to every reader of JSON."""
LONGEST = 300
"""Characters of a fault that are told."""
_NUMBER = re.compile(r"[-+.\deE]+")


@dataclass(frozen=True)
class Record:
    """Base of frozen dataclasses whose fields are numbers, strings, tuples, mappings and other records, or None.

    Floats are finite or infinite, never NaN or negatively infinite; whole numbers are at most ``LARGEST``.

    Attributes:
        remedy: what to do where the plain values are damaged.
        refusal: the error that says so.
        closed: whether an entry that is no field is a fault; else it is left out, so that files may hold more.
    """

    remedy: ClassVar[str] = "make the file again"
    refusal: ClassVar[type[SpotterError]] = CheckpointError
    closed: ClassVar[bool] = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values by field: tuples as lists, keys as strings, infinity as ``"inf"``.

        Raises:
            ValueError: a number is NaN or negatively infinite.
            TypeError: a value has no plain form.
        """
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.init}

    @classmethod
    def from_dict(cls, values: Any, origin: str) -> Self:
        """Read what :meth:`to_dict` gave; entries that have a default may be missing.

        Raises:
            CheckpointError: (or ``refusal``) ``values`` is something else; the sentence names ``origin``, fault and remedy.
        """
        try:
            return _record(cls, values, "")
        except _Fault as fault:
            text = fault.text if len(fault.text) <= LONGEST else f"{fault.text[: LONGEST - 3]}..."
            place = fault.place and f" at {fault.place}"
            raise cls.refusal(f"{origin} holds a damaged or older {cls.__name__} ({text}){place}; {cls.remedy}") from fault


R = TypeVar("R", bound=Record)


class _Fault(Exception):
    """What is wrong with a value, and where it stands among the others."""

    def __init__(self, text: str, place: str) -> None:
        super().__init__(text)
        self.text, self.place = text, place


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and (isnan(value) or value == -inf):
        raise ValueError(f"a record cannot hold {value}")
    if isinstance(value, bool | int | float | str | None):
        return INFINITE if value == inf else value
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _record(kind: type[R], value: Any, place: str) -> R:
    if not isinstance(value, Mapping):
        raise _Fault(f"expected entries by name, found {shown(value)}", place)
    known = {field.name: field for field in fields(kind) if field.init}
    if kind.closed and (unknown := sorted(shown(name).strip("'\"") for name in value if name not in known)):
        raise _Fault(f"unknown entry {unknown[0]}", place)
    if missing := [name for name, field in known.items() if name not in value and _required(field)]:
        raise _Fault(f"no entry {missing[0]}", place)
    hints = get_type_hints(kind)
    entries = {name: _typed(hints[name], value[name], _within(place, name)) for name in known if name in value}
    try:
        return kind(**entries)
    except (SpotterError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise _Fault(str(error), place) from error


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _typed(hint: Any, value: Any, place: str) -> Any:
    """Bring a plain value to the type that a field declares."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and NoneType in arguments and len(arguments) == 2:
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else _typed(inner, value, place)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record(hint, value, place)
    if origin is tuple:
        return _tuple(arguments, value, place)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments, value, place)
    if origin is Literal:
        if type(value) is str and value in arguments:
            return value
        raise _Fault(f"expected one of {', '.join(map(str, arguments))}, found {shown(value)}", place)
    if hint is float:
        return _number(value, place)
    if hint in (int, bool, str):
        if type(value) is not hint or (hint is int and abs(value) > LARGEST):
            raise _Fault(f"expected {hint.__name__}, found {shown(value)}", place)
        return value
    raise NotImplementedError(f"a record cannot hold {hint}")


def _tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Fault(f"expected a list, found {shown(value)}", place)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise _Fault(f"expected {len(arguments)} values, found {len(value)}", place)
    return tuple(_typed(hint, item, f"{place}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value, strict=True)))


def _mapping(arguments: tuple[Any, ...], value: Any, place: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _Fault(f"expected entries by name, found {shown(value)}", place)
    result: dict[Any, Any] = {}
    for key, item in value.items():
        name = _typed(arguments[0], _key(arguments[0], key), place)
        if name in result:
            raise _Fault(f"two entries for {shown(name)}", place)
        result[name] = _typed(arguments[1], item, f"{place}[{shown(name)}]")
    return result


def _key(hint: Any, key: Any) -> Any:
    """A key as it was before it became a string; what is no such string is left to be refused."""
    if hint in (int, float) and type(key) is str and _NUMBER.fullmatch(key):
        try:
            return hint(key)
        except ValueError:
            return key
    return key


def _number(value: Any, place: str) -> float:
    if type(value) is str and value == INFINITE:
        return inf
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = -inf
        if number > -inf:  # which NaN is not either
            return number
    raise _Fault(f"expected a number, found {shown(value)}", place)
