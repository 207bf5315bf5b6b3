"""Synthetic rooms: colour, exact depth and pose of a camera in a procedural room."""
