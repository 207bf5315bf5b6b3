"""Clouds of one frame: organised or not, thinned for every frame, cleaned for a mesh."""
