"""Depth, clouds and meshes as pictures for readers."""
