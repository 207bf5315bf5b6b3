"""Depth in a bag that was seen by another camera than the colour images: registered to them, or refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import Depth
from ...camera import PinholeCamera
from ...errors import CalibrationError, DataError
from ...messages import camera_of_info, is_rectified
from ...registration import register_depth, same_grid
from ...transforms import TransformTree, frame_name, transforms_of
from ..tum import MAX_POSE_GAP_S
from .index import TRANSFORMS, BagIndex, Track

_CURE = "record the camera_info of the depth and /tf_static, or name depth that is registered to colour as depth topic"


@dataclass(frozen=True, eq=False)
class DepthRegistration:
    """The camera of the depth images, the frames (colour, depth) of both cameras, and the transforms between them."""

    camera: PinholeCamera
    frames: tuple[str, str]
    tree: TransformTree | None

    def __call__(self, depth: Depth, colour_camera: PinholeCamera, stamp: float) -> Depth:
        """`depth` on the grid of `colour_camera`, NaN where it was not seen. DataError without a pose at `stamp`."""
        T = np.eye(4) if self.tree is None else self.tree.pose(*self.frames, stamp)
        if same_grid(self.camera, colour_camera) and np.allclose(T, np.eye(4), atol=1e-6):
            return depth
        return register_depth(depth, self.camera, colour_camera, T)


def registration_of(index: BagIndex, colour: Track, depth: Track, max_difference: float) -> DepthRegistration | None:
    """How the depth comes onto the grid of the colour images; None where it is on it.

    It is where the frame_id of both is equal, and size and K of their camera_info, where both have one, too. Raises
    DataError where the frames differ and no transforms connect them, or CalibrationError without the depth's camera.
    """
    frames = _frame(index, colour), _frame(index, depth)
    own, other = _camera(index, depth), _camera(index, colour)
    if frames[0] == frames[1] or not all(frames):
        if own is None or other is None or same_grid(own, other):
            return None
        return DepthRegistration(own, frames, None)
    apart = f"{depth.channel.topic} is in the frame '{frames[1]}', {colour.channel.topic} in '{frames[0]}'"
    if own is None:
        raise CalibrationError(f"{apart}, and there is no camera_info with a calibration beside the depth: {_CURE}")
    tree = _tree(index, frames, max_difference)
    try:
        tree.pose(*frames, depth.stamps_ns[0] / 10**9)
    except DataError as error:
        raise DataError(f"{apart}, and the transform between them is not known ({error}): {_CURE}") from error
    return DepthRegistration(own, frames, tree)


def _tree(index: BagIndex, frames: tuple[str, str], max_difference: float) -> TransformTree:
    """The transforms between two frames; those that never change count for all time."""
    tree = TransformTree(MAX_POSE_GAP_S, max_difference)
    tracks = index.topics(TRANSFORMS)
    for track in tracks:
        for msg in index.readable(track):
            for transform in transforms_of(msg, False):
                tree.connect(transform.parent, transform.child)
    tree.follow(*frames)
    for track in tracks:
        for msg in index.readable(track):
            for transform in transforms_of(msg, track.channel.topic.endswith("tf_static")):
                try:
                    tree.add(transform)
                except DataError:  # counted with the poses of the camera, which read the same messages
                    continue
    tree.fix_what_never_moved()
    return tree


def _camera(index: BagIndex, images: Track) -> PinholeCamera | None:
    """The camera of the camera_info beside a topic of images; None where there is none with a calibration."""
    info = index.info_beside(images)
    msg = None if info is None else next(iter(index.readable(info)), None)
    if msg is None:
        return None
    try:
        return camera_of_info(msg, is_rectified(images.channel.topic))
    except CalibrationError:  # as good as none: drivers publish zeros
        return None


def _frame(index: BagIndex, images: Track) -> str:
    msg = next(iter(index.readable(images)), None)
    return "" if msg is None else frame_name(msg.header.frame_id)
