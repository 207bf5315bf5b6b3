"""scale.source=odometry: a camera on its path through synthetic rooms, with exact poses."""

from __future__ import annotations

import numpy as np
import pytest
from made_rooms import unlit

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample, Scale
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.odometry import CAMERA_POSE, OdometryScale

CAMERA = PinholeCamera.from_hfov(480, 360, 70)
TRUTH = Scale(0.02, 0.05)
SETTINGS = with_values(Config(), {"scale.source": "odometry"}).scale


def view_of(sample: Sample, i: int) -> RelativeView:
    assert sample.depth is not None
    disparity: Depth = ((1 / sample.depth.astype(np.float64) - TRUTH.shift) / TRUTH.scale).astype(np.float32)
    return RelativeView(sample.rgb, disparity, CAMERA, 0.066 * i)


def along(sample: Sample, stretch: float = 1.0) -> Evidence:
    assert sample.T_world_camera is not None
    T = sample.T_world_camera.copy()
    T[:3, 3] *= stretch
    return Evidence({CAMERA_POSE: lambda: T})


@pytest.mark.parametrize("seed", [3, 8, 5])
def test_the_motion_through_a_room_gives_metres_within_five_percent(seed: int) -> None:
    room, source, fits, waited = unlit(seed, CAMERA, 120), OdometryScale(), [], 0
    for i in range(30):
        sample = room[i]
        try:
            fit = source.fit(view_of(sample, i), along(sample), SETTINGS)
        except DataError as error:
            assert not fits and "no points yet by odometry: the camera must move sideways" in str(error)
            waited += 1
            continue
        fits.append(fit.scale / TRUTH.scale)
        print(seed, i, fit.scale/TRUTH.scale, fit.shift, fit.inliers, fit.residual)
