"""ROS messages <-> arrays, through numpy views, without needless copies.

A malformed message raises DataError or CalibrationError with one line.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from ..arrays import Depth, Matrix, Points, Rgb
from ..camera import PinholeCamera
from ..cloud.obstacles import PlanarScan
from ..config import CompressionConfig, Config
from ..decoding import MAX_MEGAPIXELS, StreamBits
from ..encoding import compressed_depth, compressed_rgb, millimetres
from ..errors import DataError
from ..mesh.mesh import Mesh
from ..messages import COLOUR_ENCODINGS, rgb_of

_NUMBERS = {PointField.FLOAT32: "f4", PointField.FLOAT64: "f8"}
_FIELDS = ("x", "y", "z", "rgb", "sigma")  # of our clouds, consecutive float32; sigma only if cloud.sigma is set


def image_from_msg(
    msg: Image | CompressedImage, max_megapixels: float = MAX_MEGAPIXELS, stream: StreamBits | None = None
) -> Rgb:
    """`rgb_of`; encodings not in COLOUR_ENCODINGS go through cv_bridge if it is installed."""
    raw = isinstance(msg, Image)
    if raw and msg.encoding not in COLOUR_ENCODINGS:
        return _through_cv_bridge(msg)
    return rgb_of(msg, max_megapixels, stream)


def _through_cv_bridge(msg: Image) -> Rgb:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        raise DataError(
            f"image encoding '{msg.encoding}' must be one of {', '.join(COLOUR_ENCODINGS)}; "
            "others need cv_bridge, which is not installed"
        ) from None
    try:
        rgb: Rgb = CvBridge().imgmsg_to_cv2(msg, "rgb8")
    except CvBridgeError as error:
        raise DataError(f"cv_bridge cannot convert encoding '{msg.encoding}' to rgb8: {error}") from error
    return rgb


def nanoseconds(stamp: Time) -> int:
    """A stamp as an integer number of nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def info_to_msg(camera: PinholeCamera, header: Header) -> CameraInfo:
    """CameraInfo with K and P filled; for a rectified camera D = 0, R = I, P = K."""
    msg = CameraInfo(header=header, width=camera.width, height=camera.height, distortion_model=camera.distortion_model)
    msg.d = list(camera.D) or [0.0] * 5
    msg.k = camera.K.ravel()
    msg.r = (np.eye(3) if camera.R is None else camera.R).ravel()
    msg.p = np.hstack([camera.rectified.K, np.zeros((3, 1))]).ravel()
    return msg


def rgb_to_msg(rgb: Rgb, header: Header) -> Image:
    """(H, W, 3) uint8 -> rgb8 Image."""
    return _image_msg(rgb, "rgb8", header)


def depth_to_msg(depth: Depth, header: Header, encoding: str = "32FC1", invalid: str = "nan") -> Image:
    """Depth in metres -> 32FC1 (`invalid` nan keeps REP 117; zero: 0 for unknown and beyond range) or 16UC1.

    16UC1 is millimetres, rounded, 0 for unknown depth, beyond range or above 65.535 m.
    """
    if encoding == "16UC1":
        return _image_msg(millimetres(depth), encoding, header)
    if invalid == "zero":
        depth = np.where(np.isfinite(depth), depth, np.float32(0))
    return _image_msg(depth, encoding, header)


def compressed_depth_to_msg(depth: Depth, header: Header, config: Config) -> CompressedImage:
    """Depth in metres -> CompressedImage as compressed_depth_image_transport publishes it, within `filter`'s range.

    Of `depth.encoding`; unknown depth and depth beyond range are 0.
    """
    near, far = config.filter.min_range or config.filter.max_range / 100, config.filter.max_range
    settings = config.compression
    form, data = compressed_depth(depth, config.depth.encoding, settings.depth, near, far, settings.png_level)
    return _compressed_msg(form, data, header)


def compressed_rgb_to_msg(rgb: Rgb, header: Header, settings: CompressionConfig) -> CompressedImage:
    """(H, W, 3) uint8 -> CompressedImage as compressed_image_transport publishes it."""
    form, data = compressed_rgb(rgb, settings.rgb, settings.jpeg_quality, settings.png_level)
    return _compressed_msg(form, data, header)


def _compressed_msg(form: str, data: bytes, header: Header) -> CompressedImage:
    msg = CompressedImage(header=header, format=form)
    msg.data.frombytes(data)
    return msg


def _image_msg(image: NDArray[Any], encoding: str, header: Header) -> Image:
    msg = Image(header=header, height=image.shape[0], width=image.shape[1], encoding=encoding)
    msg.is_bigendian, msg.step = sys.byteorder == "big", image.nbytes // image.shape[0]
    # The field's own array, filled by one memcpy; assigning to the field would copy once more, or convert each byte.
    msg.data.frombytes(np.ascontiguousarray(image).reshape(-1).view(np.uint8))
    return msg


class CloudMessage:
    """A PointCloud2 whose bytes are written in place: `points(...)` is filled, then `stamped(header)` published.

    The buffer is reused for every frame: publish before the next one.
    """

    def __init__(self) -> None:
        self._msg = PointCloud2(is_bigendian=sys.byteorder == "big", is_dense=False)
        self._points: Points = np.empty((0, 0, 0), np.float32)

    @property
    def size_bytes(self) -> int:
        """Of the last cloud; 0 before the first."""
        return self._points.nbytes

    def points(self, height: int, width: int, sigma: bool = False) -> Points:
        """(height, width, 4) float32 view of the message's bytes, with the field sigma (height, width, 5)."""
        names = _FIELDS if sigma else _FIELDS[:4]
        shape, step = (height, width, len(names)), 4 * len(names)
        if self._points.shape != shape:
            self._msg.fields = [
                PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate(names)
            ]
            self._msg.height, self._msg.width = height, width
            self._msg.point_step, self._msg.row_step = step, step * width
            self._msg.data = array("B", bytes(1)) * (step * height * width)
            self._points = np.frombuffer(self._msg.data, np.float32).reshape(shape)
        return self._points

    def stamped(self, header: Header, points: Points | None = None) -> PointCloud2:
        """The message with `header` and `points`; points written to `self.points(...)` are already there."""
        if points is not None and points is not self._points:
            height, width, values = points.shape
            self.points(height, width, sigma=values == len(_FIELDS))[...] = points
        self._msg.header = header
        return self._msg


def points_to_msg(points: Points, header: Header) -> PointCloud2:
    """Organised points (H, W, 4), or (H, W, 5) with sigma -> a new PointCloud2."""
    return CloudMessage().stamped(header, points)


def xyz_to_msg(points: NDArray[np.float32], header: Header) -> PointCloud2:
    """Points (N, 3) -> an unorganised PointCloud2 with the fields x y z."""
    msg = PointCloud2(header=header, height=1, width=len(points), is_bigendian=sys.byteorder == "big", is_dense=True)
    msg.fields = [
        PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate(_FIELDS[:3])
    ]
    msg.point_step, msg.row_step = 12, 12 * len(points)
    msg.data.frombytes(np.ascontiguousarray(points, np.float32).reshape(-1).view(np.uint8))
    return msg


def scan_to_msg(scan: PlanarScan, header: Header, scan_time: float) -> LaserScan:
    """A scan in the frame of `header` -> LaserScan; `scan_time` is the seconds since the last one."""
    msg = LaserScan(header=header, angle_min=scan.angle_min, angle_increment=scan.increment, scan_time=scan_time)
    msg.angle_max = scan.angle_min + (len(scan.ranges) - 1) * scan.increment
    msg.range_min, msg.range_max = scan.range_min, scan.range_max
    msg.ranges = array("f", scan.ranges.tobytes())
    return msg


def points_from_msg(msg: PointCloud2) -> Points:
    """A cloud of this package -> (H, W, 4) float32, with its field sigma (H, W, 5); others through sensor_msgs_py."""
    layout, step = [(f.name, f.offset, f.datatype) for f in msg.fields], 4 * len(msg.fields)
    ours = [(n, 4 * i, PointField.FLOAT32) for i, n in enumerate(_FIELDS[: max(4, len(layout))])]
    if len(msg.data) != msg.row_step * msg.height or msg.row_step < msg.point_step * msg.width:
        raise DataError(
            f"cloud of {msg.width}x{msg.height} points, {msg.point_step} bytes each, {msg.row_step} a row, must have "
            f"{msg.row_step * msg.height} bytes, got {len(msg.data)}: the message is damaged"
        )
    if layout == ours and msg.point_step == step and msg.row_step == step * msg.width and not msg.is_bigendian:
        return np.frombuffer(msg.data, np.float32).reshape(msg.height, msg.width, len(layout))
    try:
        from sensor_msgs_py import point_cloud2
    except ImportError:
        raise DataError(
            f"cloud must have the float32 fields x y z rgb, got {[f.name for f in msg.fields]}; "
            "other layouts need sensor_msgs_py, which is not installed"
        ) from None
    fields = point_cloud2.read_points(msg, field_names=("x", "y", "z", "rgb"), reshape_organized_cloud=False)
    columns = [fields[name].astype(np.float32, copy=False) for name in "xyz"]
    columns.append(np.ascontiguousarray(fields["rgb"]).view(np.float32))  # its bits, which some declare as an integer
    return np.stack(columns, axis=-1).reshape(msg.height, msg.width, 4)


def xyz_from_msg(msg: PointCloud2) -> Matrix:
    """The finite points (N, 3) float64 of any PointCloud2 with numbers x, y and z. Raises DataError without them."""
    kinds = {field.name: _NUMBERS.get(field.datatype, "") for field in msg.fields}
    offsets = {field.name: field.offset for field in msg.fields}
    if any(not kinds.get(name) for name in "xyz"):
        raise DataError(f"points must have the fields x, y and z of float32 or float64, got {sorted(kinds)}")
    reach = max(offsets[name] + int(kinds[name][1]) for name in "xyz")
    if reach > msg.point_step:
        raise DataError(f"the fields x, y and z of a point take {reach} bytes, its point_step is {msg.point_step}")
    used = msg.width * msg.point_step
    needed = msg.height * max(msg.row_step, used)
    if msg.row_step < used or len(msg.data) < needed:
        raise DataError(
            f"a cloud of {msg.width}x{msg.height} points of {msg.point_step} bytes needs {needed} bytes, got "
            f"{len(msg.data)} in rows of {msg.row_step}"
        )
    order = ">" if msg.is_bigendian else "<"
    layout = np.dtype(
        {
            "names": list("xyz"),
            "formats": [order + kinds[name] for name in "xyz"],
            "offsets": [offsets[name] for name in "xyz"],
            "itemsize": msg.point_step,
        }
    )
    rows = np.frombuffer(msg.data, np.uint8)[:needed].reshape(msg.height, msg.row_step)
    points = np.ascontiguousarray(rows[:, :used]).reshape(-1).view(layout)
    xyz = np.stack([points[name].astype(np.float64) for name in "xyz"], axis=1)
    return xyz[np.isfinite(xyz).all(axis=1)]


def mesh_to_marker(mesh: Mesh, header: Header) -> Marker:
    """A TRIANGLE_LIST in the frame of `header`, one colour per vertex; keep it small (10,000 triangles take 0.1 s)."""
    marker = Marker(header=header, ns="mono_depth_recon", id=0, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color.a = 1.0
    corners = [Point(x=x, y=y, z=z) for x, y, z in mesh.vertices.astype(np.float64).tolist()]
    colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (mesh.colors / 255.0).tolist()]
    order = mesh.triangles.ravel().tolist()
    marker.points = [corners[i] for i in order]
    marker.colors = [colors[i] for i in order]
    return marker


def odometry_to_msg(T_world_camera: Matrix, header: Header, child_frame_id: str) -> Odometry:
    """Pose (4, 4) of the frame `child_frame_id` in that of `header` -> Odometry without velocity."""
    msg = Odometry(header=header, child_frame_id=child_frame_id)
    position, orientation = msg.pose.pose.position, msg.pose.pose.orientation
    position.x, position.y, position.z = T_world_camera[:3, 3].tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = _quaternion(T_world_camera[:3, :3])
    return msg


def _quaternion(R: Matrix) -> list[float]:
    """Unit quaternion x y z w, w >= 0, of a rotation matrix: computed from its largest component, for accuracy."""
    x, y, z = np.diag(R)
    squares = np.array([1 + x - y - z, 1 - x + y - z, 1 - x - y + z, 1 + x + y + z])  # 4 times each component's square
    xy, xz, yz = R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[1, 2] + R[2, 1]
    wx, wy, wz = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    products = np.array(
        [[squares[0], xy, xz, wx], [xy, squares[1], yz, wy], [xz, yz, squares[2], wz], [wx, wy, wz, squares[3]]]
    )
    q = products[np.argmax(squares)]
    return (np.copysign(1.0, q[3]) * q / np.linalg.norm(q)).tolist()
