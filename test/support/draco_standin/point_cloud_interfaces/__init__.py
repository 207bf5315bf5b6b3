"""point_cloud_interfaces for tests where it is not installed."""
