"""What a plain value may be, with the words that say so; needs no torch."""

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """What a value may be.

    Args:
        words: the same for a message.
        allows: whether a value is so.
    """

    words: str
    allows: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
    """A whole number; True and False are none."""
    return Rule(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def number(low: float, high: float) -> Rule:
    """A number."""
    return Rule(
        f"a number from {low:g} to {high:g}",
        lambda value: type(value) in (int, float) and isfinite(value) and low <= value <= high,
    )


def one_of(*choices: Any) -> Rule:
    """One of some values."""
    return Rule(
        f"one of {', '.join(map(str, choices))}", lambda value: any(type(value) is type(c) and value == c for c in choices)
    )


def text(longest: int) -> Rule:
    """A text."""
    return Rule(f"a text of at most {longest} characters", lambda value: type(value) is str and len(value) <= longest)


def several(item: Rule, least: int, most: int) -> Rule:
    """A list."""
    return Rule(
        f"a list of {least} to {most}, each {item.words}",
        lambda value: type(value) in (list, tuple) and least <= len(value) <= most and all(map(item.allows, value)),
    )


def either(*rules: Rule) -> Rule:
    """What one of some rules allows."""
    return Rule(" or ".join(rule.words for rule in rules), lambda value: any(rule.allows(value) for rule in rules))
