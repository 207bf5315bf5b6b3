"""Running figures against a second sensor: analytic scale and shift, protocols, windows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Frame
from mono_depth_recon.metrics.live import LiveFigures, LiveMeter, compared

CAMERA = PinholeCamera.from_hfov(64, 48, 60)
RGB = np.zeros((48, 64, 3), np.uint8)


def floor() -> Depth:
    """A floor receding from the camera, 0.5 to 4 m."""
    return (1 / np.linspace(0.25, 2.0, 48, dtype=np.float32))[:, None].repeat(64, axis=1)


def test_depth_that_is_a_fifth_too_far() -> None:
    reference = floor()
    reference[:5] = np.nan
    found = compared(Frame(RGB, CAMERA, depth=1.2 * floor()), reference)
    assert found.protocol == "metric"
    assert found.abs_rel == pytest.approx(0.2, rel=1e-5)
    assert found.delta1 == 1
    assert (found.scale, found.shift) == pytest.approx((1.2, 0), abs=1e-5)


def test_depth_that_is_withheld_is_not_compared() -> None:
    with pytest.raises(DataError, match="depth is withheld: dark image"):
        compared(Frame(RGB, CAMERA, no_metres="depth is withheld: dark image"), floor())


def test_a_shift_of_inverse_depth_is_distinguished_from_scale() -> None:
    depth = 1 / ((1 / floor() - 0.1) / 0.8)
    found = compared(Frame(RGB, CAMERA, depth=depth), floor())
    assert (found.scale, found.shift) == pytest.approx((0.8, 0.1), abs=1e-5)


def test_a_reference_of_another_resolution() -> None:
    coarse = floor().reshape(24, 2, 32, 2).mean(axis=(1, 3))
    assert compared(Frame(RGB, CAMERA, depth=floor()), coarse).abs_rel < 0.05


def test_disparity_without_metres_is_fitted_first() -> None:
    found = compared(Frame(RGB, CAMERA, disparity=(1 / floor() - 0.1) / 0.02), floor())
    assert found.protocol == "affine"
    assert found.abs_rel < 1e-5
    assert (found.scale, found.shift) == pytest.approx((0.02, 0.1), abs=1e-4)


def test_a_flat_wall_has_errors_and_no_scale() -> None:
    wall = np.full((48, 64), 2, np.float32)
    found = compared(Frame(RGB, CAMERA, depth=1.1 * wall), wall)
    assert found.abs_rel == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(found.scale)
    with pytest.raises(DataError, match="disparity that varies"):
        compared(Frame(RGB, CAMERA, disparity=wall), wall)


def test_no_common_pixel_is_an_error() -> None:
    depth = floor()
    depth[:] = np.inf
    with pytest.raises(DataError, match="at least 50 pixels"):
        compared(Frame(RGB, CAMERA, depth=depth), floor())


def test_means_of_the_last_frames_and_a_new_protocol_starts_again() -> None:
    meter = LiveMeter(2)
    assert meter.means() is None
    for error, scale in ((0.9, 1.0), (0.1, math.nan), (0.3, 3.0)):
        meter.add(LiveFigures("metric", error, 1 - error, scale, 0.0))
    assert meter.frames == 2
    means = meter.means()
    assert means is not None
    assert (means.abs_rel, means.delta1, means.scale) == pytest.approx((0.2, 0.8, 3.0))
    meter.add(LiveFigures("affine", 0.5, 0.5, 1.0, 0.0))
    assert meter.frames == 1
