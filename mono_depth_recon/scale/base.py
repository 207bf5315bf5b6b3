"""The interface of scale sources: one object per camera that converts relative disparity to metres."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..errors import DataError
from ..frames import Scale
from .evidence import Evidence, Kind
from .settings import ScaleSettings

T = TypeVar("T")


@dataclass(frozen=True)
class RelativeView:
    """A model's input and output: `rgb` (H, W, 3) and `disparity` (H, W) on the rectified grid.

    The disparity is NaN where depth is never known (the robot's body, what the raw image does not cover). `camera` is
    that of the raw image, to which evidence may be registered; `camera.rectified` is that of the grid. `stamp` is in
    seconds, of any clock that goes forward. `metric`: the model's output is depth, `disparity` its inverse.
    """

    rgb: Rgb
    disparity: Depth
    camera: PinholeCamera
    stamp: float = 0.0
    metric: bool = False


class ScaleSource(ABC):
    """A value of the parameter `scale.source`. The class declares its needs; an instance holds the state of a camera.

    `name` is the value; `help` explains it in the parameter's help; `remedy` completes "set scale.source=<name>" if a
    model lacks metres. `needs` are the kinds of evidence it uses: the node subscribes to those alone. `varies`: it has
    anchors all over the image, so that `scale.varying` applies.
    """

    name: ClassVar[str]
    help: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    needs: ClassVar[tuple[Kind[Any], ...]] = ()
    gives_metres: ClassVar[bool] = True
    varies: ClassVar[bool] = False

    @abstractmethod
    def fit(self, view: RelativeView, evidence: Evidence, settings: ScaleSettings) -> Scale:
        """The scale of the next image of the camera. Raises DataError if there is none."""

    @classmethod
    def needed(cls, settings: ScaleSettings) -> tuple[Kind[Any], ...]:
        """Those of `needs` that it uses by these settings."""
        return cls.needs

    @staticmethod
    def figures(scale: Scale) -> dict[str, str]:
        """Keys and values for /diagnostics about the scale of the last frame."""
        return {"scale": f"{scale.scale:.6g}", "shift": f"{scale.shift:.6g}"}

    def required(self, evidence: Evidence, kind: Kind[T]) -> T:
        """The evidence of `kind`. Raises DataError if it was not given or cannot be obtained for this image."""
        if kind not in evidence:
            raise DataError(f"scale.source={self.name} needs {kind.text} beside the image, got none")
        return evidence.get(kind)
