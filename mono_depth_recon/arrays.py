"""Names for the arrays that cross the boundaries of the package (shapes and units in `frames`)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rgb: TypeAlias = NDArray[np.uint8]  # (H, W, 3)
Depth: TypeAlias = NDArray[np.float32]  # (H, W)
Points: TypeAlias = NDArray[np.float32]  # (H, W, 4): x, y, z, packed rgb; (H, W, 5) with sigma
Factors: TypeAlias = NDArray[np.float32]  # (rows, columns) of a coarse grid over an image
Mask: TypeAlias = NDArray[np.bool_]  # (H, W)
Matrix: TypeAlias = NDArray[np.float64]
