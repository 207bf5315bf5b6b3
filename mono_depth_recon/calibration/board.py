"""Calibration boards: a chessboard, or a ChArUco board (OpenCV), and where its corners are in an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

DICTIONARY = "DICT_5X5_250"
_LEAST_CORNERS = 6  # a view of fewer says too little
_SIZE = re.compile(r"(\d{1,2})x(\d{1,2})")


@dataclass(frozen=True)
class Sighting:
    """A board in an image: its corners in the image (N, 2) pixels and on the board (N, 3) metres, z = 0."""

    pixels: NDArray[np.float32]
    places: NDArray[np.float32]


@dataclass(frozen=True)
class Board:
    """`columns` x `rows` inner corners of a chessboard, or with `marker_m` squares of a ChArUco board.

    `square_m` and `marker_m` are sides in metres, `dictionary` names the markers as OpenCV does. Raises ConfigError.
    """

    columns: int
    rows: int
    square_m: float
    marker_m: float = 0.0
    dictionary: str = DICTIONARY

    def __post_init__(self) -> None:
        if self.columns < 3 or self.rows < 3:
            raise ConfigError(f"a board must be at least 3x3, got {self.columns}x{self.rows}")
        if not 1e-4 <= self.square_m <= 10:
            raise ConfigError(f"the squares of a board must be 0.0001 to 10 m wide, got {self.square_m:g}: give metres")
        if self.marker_m and not 0 < self.marker_m < self.square_m:
            raise ConfigError(
                f"markers of a ChArUco board must be narrower than its squares ({self.square_m:g} m), "
                f"got {self.marker_m:g}"
            )

    @classmethod
    def parse(cls, size: str, square_m: float, marker_m: float = 0.0, dictionary: str = DICTIONARY) -> Board:
        """The board of a size such as 8x6. Raises ConfigError."""
        found = _SIZE.fullmatch(size.strip().lower())
        if not found:
            raise ConfigError(f"the size of a board must be COLUMNSxROWS, such as 8x6, got '{size}'")
        return cls(int(found[1]), int(found[2]), square_m, marker_m, dictionary)

    def find(self, grey: NDArray[np.uint8]) -> Sighting | None:
        """The board in an image (H, W) uint8, None where it is not seen; of a ChArUco board a part is enough.

        Raises ConfigError for an unknown dictionary, or an OpenCV without ChArUco boards.
        """
        return self._charuco(grey) if self.marker_m else self._chessboard(grey)

    def _chessboard(self, grey: NDArray[np.uint8]) -> Sighting | None:
        import cv2

        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
        found, corners = cv2.findChessboardCornersSB(grey, (self.columns, self.rows), flags=flags)
        if not found:
            return None
        places = np.zeros((self.rows * self.columns, 3), np.float32)
        places[:, :2] = np.mgrid[: self.columns, : self.rows].T.reshape(-1, 2) * self.square_m
        return Sighting(corners.reshape(-1, 2).astype(np.float32), places)

    def _charuco(self, grey: NDArray[np.uint8]) -> Sighting | None:
        board = self.charuco()
        import cv2

        corners, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
        if ids is None or len(ids) < _LEAST_CORNERS:
            return None
        places = np.asarray(board.getChessboardCorners(), np.float32)[ids.ravel()]
        return Sighting(corners.reshape(-1, 2).astype(np.float32), places)

    def charuco(self) -> Any:
        """OpenCV's ChArUco board. Raises ConfigError as `find`."""
        import cv2

        if not hasattr(cv2.aruco, "CharucoDetector"):
            raise ConfigError(f"ChArUco boards need OpenCV 4.7 or later, got {cv2.__version__}: take a chessboard")
        known = [name for name in dir(cv2.aruco) if name.startswith("DICT_")]
        if self.dictionary not in known:
            raise ConfigError(f"expected a dictionary of OpenCV ({', '.join(known)}), got '{self.dictionary}'")
        markers = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, markers)
