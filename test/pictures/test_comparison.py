"""Images that compare models: error colours, a common scale, WebP of limited size, the sheet of a frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.cloud.cloud import cloud_from_organised
from mono_depth_recon.errors import DataError
from mono_depth_recon.mesh.grid import mesh_grid
from mono_depth_recon.pictures.comparison import (
    colorize_error,
    colorize_heat,
    common_limits,
    comparison,
    depth_stops,
    error_stops,
    heat_sheet,
    relative_error,
    webp,
)
from mono_depth_recon.pictures.panels import colorize_depth, depth_panel
from mono_depth_recon.pictures.views import View, view_cloud, view_mesh


def test_relative_errors_are_signed_and_unknown_where_either_is() -> None:
    truth = np.array([[1.0, 2.0, np.nan, 0.0, 4.0]], np.float32)
    depth = np.array([[1.5, 1.0, 2.0, 1.0, np.nan]], np.float32)
    np.testing.assert_array_equal(relative_error(depth, truth), [[0.5, -0.5, np.nan, np.nan, np.nan]])


def test_errors_are_blue_where_too_near_red_where_too_far_and_black_where_unknown() -> None:
    near, right, far, beyond, unknown = colorize_error(np.array([[-0.4, 0.0, 0.4, 9.0, np.nan]], np.float32))[0].astype(
        int
    )
    assert near[2] > near[0] + 60 and far[0] > far[2] + 60
    assert right.min() > 235 and np.ptp(right) < 6, "near-white in the middle"
    assert beyond.tolist() == colorize_error(np.array([[0.5]], np.float32))[0, 0].tolist()
    assert unknown.tolist() == [0, 0, 0]


def test_the_colours_of_both_signs_are_equally_light() -> None:
    """Without hues, errors of equal size look the same on both sides."""
    levels = np.linspace(0.05, 1, 20, dtype=np.float32)
    light = [
        cv2.cvtColor(colorize_error(sign * levels[None], 1.0), cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
        for sign in (1, -1)
    ]
    assert np.abs(light[0] - light[1]).max() < 35
    assert all((np.diff(each) <= 0).all() for each in light), "the larger the darker"


def test_heat_grows_from_dark_to_light_and_unknown_is_grey() -> None:
    colors = colorize_heat(np.array([[0.0, 0.25, 0.5, 7.0, np.nan]], np.float32))[0].astype(int)
    sums = colors.sum(axis=1)
    assert sums[0] < sums[1] < sums[2] == sums[3] and colors[4].tolist() == [128, 128, 128]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_meaningless_limits_are_refused(limit: float) -> None:
    with pytest.raises(DataError, match="positive"):
        colorize_error(np.zeros((2, 2), np.float32), limit)
    with pytest.raises(DataError, match="positive"):
        colorize_heat(np.zeros((2, 2), np.float32), limit)


def test_one_scale_spans_all_frames() -> None:
    frames = {"a": np.full((20, 20), 2.0, np.float32), "b": np.linspace(1, 5, 400, dtype=np.float32).reshape(20, 20)}
    near, far = common_limits(frames)
    assert near == pytest.approx(1.08, abs=0.05) and far == pytest.approx(4.92, abs=0.05)
    assert common_limits({}) == (0.0, 1.0)


def test_bars_have_the_colours_of_the_maps() -> None:
    ends = colorize_depth(np.array([[0.0, 1.0]], np.float32), 0.0, 1.0)[0].tolist()
    stops = depth_stops()
    assert [stops[0], stops[-1]] == ["#{:02x}{:02x}{:02x}".format(*color) for color in ends]
    assert len(set(stops)) == len(stops) > 8 and error_stops()[len(error_stops()) // 2] == "#f6f6f4"


def test_webp_keeps_colours_and_limits_the_width() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 32:] = (200, 40, 90)
    back = cv2.imdecode(np.frombuffer(webp(image, 1000, 95), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert back.shape == image.shape and np.abs(back[:, 44:].astype(int) - image[:, 44:]).max() < 12
    assert cv2.imdecode(np.frombuffer(webp(image, 16), np.uint8), cv2.IMREAD_COLOR).shape == (12, 16, 3)


def test_a_sheet_shows_equal_depths_in_equal_colours() -> None:
    rgb = np.full((60, 80, 3), 90, np.uint8)
    truth = np.linspace(1, 3, 4800, dtype=np.float32).reshape(60, 80)
    sheet = comparison(
        rgb,
        truth,
        {"exact": truth.copy(), "far": truth * 2},
        {"exact": "AbsRel 0"},
        "A frame",
        (1.0, 3.0),
        "somebody's",
    )
    assert sheet.shape == (84 + 2 * 524 + 40, 64 + 4 * 640 + 3 * 20, 3) and sheet.dtype == np.uint8
    rows = [slice(84 + 524 * i + 60, 84 + 524 * i + 420) for i in range(2)]
    columns = [slice(32 + 660 * i + 20, 32 + 660 * i + 500) for i in range(4)]
    true, exact, error = (sheet[rows[0], columns[i]].astype(int) for i in (1, 2, 3))
    assert np.abs(true - exact).max() == 0 and np.median(error, axis=(0, 1)).min() > 235, "no error is near-white"
    assert np.abs(sheet[rows[1], columns[1]].astype(int) - true).max() == 0, "each model beside the same truth"
    far = sheet[rows[1], columns[3]].astype(int).reshape(-1, 3)
    assert np.median(far[:, 0]) > np.median(far[:, 2]) + 60, "twice as far is red"


def test_a_sheet_of_mean_errors_has_a_panel_for_each_model() -> None:
    one = heat_sheet({"a": np.zeros((6, 8), np.float32)}, "Mean error")
    three = heat_sheet({name: np.zeros((6, 8), np.float32) for name in "abc"}, "Mean error", "somebody's")
    assert three.shape[1] > 2.5 * one.shape[1]


def test_depth_panels_share_a_scale() -> None:
    depth = np.full((60, 80), 2.0, np.float32)
    own, shared = depth_panel(depth), depth_panel(depth, "a note", "Prediction", (1.0, 3.0))
    assert (shared.caption, shared.note) == ("Prediction", "a note")
    middle = colorize_depth(np.array([[2.0]], np.float32), 1.0, 3.0)[0, 0]
    assert np.array_equal(shared.image[200, 200], middle) and not np.array_equal(own.image[200, 200], middle)


@pytest.mark.parametrize("kind", ["cloud", "mesh"])
def test_clouds_and_meshes_of_one_scene_are_seen_from_one_place(kind: str) -> None:
    """Half of a wall stays where it was in the picture of the whole wall."""
    across, up = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-0.7, 0.7, 50))
    points = np.stack([across, up, np.full(across.shape, 2.0), np.zeros(across.shape)], axis=-1).astype(np.float32)
    half = points.copy()
    half[:, 30:] = np.nan
    whole = cloud_from_organised(points).points
    view = View("front", 0.0, 0.0)

    def seen(organised: NDArray[np.float32], scene: NDArray[np.float32] | None) -> NDArray[np.bool_]:
        made = (
            view_cloud(cloud_from_organised(organised), view, (160, 120), scene)
            if kind == "cloud"
            else view_mesh(mesh_grid(organised, 0.5), view, (160, 120), scene=scene)
        )
        return made.max(axis=-1) < 120

    full, part = seen(points, None), seen(half, whole)
    assert (part & ~full).mean() < 0.01 and part[:, 85:].sum() == 0
    assert 0.42 < part.sum() / full.sum() < 0.55
    assert seen(half, None)[:, 85:].sum() > 0, "alone it stands in the middle"
