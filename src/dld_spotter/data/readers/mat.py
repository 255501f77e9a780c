"""MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from dld_spotter.core.errors import DataError


def read_mat(path: Path, *names: str) -> np.ndarray:
    """Read the first of some variables that a MATLAB file (version 4 to 7.2) holds, and none of the others.

    Raises:
        DataError: the file is missing or damaged, or holds none of them.
    """
    try:
        found = loadmat(path, variable_names=list(names))
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path} cannot be read as a MATLAB file ({error}); restore it") from error
    for name in names:
        if name in found:
            return found[name]
    raise DataError(f"{path} holds no {' or '.join(names)}; restore the published file")


def text_of(cell: Any) -> str:
    """Text of a cell; empty where it is empty."""
    values = np.ravel(cell)
    return str(values[0]) if values.size else ""
