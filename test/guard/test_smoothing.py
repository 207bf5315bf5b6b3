"""The temporal filter: less flicker where nothing moves, edges of what moves stay where they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from made_walks import CAMERA, Board, pose, view

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.config import GuardConfig
from mono_depth_recon.guard.guard import Guard

KEPT = 0.8


def filtered(frames: list[tuple[Rgb, Depth]], kept: float = KEPT) -> list[Depth]:
    guard, made = Guard(), []
    for i, (rgb, depth) in enumerate(frames):
        made.append(guard.judge(rgb, depth, CAMERA, i / 15, GuardConfig(smoothing=kept))[1])
    assert all(depth is not None for depth in made)
    return [depth for depth in made if depth is not None]


def with_noise(frames: list[tuple[Rgb, Depth]], share: float) -> list[tuple[Rgb, Depth]]:
    """Each pixel by itself, and all of an image together."""
    rng = np.random.default_rng(4)
    return [
        (rgb, (depth * (1 + share * rng.normal(size=depth.shape) + share / 2 * rng.normal())).astype(np.float32))
        for rgb, depth in frames
    ]


def flicker(made: list[Depth]) -> float:
    return float(np.mean([np.abs(after / before - 1).mean() for before, after in pairwise(made[8:])]))


@pytest.mark.parametrize(("step", "share"), [(0.0, 0.4), (0.02, 0.55)])
def test_flicker_and_error_of_a_noisy_scene_shrink(step: float, share: float) -> None:
    exact = [view(pose(z=step * i)) for i in range(20)]
    noisy = with_noise(exact, 0.02)
    before, after = [depth for _, depth in noisy], filtered(noisy)
    assert flicker(after) < share * flicker(before)
    errors = [np.abs(made / true - 1).mean() for made, (_, true) in zip(after[8:], exact[8:], strict=True)]
    raw = [np.abs(made / true - 1).mean() for made, (_, true) in zip(before[8:], exact[8:], strict=True)]
    assert np.mean(errors) < 0.7 * np.mean(raw)


@pytest.mark.parametrize("camera_step", [0.0, 0.03])
def test_the_edge_of_a_moving_thing_stays_where_it_is(camera_step: float) -> None:
    """Depth on the wrong side of the edge of the board would be wrong by half or by double."""
    frames = [view(pose(x=camera_step * i), [Board((0.05 * i - 0.4, 0.0, 1.5), 0.3)]) for i in range(12)]
    for made, (_, true) in zip(filtered(frames), frames, strict=True):
        off = np.abs(made / true - 1)
        assert off.max() < 0.03, "also what the board uncovers and covers is the new depth"
        assert camera_step or (off > 0.01).mean() < 0.002


def test_a_camera_that_moves_takes_its_depth_along() -> None:
    frames = [view(pose(0.04 * i, 0.0, 0.08 * i, -2.0 * i)) for i in range(10)]
    for made, (_, true) in zip(filtered(frames), frames, strict=True):
        assert np.quantile(np.abs(made / true - 1), 0.99) < 0.01


def test_unknown_pixels_stay_as_they_are() -> None:
    frames = [(rgb, depth.copy()) for rgb, depth in [view(pose())] * 3]
    frames[0][1][:60], frames[1][1][100:120], frames[2][1][:, :50], frames[2][1][200:] = np.nan, np.inf, np.nan, np.inf
    made = filtered(frames)
    for depth, (_, new) in zip(made, frames, strict=True):
        np.testing.assert_array_equal(np.isnan(depth), np.isnan(new))
        np.testing.assert_array_equal(np.isposinf(depth), np.isposinf(new))


def test_a_jump_and_another_scene_are_not_blended() -> None:
    rgb, depth = view(pose())
    other_rgb, other = view(pose(yaw_deg=170), seed=7)
    frames = [(rgb, depth), (rgb, depth * np.float32(1.08)), (other_rgb, other)]
    made = filtered(frames)
    for found, (_, new) in zip(made, frames, strict=True):
        np.testing.assert_array_equal(found, new)


def test_without_it_depth_is_passed_on_as_it_is() -> None:
    frames = with_noise([view(pose())] * 3, 0.02)
    for found, (_, new) in zip(filtered(frames, 0.0), frames, strict=True):
        assert found is new
