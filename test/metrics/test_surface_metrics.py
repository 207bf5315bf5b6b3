"""3D metrics against analytic distances."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.errors import DataError
from mono_depth_recon.metrics.surface import Surface, SurfaceMetrics, distances, sampled, surface_metrics


def _square(side: float = 1.0, z: float = 0.0) -> Surface:
    corners = np.array([[0, 0, z], [side, 0, z], [side, side, z], [0, side, z]], np.float32)
    return Surface(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def test_a_surface_against_itself() -> None:
    metrics = surface_metrics(_square(), _square())
    assert metrics.f_score == 1 and metrics.chamfer < 1e-6


@pytest.mark.parametrize(("gap", "f_score"), [(0.03, 1.0), (0.07, 0.0)])
def test_parallel_squares(gap: float, f_score: float) -> None:
    metrics = surface_metrics(_square(), _square(z=gap))
    assert metrics.accuracy == pytest.approx(gap, abs=1e-6)
    assert metrics.completeness == pytest.approx(gap, abs=1e-6)
    assert metrics.f_score == f_score


def test_half_a_surface_is_precise_and_not_complete() -> None:
    """The left half of a square of 1 m: recall is that half plus the 5 cm within the threshold."""
    half = _square()
    half.vertices[:, 0] *= 0.5
    metrics = surface_metrics(half, _square())
    assert metrics.precision == 1 and metrics.accuracy < 1e-6
    assert metrics.recall == pytest.approx(0.55, abs=0.01)
    assert metrics.completeness == pytest.approx(0.125, abs=0.005)
    assert metrics.f_score == pytest.approx(2 * metrics.recall / (1 + metrics.recall))


def test_the_line_of_a_log_is_in_centimetres() -> None:
    assert SurfaceMetrics(0.0123, 0.0456, 0.75, 0.5, 0.6, 0.0289, 0.05).text() == (
        "F-score 0.600 at 5 cm (precision 0.750, recall 0.500), accuracy 1.23 cm, completeness 4.56 cm, Chamfer 2.89 cm"
    )


def test_samples_are_spread_by_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [9, 0, 0], [10, 0, 0], [9, 1, 0]], np.float32)
    points = sampled(Surface(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32)), 20000)
    assert np.mean(points[:, 0] < 5) == pytest.approx(0.75, abs=0.01)
    np.testing.assert_allclose(points[points[:, 0] < 5].mean(axis=0), (1, 1 / 3, 0), atol=0.02)


def test_points_are_a_surface_too() -> None:
    points = Surface(np.array([[0, 0, 0], [1, 0, 0]], np.float32), np.empty((0, 3), np.int32))
    np.testing.assert_allclose(distances(np.array([[0.4, 0.3, 0]], np.float32), points), [0.5], rtol=1e-6)
    assert len(sampled(points, 10)) == 2


def test_empty_surfaces_and_wrong_thresholds_are_refused() -> None:
    empty = Surface(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32))
    for name, pair in (("made", (empty, _square())), ("true", (_square(), empty))):
        with pytest.raises(DataError, match=f"the {name} one is empty"):
            surface_metrics(*pair)
    with pytest.raises(DataError, match="threshold"):
        surface_metrics(_square(), _square(), 0.0)
    flat = Surface(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(DataError, match="no area"):
        surface_metrics(flat, _square())
