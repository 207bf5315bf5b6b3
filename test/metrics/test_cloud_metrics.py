"""Comparison of clouds: analytic truth, and functions of scipy and Open3D as independent implementations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mono_depth_recon.errors import DataError
from mono_depth_recon.metrics.cloud import DEFINITIONS, RADIUS_M, cloud_figures, cloud_texture, normals


def plane(step: float, z: float = 2.0, side: float = 1.0, noise: float = 0.0) -> NDArray[np.float64]:
    """A square of points `step` metres apart, facing the camera."""
    x, y = np.mgrid[0:side:step, 0:side:step]
    off = np.random.default_rng(0).normal(0, noise, x.shape) if noise else 0.0
    return np.stack([x, y, np.full(x.shape, z) + off], axis=-1).reshape(-1, 3)


def real_clouds(data_folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Clouds of a real frame, thinned, one scaled slightly farther away."""
    from mono_depth_recon.cloud.back_projection import back_project
    from mono_depth_recon.datasets.tum import TumFolder

    frames = TumFolder(data_folder / "tum" / "rgbd_dataset_freiburg1_rpy_part", rectified=True)
    clouds = []
    for place, factor in ((125, 1.04), (126, 1.0)):
        sample = frames[place]
        assert sample.depth is not None
        points = back_project(sample.depth * np.float32(factor), sample.camera, sample.rgb, 6)[..., :3].reshape(-1, 3)
        clouds.append(points[np.isfinite(points).all(axis=1)])
    return clouds[0], clouds[1]


def independent(points: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, float]:
    """The figures by scipy's trees, singular values and Open3D's distances."""
    o3d = pytest.importorskip("open3d")
    made, true = points.astype(np.float64), truth.astype(np.float64)
    clouds = [o3d.geometry.PointCloud(o3d.utility.Vector3dVector(each)) for each in (made, true)]
    there = np.asarray(clouds[0].compute_point_cloud_distance(clouds[1]))
    back = np.asarray(clouds[1].compute_point_cloud_distance(clouds[0]))
    trees = [cKDTree(each) for each in (made, true)]
    figures = {
        "accuracy": there.mean(),
        "completeness_distance": back.mean(),
        "completeness": (back <= 0.05).mean(),
        "chamfer": (there.mean() + back.mean()) / 2,
    }
    for limit in (2, 5, 10):
        precision, recall = (there <= limit / 100).mean(), (back <= limit / 100).mean()
        figures[f"fscore_{limit}cm"] = 2 * precision * recall / (precision + recall) if precision + recall else 0
    sides = [
        np.array([np.linalg.svd(each[near] - each[near].mean(0))[2][2] for near in tree.query(each, 16)[1]])
        for each, tree in zip((made, true), trees, strict=True)
    ]
    cosines = [
        np.abs(np.sum(own * other[tree.query(each)[1]], axis=1)).mean()
        for own, other, tree, each in ((sides[0], sides[1], trees[1], made), (sides[1], sides[0], trees[0], true))
    ]
    figures["normal_consistency"] = np.mean(cosines)
    around = trees[0].query_ball_point(made, RADIUS_M)
    figures["density"] = np.median([len(each) for each in around]) / (np.pi * RADIUS_M**2)
    offsets = [
        abs((made[i] - made[near].mean(0)) @ np.linalg.svd(made[near] - made[near].mean(0))[2][2])
        for i, near in enumerate(around)
        if len(near) >= 8
    ]
    figures["smoothness"] = np.median(offsets)
    return figures


def test_random_clouds_agree_with_independent_implementations() -> None:
    rng = np.random.default_rng(1)
    truth = np.c_[rng.uniform(0, 0.6, (1500, 2)), 2 + 0.02 * rng.normal(size=1500)]
    points = truth[:1200] + rng.normal(0, 0.02, (1200, 3))
    made, expected = cloud_figures(points, truth), independent(points, truth)
    assert made.keys() == expected.keys() == DEFINITIONS.keys()
    for name, value in expected.items():
        assert made[name] == pytest.approx(value, rel=1e-6), name


def test_real_clouds_agree_with_independent_implementations(data_folder: Path) -> None:
    points, truth = (each[:3500] for each in real_clouds(data_folder))  # few enough that all are sampled
    made, expected = cloud_figures(points, truth), independent(points, truth)
    for name, value in expected.items():
        if name != "normal_consistency":  # quantised depth: among equally near points any may be chosen
            assert made[name] == pytest.approx(value, rel=1e-6), name
    assert made["normal_consistency"] == pytest.approx(expected["normal_consistency"], rel=1e-3)


def test_a_shifted_plane_is_off_by_its_shift() -> None:
    truth, made = plane(0.01), plane(0.01, z=2.03)
    figures = cloud_figures(made, truth)
    assert figures["accuracy"] == pytest.approx(0.03) == pytest.approx(figures["chamfer"])
    assert (figures["fscore_2cm"], figures["fscore_5cm"]) == (0, 1) and figures["completeness"] == 1
    assert figures["normal_consistency"] == pytest.approx(1) and figures["smoothness"] == pytest.approx(0, abs=1e-9)


def test_half_of_the_surface_is_half_complete() -> None:
    truth = plane(0.01)
    made = truth[truth[:, 0] < 0.5]
    figures = cloud_figures(made, truth)
    assert figures["completeness"] == pytest.approx(0.54, abs=0.01) and figures["accuracy"] == 0
    assert figures["completeness_distance"] == pytest.approx(0.127, abs=0.003)  # half at 0, half 0 to 0.5


def test_density_counts_points_per_square_metre_and_smoothness_is_the_roughness() -> None:
    assert cloud_texture(plane(0.005)).density == pytest.approx(1 / 0.005**2, rel=0.03)
    rough = cloud_texture(plane(0.01, noise=0.004))
    assert rough.smoothness == pytest.approx(0.6745 * 0.004, rel=0.1)  # median of |normal|
    assert np.isnan(cloud_texture(plane(0.2)).smoothness)


def test_normals_of_a_tilted_plane() -> None:
    points = plane(0.02)
    points[:, 2] += points[:, 0]
    assert np.abs(normals(points) @ (np.array([1, 0, -1]) / 2**0.5)) == pytest.approx(1)


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.zeros((20, 2)), np.full((20, 3), np.nan)])
def test_invalid_clouds_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(DataError, match="at least 8 finite points"):
        cloud_figures(points, plane(0.1))
