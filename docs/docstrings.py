"""Docstrings as Markdown: examples become code, references of Sphinx the name that they end in (an extension of griffe)."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|meth|func|attr|mod|data):`~?([^`]*)`")
EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


def markdown(docstring: str) -> str:
    """A docstring in the form that the site shows.

    >>> markdown("See :class:`~a.b.C`.")
    'See `C`.'
    """
    text = EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", docstring)
    return ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", text)


class Docstrings(griffe.Extension):
    """Rewrites each docstring as it is found."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See ``griffe.Extension``."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
