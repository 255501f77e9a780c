"""Text spotting within a computing budget: two-pass reading, Dynamic Low-resolution Distillation (arXiv 2207.06694).

``dld_spotter.load("bundled").read("photo.jpg")`` gives a ``Reading`` with its ``Word`` objects.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_spotter.core.words import Word
    from dld_spotter.data.pages import pages
    from dld_spotter.inference.adaptive_engine import AdaptiveEngine
    from dld_spotter.inference.loading import load
    from dld_spotter.inference.predictor import Predictor
    from dld_spotter.inference.reading import Reading

__all__ = ["AdaptiveEngine", "Predictor", "Reading", "Word", "__version__", "load", "pages"]

try:
    __version__ = version("dld_spotter")
except PackageNotFoundError:  # a folder on the path, installed by nobody
    __version__ = "unknown"

_MODULES = {
    "AdaptiveEngine": "inference.adaptive_engine",
    "Predictor": "inference.predictor",
    "Reading": "inference.reading",
    "Word": "core.words",
    "load": "inference.loading",
    "pages": "data.pages",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for; ``import dld_spotter`` alone loads no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
