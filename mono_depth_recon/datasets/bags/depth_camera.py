"""Depth in a bag that was seen by another camera than the colour images: registered to them, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ...arrays import Depth
from ...camera import PinholeCamera
from ...errors import CalibrationError, DataError
from ...messages import camera_of_info, is_rectified
from ...registration import register_depth, same_grid
from ...transforms import TransformTree, frame_name
from ..tum import MAX_POSE_GAP_S
from .index import BagIndex, Track

_LOOKED_AT = 32  # messages of camera_info
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
    for transform in index.transforms():
        tree.connect(transform.parent, transform.child)
    tree.follow(*frames)
    tree.add_recorded(index.transforms())  # what is refused is counted with the camera's poses, of the same messages
    tree.fix_what_never_moved()
    return tree


def _camera(index: BagIndex, images: Track) -> PinholeCamera | None:
    """The camera of the camera_info beside a topic of images; None where there is none with a calibration."""
    info = index.info_beside(images)
    if info is None:
        return None
    try:
        return first_camera(index, info, is_rectified(images.channel.topic))[0]
    except (CalibrationError, DataError):  # as good as none: drivers publish zeros
        return None


def first_camera(index: BagIndex, info: Track, rectified: bool) -> tuple[PinholeCamera, PinholeCamera | None]:
    """The first calibration of a topic of camera_info, and another one that follows; None where it looks constant.

    A few messages are looked at, and all where these have none: drivers begin with zeros. Raises what the first has to
    say where none is a calibration.
    """
    few = np.unique(np.linspace(0, len(info) - 1, _LOOKED_AT).astype(int)).tolist()
    found = [*_cameras(index, info, rectified, few)]
    found = found or [*islice(_cameras(index, info, rectified, range(len(info))), 1)]
    if not found:
        return camera_of_info(index.message(info, 0), rectified), None  # raises
    return found[0], next((each for each in found if not same_grid(each, found[0])), None)


def _cameras(index: BagIndex, info: Track, rectified: bool, chosen: Iterable[int]) -> Iterator[PinholeCamera]:
    for i in chosen:
        try:
            yield camera_of_info(index.message(info, i), rectified)
        except (CalibrationError, DataError):
            continue


def _frame(index: BagIndex, images: Track) -> str:
    msg = index.picture(images)
    return "" if msg is None else frame_name(msg.header.frame_id)
