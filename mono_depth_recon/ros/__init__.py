"""The only folder that imports ROS: conversions, parameters, nodes."""
