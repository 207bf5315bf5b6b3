"""scale.source=odometry: a camera on its path through synthetic rooms, with exact poses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_rooms import unlit

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.datasets.kind import OpenOptions
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample, Scale
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.odometry import CAMERA_POSE, OdometryScale, _spread

CAMERA = PinholeCamera.from_hfov(480, 360, 70)
TRUTH = Scale(0.02, 0.05)
SETTINGS = with_values(Config(), {"scale.source": "odometry"}).scale


def view_of(sample: Sample, i: int) -> RelativeView:
    assert sample.depth is not None
    disparity: Depth = ((1 / sample.depth.astype(np.float64) - TRUTH.shift) / TRUTH.scale).astype(np.float32)
    return RelativeView(sample.rgb, disparity, CAMERA, 0.066 * i)


def along(sample: Sample) -> Evidence:
    T = sample.T_world_camera
    assert T is not None
    return Evidence({CAMERA_POSE: lambda: T})


def test_the_motion_through_a_room_gives_metres_within_five_percent() -> None:
    room, source, fitted = unlit(8, CAMERA, 120), OdometryScale(), 0
    for i in range(16):
        sample = room[i]
        view = view_of(sample, i)
        try:
            fit = source.fit(view, along(sample), SETTINGS)
        except DataError as error:
            assert not fitted and "no points yet by odometry: the camera must move sideways" in str(error)
            continue
        assert sample.depth is not None
        ratio = 1 / (fit.scale * view.disparity + fit.shift) / sample.depth
        assert np.median(ratio) == pytest.approx(1, abs=0.02), i
        assert np.nanpercentile(np.abs(ratio - 1), 80) < 0.05, i
        assert not fit.doubt
        fitted += 1
    assert fitted >= 8
    for step in (1, 30):  # the camera stands still
        still = source.fit(replace(view, stamp=view.stamp + step), along(sample), SETTINGS)
        assert still.held == 0 and still.scale == pytest.approx(fit.scale, rel=0.03)
    turned = sample.T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])  # type: ignore[operator]
    with pytest.raises(DataError, match=r"since the camera moved by 0.00 m and turned by 180 degrees"):
        OdometryScale.anchor(source, view, Evidence({CAMERA_POSE: lambda: turned}), SETTINGS)


def test_poses_that_do_not_belong_to_the_images_give_no_metres() -> None:
    """The motion is across that of the images: no feature moves along its epipolar line."""
    room, source = unlit(8, CAMERA, 120), OdometryScale()
    for i in range(8):
        sample, T = room[i], np.eye(4)
        T[:3, :3] = sample.T_world_camera[:3, :3]  # type: ignore[index]
        T[:3, 3] = 0.05 * i * np.array([0.1, -0.2, 1.0])
        with pytest.raises(DataError, match="no points yet by odometry"):
            source.fit(view_of(sample, i), Evidence({CAMERA_POSE: lambda T=T: T}), SETTINGS)


def test_a_hand_held_camera_that_mostly_turns_has_no_wrong_metres(tum_folder: Callable[[str], Path]) -> None:
    """Three centimetres beside a turn of 17 degrees made depth a quarter too small, by poses of a motion capture."""
    options = OpenOptions(rectified=True)
    samples = open_dataset(str(tum_folder("rgbd_dataset_freiburg1_rpy_part")), options)
    source, correct, fitted = OdometryScale(), with_values(Config(), {"scale.correct_metric": "factor"}).scale, 0
    for i in (*range(15), *range(58, 72)):
        sample = samples[i]
        assert sample.depth is not None
        view = RelativeView(sample.rgb, 1 / sample.depth, sample.camera, sample.stamp, metric=True)
        try:
            fit = source.measure(view, along(sample), correct)
        except DataError:
            continue
        assert fit.scale == pytest.approx(1, abs=0.05), i
        fitted += 1
    assert fitted >= 1


def test_without_texture_there_are_no_points() -> None:
    source, plain = OdometryScale(), np.full((CAMERA.height, CAMERA.width, 3), 120, np.uint8)
    disparity = np.tile(np.linspace(5, 50, CAMERA.width, dtype=np.float32), (CAMERA.height, 1))
    for i in range(3):
        T = np.eye(4)
        T[0, 3] = 0.1 * i
        with pytest.raises(DataError, match="past something with texture"):
            source.fit(RelativeView(plain, disparity, CAMERA, i), Evidence({CAMERA_POSE: lambda T=T: T}), SETTINGS)


@pytest.mark.parametrize("size", [(320, 240), (641, 479), (1283, 722)])
def test_images_of_any_size_give_the_distance_of_a_wall(size: tuple[int, int]) -> None:
    """A camera beside a wall 2 m away, by 3 cm per image; most of the wall's texture is within one corner of it."""
    camera, distance, step = PinholeCamera.from_hfov(*size, 60), 2.0, 0.03
    shift = camera.fx * step / distance
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 6, size[0] // 6), np.uint8)
    noise[: len(noise) // 2] = 100 + noise[: len(noise) // 2] // 16
    wall = cv2.resize(noise, (size[0] + round(8 * shift), size[1]), interpolation=cv2.INTER_CUBIC)
    disparity = np.full(size[::-1], 1 / (0.8 * distance), np.float32)
    correct, source = with_values(Config(), {"scale.correct_metric": "factor"}).scale, OdometryScale()
    for i in range(6):
        T = np.eye(4)
        T[0, 3] = step * i
        moved = cv2.warpAffine(wall, np.array([[1, 0, -i * shift], [0, 1, 0]]), size, flags=cv2.INTER_LINEAR)
        view = RelativeView(cv2.cvtColor(moved, cv2.COLOR_GRAY2RGB), disparity, camera, 0.1 * i, metric=True)
        evidence = Evidence({CAMERA_POSE: lambda T=T: T})
        if i >= 4:
            assert source.measure(view, evidence, correct).scale == pytest.approx(0.8, rel=0.01)
        else:
            with contextlib.suppress(DataError):
                source.measure(view, evidence, correct)


def test_of_many_features_each_part_of_the_image_keeps_some() -> None:
    """900 strong ones within a part of the image, 100 weak ones beside it: 400 of them, with all of the weak ones."""
    rng = np.random.default_rng(0)
    strong, weak = rng.uniform(0, 60, (900, 2)), rng.uniform((0, 80), (240, 180), (100, 2))
    kept = _spread(np.concatenate([strong, weak]).astype(np.float32))
    assert len(kept) == 400 == len(np.unique(kept, axis=0))
    assert (kept[:, 1] >= 80).sum() == 100
    few = strong[:30].astype(np.float32)
    assert sorted(map(tuple, _spread(few))) == sorted(map(tuple, few))
