"""The guard of every camera."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ..camera import PinholeCamera
from .guard import Guard


class CameraGuards:
    """One guard for each camera; dropped with the camera."""

    def __init__(self) -> None:
        self._cameras: WeakKeyDictionary[PinholeCamera, Guard] = WeakKeyDictionary()

    def of(self, camera: PinholeCamera) -> Guard:
        """The guard of `camera` with its state."""
        return self._cameras.setdefault(camera, Guard())
