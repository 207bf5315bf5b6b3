"""Measurements of this machine: the frame path, models, fusion, the reading of recordings."""
