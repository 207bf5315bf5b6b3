"""A camera's intrinsics from pictures of a calibration board, and the file that ROS reads them from."""
