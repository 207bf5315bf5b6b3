"""Metrics of depth maps, images, clouds, surfaces and sigma; `protocols` says which of them a table holds."""
