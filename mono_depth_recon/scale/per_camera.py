"""The scale of every camera: one instance of the current source for each."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ..camera import PinholeCamera
from .base import ScaleSource
from .settings import ScaleSettings
from .table import source_of


class CameraScales:
    """The fits so far, by camera; dropped with the camera and when `scale.source` changes."""

    def __init__(self) -> None:
        self._source: type[ScaleSource] | None = None
        self._cameras: WeakKeyDictionary[PinholeCamera, ScaleSource] = WeakKeyDictionary()

    def of(self, camera: PinholeCamera, settings: ScaleSettings) -> ScaleSource:
        """The source of `camera` with its state."""
        source = source_of(settings)
        if source is not self._source:  # old fits must not be blended in later
            self._source, self._cameras = source, WeakKeyDictionary()
        return self._cameras.setdefault(camera, source())
