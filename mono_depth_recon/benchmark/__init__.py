"""Measurements on this machine: the frame path, models, fusion, mesh files, reading of recordings."""
