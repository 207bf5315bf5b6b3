"""The scale of every camera: one instance of the current source for each."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ..camera import PinholeCamera
from .base import ScaleSource
from .settings import ScaleSettings
from .table import source_of


class CameraScales:
    """What was fitted so far, by camera; forgotten with the camera, and with a change of `scale.source`."""

    def __init__(self) -> None:
        self._source: type[ScaleSource] | None = None
        self._cameras: WeakKeyDictionary[PinholeCamera, ScaleSource] = WeakKeyDictionary()

    def of(self, camera: PinholeCamera, settings: ScaleSettings) -> ScaleSource:
        """The source of `camera` with its state."""
        source = source_of(settings)
        if source is not self._source:  # what was fitted some time ago must not be blended in later
            self._source, self._cameras = source, WeakKeyDictionary()
        return self._cameras.setdefault(camera, source())
