"""Every kind of message that the node and bags take, with odd values in any field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from mono_depth_recon.errors import MonoDepthError
from mono_depth_recon.messages import COLOUR_ENCODINGS, camera_of_info, depth_of, is_depth, rgb_of
from mono_depth_recon.transforms import Transform, TransformTree, transform_of_odometry, transforms_of

from .files import check_line
from .mutations import choice, mutated
from .target import Target

_UINT = (0, 1, 2, 3, 5, 24, 48, 63, 64, 65, 127, 192, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_FLOAT = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 50.0, 1e3, 1e-3, 1e9, -1e9, 1e-30, 1e-320, 1e30, 1e38, 1e300),
    *(math.nan, math.inf, -math.inf),
)
_TEXT = ("", "x", "rgb8", "32FC1", "bgr8; jpeg compressed bgr8", "x" * 100_000, "a\nb", "\udce9", "<b>", "plumb_bob")
_FORMATS = (
    *("jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed", "16UC1; compressedDepth png"),
    *("32FC1; compressedDepth png", "16UC1; compressedDepth rvl", "mono8; png compressed", "; compressedDepth rvl"),
)
_USUAL = ("rgb8", "mono8", "32FC1", "16UC1") * 5
_MODELS = ("plumb_bob", "rational_polynomial", "equidistant", "", "thin_prism", "PLUMB_BOB", "x" * 100_000, "a\nb")
_ENCODINGS = (*COLOUR_ENCODINGS, "32FC1", "16UC1", "mono16", "nv12", "", "rgb8\n", "x" * 100_000)


def _uint(rng: np.random.Generator, usual: int) -> int:
    return usual if rng.random() < 0.8 else int(choice(rng, _UINT))


def _float(rng: np.random.Generator, usual: float, odd: float = 0.2) -> float:
    if rng.random() >= odd:
        return usual
    return float(choice(rng, _FLOAT)) if rng.random() < 0.5 else float(usual + rng.normal() * 10 ** rng.uniform(-3, 4))


def _bytes(rng: np.random.Generator, size: int) -> np.ndarray[Any, Any]:
    size = size if rng.random() < 0.7 else int(choice(rng, (0, 1, size // 2, max(size - 1, 0), size + 1, 2 * size)))
    return rng.integers(0, 256, min(size, 1 << 20)).astype(np.uint8)


def read_image(rng: np.random.Generator | None) -> None:
    """Image: colour and depth."""
    if rng is None:
        _both(SimpleNamespace(width=8, height=6, encoding="mono16", step=16, is_bigendian=0, data=bytes(96)))
        return
    width, height, encoding = _uint(rng, 64), _uint(rng, 48), str(choice(rng, (*_USUAL, *_ENCODINGS)))
    step = _uint(rng, width * int(rng.integers(2, 7)))
    data = _bytes(rng, min(step * height, 1 << 16))
    bigendian = int(rng.integers(0, 3))
    _both(SimpleNamespace(width=width, height=height, encoding=encoding, step=step, is_bigendian=bigendian, data=data))


def read_compressed(rng: np.random.Generator | None) -> None:
    """CompressedImage: colour and depth, with damaged PNG, JPEG and RVL."""
    from encoded import depth_with_holes, rvl_of

    sound, rng = rng is None, rng or np.random.default_rng(0)
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    data = choice(
        rng,
        (
            cv2.imencode(".png", image)[1].tobytes(),
            cv2.imencode(".jpg", image)[1].tobytes(),
            cv2.imencode(".png", image[..., 0].astype(np.uint16) * 200)[1].tobytes(),
            bytes(12) + cv2.imencode(".png", image[..., 0].astype(np.uint16) * 200)[1].tobytes(),
            bytes(12) + rvl_of(depth_with_holes(int(rng.integers(1000)), 0.3)),
        ),
    )
    if sound:
        data = cv2.imencode(".png", image[..., 0].astype(np.uint16) * 200)[1].tobytes()
        _both(SimpleNamespace(format="16UC1; png compressed 16UC1", data=np.frombuffer(data, np.uint8)))
        return
    if rng.random() < 0.9:
        data = mutated(data, rng)
    _both(SimpleNamespace(format=str(choice(rng, (*_FORMATS, *_TEXT))), data=np.frombuffer(data, np.uint8)))


def _both(msg: Any) -> None:
    """Colour and depth of an image; errors of each are checked, the last one is raised."""
    is_depth(msg, "/camera/depth/image")
    last = None
    for read in (rgb_of, depth_of):
        try:
            array = read(msg, max_megapixels=5.0) if not hasattr(msg, "encoding") else read(msg)
        except MonoDepthError as error:
            check_line(error)
            last = error
        else:
            if read is depth_of and (array <= 0).any():
                raise ValueError("depth that is not positive")
    if last is not None:
        raise last


def read_camera_info(rng: np.random.Generator | None) -> None:
    """CameraInfo: what is accepted must have finite rays and maps."""
    odd = 0.12 if rng is not None else 0.0
    rng = rng or np.random.default_rng(0)
    width, height = choice(rng, ((64, 48), (2, 24), (640, 480), (1, 1), (3, 2))) if odd else (64, 48)
    fx = _float(rng, max(width, height) * 1.0, odd)
    fy = fx if rng.random() < 0.7 else _float(rng, fx, odd)
    cx, cy = _float(rng, (width - 1) / 2, odd), _float(rng, (height - 1) / 2, odd)
    model = "plumb_bob" if rng.random() < 0.4 else str(choice(rng, _MODELS))
    D = [_float(rng, v, 3 * odd) for v in choice(rng, ((0.0,) * 5, (0.1, -0.2, 0.0, 0.0), (0.1,) * 8, (0.0,) * 14, ()))]
    K = [_float(rng, v, odd / 4) for v in (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)]
    R = [_float(rng, v, odd / 4) for v in choice(rng, (np.eye(3).ravel(), np.zeros(9), _turn(rng)))]
    P = choice(rng, ([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], [0.0] * 12))
    roi = SimpleNamespace(**{name: _small(rng, odd) for name in ("x_offset", "y_offset", "width", "height")})
    msg = SimpleNamespace(
        width=width if rng.random() > odd else _uint(rng, width),
        height=height if rng.random() > odd else _uint(rng, height),
        distortion_model=model,
        d=np.array(D),
        k=np.array(K),
        r=np.array(R),
        p=np.array([_float(rng, v, odd / 4) for v in P]),
        binning_x=_small(rng, odd),
        binning_y=_small(rng, odd),
        roi=roi,
    )
    camera = camera_of_info(msg, rectified=bool(rng.integers(2)))
    if not all(np.isfinite(rays).all() for rays in camera.rectified.rays):
        raise ValueError(f"rays that are not finite: {vars(msg)}")
    if not camera.is_rectified and camera.width * camera.height <= 1 << 20:
        maps = camera.rectification_maps
        if not all(np.isfinite(each).all() for each in maps):
            raise ValueError(f"maps that are not finite: {vars(msg)}")
        camera.rectify(np.zeros((camera.height, camera.width, 3), np.uint8))


def _small(rng: np.random.Generator, odd: float) -> int:
    return 0 if rng.random() > odd else _uint(rng, int(rng.integers(0, 5)))


def _turn(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    rotation: np.ndarray[Any, Any] = cv2.Rodrigues(rng.normal(size=3) * 10 ** rng.uniform(-3, 0.5))[0]
    return rotation.ravel()


def read_cloud(rng: np.random.Generator | None) -> None:
    """PointCloud2."""
    from sensor_msgs.msg import PointCloud2, PointField

    from mono_depth_recon.ros.conversions import points_from_msg

    odd = 0.0 if rng is None else 1.0
    rng = rng or np.random.default_rng(0)
    names = ["x", "y", "z", "rgb"]
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(names)]
    width, height, step = 8, 6, 16
    if odd:
        width, height = _uint(rng, width), _uint(rng, height)
        step = 16 if rng.random() < 0.8 else _uint(rng, step)
        if rng.random() < 0.3:
            field = choice(rng, fields)
            field.name, field.offset = str(choice(rng, (*names, "", "a\nb", "x" * 100_000))), _uint(rng, field.offset)
            field.datatype, field.count = int(rng.integers(0, 12)), _uint(rng, 1)
    data = _bytes(rng, width * height * 16) if odd else np.zeros(width * height * 16, np.uint8)
    msg = PointCloud2(width=width, height=height, fields=fields, point_step=step)
    msg.row_step = min(step * width, 2**32 - 1) if rng.random() < 0.8 else _uint(rng, step)
    msg.data.frombytes(data.tobytes())
    points_from_msg(msg)


def read_transforms(rng: np.random.Generator | None) -> None:
    """TFMessage into a tree of transforms."""

    def transforms(header: Any, child: str, place: Any, turn: Any, fixed: bool) -> list[Transform]:
        transform = SimpleNamespace(translation=place, rotation=turn)
        stamped = SimpleNamespace(header=header, child_frame_id=child, transform=transform)
        return list(transforms_of(SimpleNamespace(transforms=[stamped]), fixed))

    _into_a_tree(rng, transforms)


def read_poses(rng: np.random.Generator | None) -> None:
    """Odometry, PoseStamped, PoseWithCovarianceStamped and TransformStamped into a tree of transforms."""
    kinds = np.random.default_rng(0) if rng is None else rng

    def transforms(header: Any, child: str, place: Any, turn: Any, _: bool) -> list[Transform]:
        pose = SimpleNamespace(position=place, orientation=turn)
        of_transform = SimpleNamespace(translation=place, rotation=turn)
        msg = choice(
            kinds,
            (
                SimpleNamespace(header=header, child_frame_id=child, pose=SimpleNamespace(pose=pose)),
                SimpleNamespace(header=header, pose=pose),
                SimpleNamespace(header=header, pose=SimpleNamespace(pose=pose)),
                SimpleNamespace(header=header, child_frame_id=child, transform=of_transform),
            ),
        )
        return [transform_of_odometry(msg, child)]

    _into_a_tree(rng, transforms)


def _into_a_tree(
    rng: np.random.Generator | None, transforms: Callable[[Any, str, Any, Any, bool], Iterable[Transform]]
) -> None:
    """Six poses, then one between them, which must be a rotation and a finite place."""
    odd = 0.0 if rng is None else 0.15
    rng = rng or np.random.default_rng(0)
    frames = ("map", "base", "camera", "/map", "", "x" * 100_000, "a\nb")
    tree = TransformTree(0.1)
    last = None
    for i in range(6):
        parent, child = ("map", "base") if i % 2 else ("base", "camera")
        if rng.random() < odd:
            parent, child = str(choice(rng, frames)), str(choice(rng, frames))
        stamp = SimpleNamespace(sec=0, nanosec=10_000_000 * i if rng.random() >= odd else _uint(rng, 5))
        header = SimpleNamespace(stamp=stamp, frame_id=parent)
        place = SimpleNamespace(**{axis: _float(rng, 0.5, odd) for axis in "xyz"})
        turn = SimpleNamespace(**{axis: _float(rng, float(axis == "w"), odd / 2) for axis in "xyzw"})
        try:
            for each in transforms(header, child, place, turn, odd > 0 and bool(rng.integers(2))):
                tree.add(each)
            tree.root("camera")
        except MonoDepthError as error:
            check_line(error)
            last = error
    for problem in tree.add_recorded([]):
        check_line(ValueError(problem))
    if last is not None:
        raise last
    pose = tree.pose("map", "camera", 0.025)
    if not np.isfinite(pose).all() or np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() > 1e-6:
        raise ValueError(f"no pose: {pose}")


MESSAGES = (
    Target("message Image", read_image),
    Target("message CompressedImage", read_compressed),
    Target("message CameraInfo", read_camera_info),
    Target("message PointCloud2", read_cloud),
    Target("message TFMessage", read_transforms),
    Target("messages of poses", read_poses),
)
