"""point_cloud_transport_py for tests where it is not installed: `encode` as it is called, and what it returns."""

from __future__ import annotations

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2


class PointCloudCodec:
    """Knows the transport draco: it keeps the known points, as that does, and compresses nothing."""

    def encode(self, transport_name: str, pointcloud_buffer: bytes) -> bytes:
        """A serialised PointCloud2 to the serialised message of the transport; empty where that fails."""
        if transport_name != "draco":
            return b""
        cloud = deserialize_message(pointcloud_buffer, PointCloud2)
        points = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, cloud.point_step // 4)
        known = points[np.isfinite(points[:, :3]).all(axis=1)]
        if not len(known):
            return b""
        cloud.height, cloud.width, cloud.is_dense = 1, len(known), True
        cloud.row_step, cloud.data = known.nbytes, known.tobytes()
        return bytes(serialize_message(cloud))
