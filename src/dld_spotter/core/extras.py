"""Packages that come with an extra of this one."""

from importlib import import_module
from types import ModuleType

from dld_spotter.core.errors import ConfigError


def required(package: str, extra: str, why: str) -> ModuleType:
    """Import a package of an extra.

    Args:
        package: its name.
        extra: that brings it.
        why: what needs it, such as a setting.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{why} needs {package}; install the extra: pip install 'dld-spotter[{extra}]'") from error
