"""Its message is a PointCloud2 here, and travels as that."""

from sensor_msgs.msg import PointCloud2 as CompressedPointCloud2

__all__ = ["CompressedPointCloud2"]
