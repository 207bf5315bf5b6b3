"""The only room that imports ROS: conversions, parameters, nodes."""
