"""What the flying-pixel filter removes and what it costs, on exact depth smeared as a network smears it."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FilterConfig
from mono_depth_recon.filters import flying_pixels

CAMERA = PinholeCamera.from_hfov(640, 480, 60.0)
_OFF = 0.05  # relative: a pixel this far from the truth hangs in the air


def _scene(seed: int) -> Depth:
    """A floor, a wall at 4 m and twelve boxes' fronts, slanted, at 0.8 to 3.5 m: exact depth (480, 640)."""
    rng = np.random.default_rng(seed)
    x, y = CAMERA.rays
    y = y[:, None]
    depth = np.full((480, 640), 4.0, np.float32)
    np.copyto(depth, 1.2 / np.maximum(y, 1e-3), where=(1.2 / np.maximum(y, 1e-3)) < depth)
    for _ in range(12):
        left, top = rng.integers(0, 560), rng.integers(0, 400)
        part = (slice(top, top + int(rng.integers(40, 200))), slice(left, left + int(rng.integers(40, 200))))
        slant = rng.uniform(-0.5, 0.5, 2)
        front = (rng.uniform(0.8, 3.5) / (1 + slant[0] * x[None, :] + slant[1] * y)).astype(np.float32)
        depth[part] = np.minimum(depth[part], front[part])
    return depth


def _smeared(depth: Depth) -> Depth:
    """Depth as a network of half the resolution predicts it: averaged and interpolated across edges."""
    import cv2

    small = cv2.resize(depth, (320, 240), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (640, 480), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("seed", range(4))
def test_most_flying_pixels_go_and_few_good_ones(seed: int) -> None:
    truth = _scene(seed)
    seen = _smeared(truth)
    flying = np.abs(seen - truth) > _OFF * truth
    taken = flying_pixels(seen, FilterConfig().edge_threshold)
    assert flying.mean() > 0.002, "the scene has edges"
    removed, lost = taken[flying].mean(), taken[~flying].mean()
    print(f"flying pixels removed {100 * removed:.1f} %, good ones lost {100 * lost:.1f} %")
    assert removed > 0.97 and lost < 0.05
