"""Metrics of depth maps, images, clouds, surfaces and sigma; `protocols` defines how they are compared."""
