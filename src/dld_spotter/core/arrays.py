"""Names of array types."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""An array of double precision."""
Indices = NDArray[np.int64]
"""An array of whole numbers that count or point."""
