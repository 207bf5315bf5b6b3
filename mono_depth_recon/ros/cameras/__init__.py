"""Nodes that play the camera: synthetic rooms and recordings."""
