"""Poses: rigid motions as (4, 4) matrices, and poses over time.

A pose of a frame in another one maps points of the first to the second; positions are in metres, quaternions x y z w.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Matrix
from .errors import DataError

_ROW = 8  # stamp, position, quaternion
_UNIT = 1e-2  # allowed deviation of a quaternion's length from 1
_RIGID = 1e-3  # allowed deviation of a rotation matrix from an orthonormal one


def pose_matrix(position: ArrayLike, quaternion: ArrayLike) -> Matrix:
    """(4, 4) float64 from a position (3,) in metres and a quaternion (4,) x y z w, which is normalised."""
    from scipy.spatial.transform import Rotation

    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    T[:3, 3] = position
    return T


def checked_numbers(numbers: Sequence[float]) -> tuple[float, ...]:
    """A pose x y z, qx qy qz qw with the quaternion at exactly unit length.

    Raises DataError where it is not finite or the quaternion is not nearly of that length.
    """
    length = math.hypot(*numbers[3:])
    if not (all(map(math.isfinite, numbers)) and abs(length - 1) < _UNIT):
        shown = " ".join(f"{number:.3g}" for number in numbers)
        raise DataError(f"must be finite numbers and a unit quaternion, got [{shown}]")
    return (*numbers[:3], *(number / length for number in numbers[3:]))


def interpolated(a: NDArray[np.float64], b: NDArray[np.float64], share: float) -> Matrix:
    """The pose (4, 4) at `share` (0 to 1) of the way from `a` to `b`, each (7,): position, quaternion x y z w.

    Linear in position, along the shortest rotation (slerp).
    """
    from scipy.spatial.transform import Rotation, Slerp

    rotation = Slerp([0.0, 1.0], Rotation.from_quat([a[3:], b[3:]]))(share)
    return pose_matrix((1 - share) * a[:3] + share * b[:3], rotation.as_quat())


def checked_pose(T: ArrayLike) -> Matrix:
    """`T` as (4, 4) float64. Raises DataError where it is not a finite rigid motion."""
    M = np.asarray(T, np.float64)
    if M.shape != (4, 4):
        raise DataError(f"a pose must be a 4x4 matrix, got shape {M.shape}")
    if not np.isfinite(M).all():
        raise DataError("a pose must be finite, got NaN or Inf: check its publisher")
    R = M[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=_RIGID) or np.linalg.det(R) < 0 or np.any(M[3] != (0, 0, 0, 1)):
        raise DataError("a pose must be a rotation and a translation, got another matrix: check its publisher")
    return M


def motion_between(a: Matrix, b: Matrix) -> tuple[float, float]:
    """Metres and degrees from pose `a` to pose `b`, (4, 4) each."""
    # In numpy: fusion calls this several times a frame, in a process that needs nothing else from scipy.
    cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
    return float(np.linalg.norm(b[:3, 3] - a[:3, 3])), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


class Trajectory:
    """Poses over time; those more than `keep_s` seconds older than the newest are dropped."""

    def __init__(self, keep_s: float = np.inf) -> None:
        self._keep_s = keep_s
        self._rows = array("d")

    def __len__(self) -> int:
        return len(self._rows) // _ROW

    @property
    def newest(self) -> float | None:
        """Stamp of the last pose in seconds, None without any."""
        return self._rows[-_ROW] if self._rows else None

    @property
    def span(self) -> tuple[float, float]:
        """First and last stamp in seconds; there must be a pose."""
        return self._rows[0], self._rows[-_ROW]

    @property
    def moves(self) -> bool:
        """Whether any two poses differ."""
        table = self._table()
        return bool(len(table)) and bool(np.ptp(table[:, 1:], axis=0).any())

    def add(self, stamp: float, numbers: Sequence[float]) -> None:
        """Appends a pose at `stamp` seconds: x y z, qx qy qz qw. One that is not newer than the last is ignored."""
        if self._rows and stamp <= self._rows[-_ROW]:
            return
        self._rows.extend((stamp, *numbers))
        old = 0
        while self._rows[old * _ROW] < stamp - self._keep_s:
            old += 1
        del self._rows[: old * _ROW]

    def clear(self) -> None:
        """Removes all poses."""
        self._rows = array("d")

    def pose(self, stamp: float, max_gap_s: float, max_difference: float = 0.0) -> Matrix | None:
        """The pose (4, 4) at `stamp` seconds, None where it is not known.

        Between two poses at most `max_gap_s` apart it is interpolated; otherwise the nearest is used, if it has that
        stamp or is nearer than `max_difference` seconds.
        """
        table = self._table()
        if not len(table):
            return None
        stamps = table[:, 0]
        after = int(np.searchsorted(stamps, stamp))
        if after < len(stamps) and stamps[after] == stamp:
            return pose_matrix(table[after, 1:4], table[after, 4:])
        if 0 < after < len(stamps) and stamps[after] - stamps[after - 1] <= max_gap_s:
            share = (stamp - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
            return interpolated(table[after - 1, 1:], table[after, 1:], share)
        nearest = min({max(after - 1, 0), min(after, len(stamps) - 1)}, key=lambda i: abs(stamps[i] - stamp))
        if abs(stamps[nearest] - stamp) >= max_difference:
            return None
        return pose_matrix(table[nearest, 1:4], table[nearest, 4:])

    def _table(self) -> NDArray[np.float64]:
        """(N, 8) view: no pose can be added while it exists."""
        return np.frombuffer(self._rows, np.float64).reshape(-1, _ROW)
