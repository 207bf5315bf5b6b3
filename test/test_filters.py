"""Depth filters on planes and steps whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon import filters
from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config

THRESHOLD = Config().filter.edge_threshold


def plane(normal: tuple[float, float, float], distance_m: float, camera: PinholeCamera) -> Depth:
    """Depth of the plane n . X = distance seen by the camera."""
    x, y = camera.rays
    inverse = (normal[0] * x[None] + normal[1] * y[:, None] + normal[2]) / distance_m
    return (1 / inverse).astype(np.float32)


def bits(depth: Depth) -> NDArray[np.uint32]:
    return depth.view(np.uint32)


def test_the_range_follows_rep_117() -> None:
    depth = np.array([[0.099, 0.1, 5.0, 10.0, 10.001, np.inf, np.nan, -1.0, -np.inf]], np.float32)
    filters.limit_range(depth, float(np.float32(0.1)), 10.0)
    expected = np.array([[np.nan, 0.1, 5.0, 10.0, np.inf, np.inf, np.nan, np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(depth, expected)


def test_what_lies_within_range_stays_to_the_bit() -> None:
    depth = np.random.default_rng(1).uniform(0.2, 9.9, (48, 64)).astype(np.float32)
    kept = depth.copy()
    filters.limit_range(depth, 0.1, 10.0)
    filters.drop(depth, np.zeros(depth.shape, np.bool_))
    filters.drop_border(depth, 0)
    np.testing.assert_array_equal(bits(depth), bits(kept))


def test_drop_makes_unknown_and_nothing_else() -> None:
    depth = np.full((4, 5), 2.0, np.float32)
    depth[0, 0] = np.inf
    unknown = np.zeros(depth.shape, np.bool_)
    unknown[0, 0] = unknown[2, 3] = True
    filters.drop(depth, unknown)
    np.testing.assert_array_equal(np.isnan(depth), unknown)
    assert (depth[~unknown] == 2).all()


def test_uncertain_depth_is_dropped_beyond_range_too() -> None:
    depth = np.array([[1.0, 2.0, np.inf, np.inf, 3.0, np.nan]], np.float32)
    sigma = np.array([[0.1, 0.3, 0.1, 0.3, np.nan, 0.1]], np.float32)
    filters.drop_uncertain(depth, sigma, 0.2)
    np.testing.assert_array_equal(depth, np.array([[1.0, np.nan, np.inf, np.nan, np.nan, np.nan]], np.float32))
    exact = np.array([[1.0]], np.float32)
    filters.drop_uncertain(exact, np.array([[0.25]], np.float32), 0.25)
    assert exact[0, 0] == 1.0, "the limit itself stays"


@pytest.mark.parametrize(("border_px", "left"), [(0, 30), (1, 12), (2, 2), (3, 0), (100, 0)])
def test_the_border_is_dropped(border_px: int, left: int) -> None:
    depth = np.ones((5, 6), np.float32)
    filters.drop_border(depth, border_px)
    assert np.isfinite(depth).sum() == left
    inner = depth[border_px : 5 - border_px, border_px : 6 - border_px]
    assert np.isfinite(inner).sum() == left


def test_flying_pixels_of_a_step_are_found_and_only_those() -> None:
    """Two walls at 1.5 m and 3 m; interpolation leaves three columns between them in mid-air."""
    depth = np.full((60, 80), 1.5, np.float32)
    depth[:, 40:] = 3.0
    depth[:, 39:42] = (1.8, 2.2, 2.6)
    found = filters.flying_pixels(depth, THRESHOLD)
    columns = found.all(axis=0)
    np.testing.assert_array_equal(found, np.broadcast_to(columns, found.shape))
    np.testing.assert_array_equal(np.flatnonzero(columns), [38, 39, 40, 41, 42])


def test_a_step_too_small_for_an_edge_stays() -> None:
    depth = np.full((10, 10), 2.0, np.float32)
    depth[:, 5:] = 2.0 * (1 + 0.9 * THRESHOLD)
    assert not filters.flying_pixels(depth, THRESHOLD).any()
    depth[:, 5:] = 2.0 * (1 + 1.3 * THRESHOLD)
    assert filters.flying_pixels(depth, THRESHOLD)[:, 4:6].all()


@pytest.mark.parametrize(
    ("normal", "distance_m"),
    [((0.0, 0.0, 1.0), 9.0), ((0.7, 0.0, 0.714), 2.0), ((0.0, 0.97, 0.243), 1.2), ((-0.6, 0.5, 0.62), 3.0)],
)
def test_a_slanted_plane_is_no_edge(normal: tuple[float, float, float], distance_m: float) -> None:
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth = plane(normal, distance_m, camera)
    seen = (depth > 0) & (depth < 10)
    assert seen.mean() > 0.4
    depth[~seen] = np.inf
    surrounded = cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # not where it meets the sky
    assert not (filters.flying_pixels(depth, THRESHOLD) & surrounded).any()


def test_a_floor_goes_where_rays_graze_it() -> None:
    """The part of a floor 0.5 m below a level camera that is seen at less than 2 / (f * threshold) radians."""
    camera = PinholeCamera.from_intrinsics(640, 480, 525, 525, 319.5, 239.5)
    depth = plane((0.0, 1.0, 0.0), 0.5, camera)[300:]
    grazed = filters.flying_pixels(depth, 0.03)[1:-1].all(axis=1)
    angle = 0.5 / depth[1:-1, 320]
    np.testing.assert_array_equal(grazed, angle < 2 / (525 * 0.03) * (1 + 1e-3))


def test_a_distant_step_counts_as_a_near_one_does() -> None:
    """The threshold is relative: scaling a scene changes nothing."""
    depth = np.random.default_rng(2).uniform(1.0, 1.3, (40, 50)).astype(np.float32)
    near, far = (filters.flying_pixels(depth * np.float32(scale), THRESHOLD) for scale in (0.5, 8.0))
    np.testing.assert_array_equal(near, far)
    assert 0 < near.mean() < 1


def test_edges_are_found_without_warnings_where_depth_is_unknown() -> None:
    depth = np.full((9, 9), 2.0, np.float32)
    depth[4, 4], depth[4, 5] = np.nan, np.inf
    with np.errstate(all="raise"):
        found = filters.flying_pixels(depth, THRESHOLD)
    assert not found[:3].any()
    assert found[3:6, 3:7].sum() >= 10, "the rim of a hole lies on an edge"
