"""A picture of what fusion gains: the mesh of many frames beside that of one, from the same viewpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ..arrays import Rgb
from ..config import Config
from ..frames import Sample
from ..fusion.fusion import FUSED, Fusion
from ..mesh.mesh import Mesh
from ..pictures.orbit import level_axes, upright
from ..pictures.panels import Panel, compose, depth_panel
from ..pictures.views import View, view_mesh
from ..sequence import FrameOf, FusedScene, frame_mesh

_VIEW = View("from the right, raised", 14.0, 24.0)
_WIDTH = 1280


@dataclass(frozen=True, eq=False)
class DepthSource:
    """A source of depth called `name`: that of single frames, and the `mesh` (world) of all frames in `fusion`."""

    name: str
    frame_of: FrameOf
    mesh: Mesh
    fusion: Fusion


def fused_overview(
    data: str, scene: FusedScene, samples: Sequence[Sample], sources: Sequence[DepthSource], config: Config
) -> Rgb:
    """A picture (H, 1280, 3) uint8 with a row for each source: colour or depth, mesh of one frame, fused mesh.

    The frame is the one whose viewing direction is nearest to the mean; all meshes are drawn from the same viewpoint.
    """
    import cv2

    forward = level_axes(scene.poses)[2]
    place = int(np.argmax([pose[:3, 2] @ forward for pose in scene.poses]))
    sample, pose = samples[scene.places[place]], scene.poses[place]
    stage = upright(sources[0].mesh, scene.poses).vertices
    panels: list[Panel] = []
    for source in sources:
        frame = source.frame_of(sample)
        assert frame.depth is not None, "frame_of gives depth"
        first = (
            depth_panel(frame.depth, caption=_capital(source.name))
            if panels
            else Panel(frame.rgb, "Camera image", f"frame {scene.places[place] + 1} of {len(samples)}")
        )
        meshes = frame_mesh(frame, pose, config), source.mesh
        single, fused = (view_mesh(upright(mesh, scene.poses), _VIEW, scene=stage) for mesh in meshes)
        panels += [
            first,
            Panel(single, "Mesh of this frame", source.name),
            Panel(fused, f"Mesh of {source.fusion.counts[FUSED]} frames, fused", source.name),
        ]
    picture = compose(panels, f"Fused along known poses: {PurePath(data).name}")
    height = round(picture.shape[0] * _WIDTH / picture.shape[1])
    return cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
