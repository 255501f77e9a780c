"""Photos in object stores, such as ``s3://BUCKET/photo.jpg``. Needs pyarrow of the extra scale, and no torch."""

from pathlib import Path
from typing import Any

from dld_spotter.core.errors import DataError
from dld_spotter.core.extras import required

MARK = "://"
Place = Path | str
"""Where a photo lies: a path, or an address in an object store."""


def is_address(source: Place) -> bool:
    """Whether a photo, or a folder of them, lies in an object store."""
    return isinstance(source, str) and MARK in source


def place_of(name: str) -> Place:
    """What the name of a photo stands for."""
    return name if is_address(name) else Path(name)


def read_address(address: str) -> bytes:
    """Content of a file in an object store.

    Raises:
        ConfigError: the extra is missing.
        DataError: there is no such file or kind of store.
    """
    files, path = file_system(address)
    try:
        with files.open_input_stream(path) as stream:
            content: bytes = stream.read()
    except OSError as error:
        raise DataError(f"{address} cannot be read ({error}); correct the address or the credentials") from error
    return content


def list_address(address: str) -> list[str]:
    """Addresses of the files below one, however deep; options after ``?``, such as a region, go with each.

    Raises:
        ConfigError: the extra is missing.
        DataError: it cannot be listed.
    """
    plain, mark, options = address.partition("?")
    fs = required("pyarrow.fs", "scale", f"input={address}")
    files, path = file_system(address)
    try:
        found = files.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise DataError(f"input={address} cannot be listed ({error}); correct the address or the credentials") from error
    store = plain.partition(MARK)[0]  # such as s3
    return [f"{store}{MARK}{info.path}{mark}{options}" for info in found if info.is_file]


def suffix_of(address: str) -> str:
    """What the name of a file in an object store ends in, in small letters."""
    return Path(address.partition("?")[0]).suffix.lower()


def file_system(address: str) -> tuple[Any, str]:
    """The store of an address, and the path in it.

    Raises:
        ConfigError: the extra is missing.
        DataError: there is no such kind of store.
    """
    fs = required("pyarrow.fs", "scale", f"input={address}")
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise DataError(f"{address} is no address that can be opened ({error}); give such as s3://BUCKET/FOLDER") from error
    return found
