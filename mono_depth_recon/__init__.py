"""Monocular depth and 3D reconstruction for ROS 2.

`import mono_depth_recon` is cheap: numpy, OpenCV, torch, Open3D and rclpy load where they are used.
"""

__version__ = "0.1.0"
