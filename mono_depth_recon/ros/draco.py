"""Clouds as point_cloud_transport's plugin draco sends them, where that and its Python bindings are installed."""

from __future__ import annotations

from typing import Any

from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2, PointField

from ..errors import DataError

_PLUGIN = "draco"
_INSTALL = "sudo apt install ros-$ROS_DISTRO-point-cloud-transport-py ros-$ROS_DISTRO-draco-point-cloud-transport"
NOT_INSTALLED = f"points/draco is not published: point_cloud_transport is not installed ({_INSTALL})"
NO_PLUGIN = f"points/draco is not published: point_cloud_transport has no plugin draco ({_INSTALL})"
TOO_OLD = (
    "points/draco is not published: encode of this point_cloud_transport_py fails on binary data: update it (to 1.0.23 "
    "on Humble, 4.0.9 on Jazzy, 5.1.8 on Kilted, or newer)"
)


class Draco:
    """Encodes clouds. `message` is the type of its messages.

    Raises DataError where it is not installed, has no plugin draco, or cannot encode.
    """

    def __init__(self) -> None:
        try:
            from point_cloud_interfaces.msg import CompressedPointCloud2
            from point_cloud_transport_py import PointCloudCodec
        except ImportError as error:
            raise DataError(NOT_INSTALLED) from error
        self.message: type[Any] = CompressedPointCloud2
        self._codec = PointCloudCodec()
        if not self.encoded(_one_point()):
            raise DataError(NO_PLUGIN)

    def encoded(self, cloud: PointCloud2) -> bytes:
        """The serialised message, which publishers take in place of one; empty where the plugin encodes nothing, as of
        a cloud without any known point. Raises DataError.

        Its points are those that are known, in no order. It keeps Python's lock while it computes.
        """
        try:
            made = self._codec.encode(_PLUGIN, serialize_message(cloud))
        except UnicodeDecodeError as error:  # older bindings take what they made for text
            raise DataError(TOO_OLD) from error
        if made and not isinstance(made, bytes):
            raise DataError(TOO_OLD)
        return bytes(made or b"")


def _one_point() -> PointCloud2:
    """A dense cloud of the fields x, y, z."""
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    return PointCloud2(
        height=1, width=1, fields=fields, point_step=12, row_step=12, data=bytes(12), is_dense=True, is_bigendian=False
    )
