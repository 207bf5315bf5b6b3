"""The organised cloud of one frame, and its thinning, fast enough for every frame."""
