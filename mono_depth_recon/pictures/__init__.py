"""Depth, clouds and meshes as pictures."""
