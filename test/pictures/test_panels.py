"""Colours of depth, PNG files, and headless views: their content, checked by pixel where truth is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from processes import DEADLINE_S

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.cloud import Cloud, cloud_from_organised
from mono_depth_recon.errors import DataError
from mono_depth_recon.mesh.grid import mesh_grid
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.pictures.panels import (
    Panel,
    colorize_depth,
    colorize_disparity,
    compose,
    depth_limits,
    depth_panel,
    overview,
    write_depth_png,
    write_png,
)
from mono_depth_recon.pictures.views import VIEWS, View, vertex_normals, view_cloud, view_mesh

FRONT = View("front", 0.0, 0.0)


def test_colours_are_matplotlibs_plasma() -> None:
    depth = np.linspace(1, 3, 640 * 480, dtype=np.float32).reshape(480, 640)
    expected = matplotlib.colormaps["plasma"]((depth - 1) / 2)[..., :3] * 255
    assert np.abs(colorize_depth(depth, 1.0, 3.0).astype(float) - expected).max() <= 7  # two of 254 steps


def test_unknown_is_black_and_what_lies_outside_takes_the_end_colours() -> None:
    depth = np.array([[np.nan, 0.1, 1.0, 3.0, 50.0, np.inf]], np.float32)
    kept = depth.copy()
    unknown, below, near, far, beyond, infinite = colorize_depth(depth, 1.0, 3.0)[0].astype(int)
    assert not unknown.any() and below.tolist() == near.tolist() and near.any()
    assert far.tolist() == beyond.tolist() == infinite.tolist()
    assert near[2] > 100 and far[:2].min() > 200  # blue, yellow
    np.testing.assert_array_equal(depth, kept)


def test_limits_are_percentiles_and_survive_nothing_known() -> None:
    depth = np.linspace(1, 3, 481 * 641, dtype=np.float32).reshape(481, 641)
    assert depth_limits(depth) == pytest.approx(np.percentile(depth, (2, 98)), abs=0.02)
    assert depth_limits(np.full((4, 4), np.nan, np.float32)) == (0.0, 1.0)
    lone = np.full((480, 640), np.nan, np.float32)
    lone[13, 77] = 2.0
    near, far = depth_limits(lone)
    assert near == 2.0 < far
    assert not colorize_depth(np.full((4, 4), np.nan, np.float32)).any()
    with pytest.raises(DataError, match="near < far"):
        colorize_depth(depth, 2.0, 2.0)


def test_png_files_come_back_and_refusals_are_one_line(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 43, 3), np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    depth = np.array([[np.nan, np.inf, 0.0004, 0.0006], [1.2345, 65.535, 65.6, 2.0]], np.float32)
    write_depth_png(tmp_path / "d.png", depth)
    back = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert back.tolist() == [[0, 0, 0, 1], [1234, 65535, 0, 2000]] or back[1, 0] == 1235
    with pytest.raises(DataError, match="cannot write"):
        write_png(tmp_path / "gone" / "a.png", image)


def _wall(depth_m: float = 2.0) -> tuple[Cloud, Mesh]:
    """A wall in front of the camera: red on the left, blue on the right, dark in the lower half."""
    camera = PinholeCamera.from_hfov(160, 120, 50.0)
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80, 0] = rgb[:, 80:, 2] = 220
    rgb[60:] //= 4
    points = back_project(np.full((120, 160), depth_m, np.float32), camera, rgb)
    return cloud_from_organised(points), mesh_grid(points, 0.05)


def _quarters(picture: NDArray[np.uint8]) -> list[list[float]]:
    """Mean colours around the centres of the four quarters: upper left, upper right, lower left, lower right."""
    height, width = picture.shape[:2]
    return [
        picture[int(y * height) : int(y * height) + 10, int(x * width) : int(x * width) + 10].mean(axis=(0, 1)).tolist()
        for y in (0.3, 0.65)
        for x in (0.3, 0.65)
    ]


@pytest.mark.parametrize("what", ["cloud", "mesh"])
def test_a_view_from_the_front_shows_the_wall_as_it_was_seen(what: str) -> None:
    cloud, mesh = _wall()
    picture = view_cloud(cloud, FRONT, (320, 240)) if what == "cloud" else view_mesh(mesh, FRONT, (320, 240))
    assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8
    upper_left, upper_right, lower_left, lower_right = _quarters(picture)
    assert upper_left[0] > 120 > upper_left[2] and upper_right[2] > 120 > upper_right[0]
    assert lower_left[0] < 0.6 * upper_left[0] and lower_right[2] < 0.6 * upper_right[2]
    assert picture[2, 2].min() > 200  # background around it
    wall = (picture.min(axis=-1) < 120).mean()
    assert 0.6 < wall < 0.98  # fills the picture, and fits into it


@pytest.mark.parametrize("view", [FRONT, *VIEWS], ids=lambda view: view.name)
def test_a_slanted_wall_is_closed_and_its_hole_stays_open(view: View) -> None:
    """At ray angles of 11 to 20 degrees, rows are up to five times as far apart as columns."""
    camera = PinholeCamera.from_hfov(320, 240, 50.0)
    depth = 1.5 / (1 + camera.rays[1] / np.tan(np.radians(15.0)))  # leans towards the camera with growing y
    depth = np.repeat(np.where((depth > 0.7) & (depth < 2), depth, np.nan)[:, None], 320, axis=1).astype(np.float32)
    points = back_project(depth, camera, np.full((240, 320, 3), 60, np.uint8))
    hole = (np.abs(points[..., 0]) < 0.1) & (np.abs(points[..., 2] - 1.2) < 0.15)
    whole, holed = (
        view_cloud(cloud_from_organised(p), view).min(axis=-1) < 150
        for p in (points, np.where(hole[..., None], np.float32(np.nan), points))
    )
    filled = cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
    assert whole.mean() > 0.1 and (filled & ~whole).sum() < 0.002 * whole.sum()
    expected = hole.sum() / np.isfinite(points[..., 2]).sum()
    assert (whole & ~holed).mean() > 0.25 * expected * whole.mean()


def test_a_nearer_wall_hides_what_is_behind_it() -> None:
    wall, _ = _wall()
    camera = PinholeCamera.from_hfov(80, 60, 30.0)
    green = np.full((60, 80, 3), (0, 255, 0), np.uint8)
    behind = cloud_from_organised(back_project(np.full((60, 80), 3.0, np.float32), camera, green))
    for order in ((wall, behind), (behind, wall)):
        both = Cloud(np.concatenate([c.points for c in order]), np.concatenate([c.colors for c in order]))
        shown = view_cloud(both, FRONT, (320, 240)).astype(int)
        assert not ((shown[..., 1] > 150) & (shown[..., 0] < 100)).any()


def test_orbiting_to_the_right_shows_the_right_end_nearer() -> None:
    """From the right the right edge of the wall is taller in the picture, from the left the left edge."""
    _, mesh = _wall()
    for azimuth, nearer in ((40.0, -1), (-40.0, 0)):
        covered = view_mesh(mesh, View("", azimuth, 0.0), (320, 240)).min(axis=-1) < 120
        heights = covered.sum(axis=0)[covered.any(axis=0)]
        assert heights[nearer] > 1.2 * heights[-1 - nearer]


def test_a_raised_view_sees_a_floor_wider_than_from_the_front() -> None:
    camera = PinholeCamera.from_hfov(160, 120, 60.0)
    with np.errstate(divide="ignore"):
        floor = np.where(camera.rays[1] > 0.05, 1.0 / camera.rays[1], np.nan).astype(np.float32)  # one metre below
    depth = np.repeat(np.where(floor < 6, floor, np.nan)[:, None], 160, axis=1)
    mesh = mesh_grid(back_project(depth, camera, np.full((120, 160, 3), 90, np.uint8)), 0.5)
    level, raised = (view_mesh(mesh, View("", 0.0, elevation), (320, 240)) for elevation in (0.0, 40.0))
    assert (raised.max(axis=-1) < 200).mean() > 1.3 * (level.max(axis=-1) < 200).mean()


def test_vertex_normals_of_a_wall_face_the_camera() -> None:
    np.testing.assert_allclose(vertex_normals(_wall()[1]), np.tile([0, 0, -1.0], (120 * 160, 1)), atol=1e-5)


def test_nothing_to_draw_is_refused() -> None:
    nothing = np.empty((0, 3), np.float32)
    with pytest.raises(DataError, match="points to draw"):
        view_cloud(Cloud(nothing, nothing.astype(np.uint8)), FRONT)
    with pytest.raises(DataError, match="triangles to draw"):
        view_mesh(Mesh(nothing, np.empty((0, 3), np.int32), nothing.astype(np.uint8)), FRONT)


def test_views_need_no_display_and_no_environment(tmp_path: Path) -> None:
    code = f"""if True:
        import sys; sys.path[:] = {sys.path!r}
        import numpy as np
        from pathlib import Path
        from mono_depth_recon.cloud.cloud import Cloud
        from mono_depth_recon.mesh.mesh import Mesh
        from mono_depth_recon.pictures.panels import write_png
        from mono_depth_recon.pictures.views import VIEWS, view_cloud, view_mesh
        corners = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 3]], np.float32)
        mesh = Mesh(corners, np.array([[0, 2, 1], [0, 3, 2]], np.int32), np.full((4, 3), 100, np.uint8))
        write_png(Path({str(tmp_path)!r}) / 'mesh.png', view_mesh(mesh, VIEWS[0], (160, 120)))
        write_png(Path({str(tmp_path)!r}) / 'cloud.png', view_cloud(Cloud(corners, mesh.colors), VIEWS[1], (160, 120)))
        print('matplotlib' in sys.modules)"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout == "False\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cloud.png", "mesh.png"]


def test_the_bar_of_metres_spans_the_depth_of_the_panel() -> None:
    depth = np.tile(np.linspace(1, 3, 640, dtype=np.float32), (480, 1))
    panel = depth_panel(depth, "embedded model")
    near, far = depth_limits(depth)
    left = panel.image.shape[1] - 70
    bar = panel.image[:, left]
    colored = np.flatnonzero(bar.min(axis=1) < 240)
    ends = colorize_depth(np.array([[near, far]], np.float32), near, far)[0].astype(int)
    shown = bar[colored[[-1, 0]]].astype(int)
    assert np.abs(shown - ends).max() <= 4
    assert panel.note == "embedded model"
    depth[0, 0] = np.nan
    assert depth_panel(depth, "embedded model").note == "embedded model, black: unknown"
    assert depth_panel(depth).note == "black: unknown"


def test_the_overview_places_every_panel_and_takes_other_shapes() -> None:
    cloud, mesh = _wall()
    depth = np.full((120, 200), 2.0, np.float32)
    depth[:, :100] = 1.0
    rgb = np.full((120, 200, 3), (200, 30, 40), np.uint8)
    picture = overview(
        rgb,
        depth,
        [Panel(view_cloud(cloud, view, (320, 240)), "Cloud", view.name) for view in VIEWS],
        [Panel(view_mesh(mesh, view, (320, 240)), "Mesh", view.name) for view in VIEWS],
        "A wall",
        attribution="nobody's data",
    )
    without = overview(rgb, depth, [Panel(view_cloud(cloud, VIEWS[0]), "Cloud")], [], "A wall")
    assert picture.dtype == np.uint8 and picture.shape[1] > 1900 and picture.shape[0] > without.shape[0]
    assert (np.abs(picture.astype(int) - (200, 30, 40)).max(axis=-1) < 3).sum() == 640 * 384  # 200x120 in 640x480
    assert (picture[-40:] < 180).any()  # the attribution


def test_panels_fill_rows() -> None:
    panel = Panel(np.zeros((48, 64, 3), np.uint8), "black")
    one, four = compose([panel], "t", columns=2), compose([panel] * 4, "t", columns=2)
    assert one.shape[1] == four.shape[1]
    assert (four.max(axis=-1) == 0).sum() == pytest.approx(4 * (one.max(axis=-1) == 0).sum(), rel=0.01)


def test_disparity_is_coloured_as_depth_is() -> None:
    """Near dark blue, far yellow, unknown black, whatever unit and offset a model's disparity has."""
    depth = np.geomspace(0.5, 9.0, 64 * 48, dtype=np.float32).reshape(48, 64)
    for scale, shift in ((1.0, 0.0), (1e-4, -7e-5), (300.0, 20.0)):
        disparity = (scale / depth + shift).astype(np.float32)
        disparity[0, :4] = np.nan
        picture = colorize_disparity(disparity).astype(int)
        assert not picture[0, :4].any()
        near, far = picture[1].mean(axis=0), picture[-1].mean(axis=0)
        assert near[2] > near[0] + 50 and far[0] > far[2] + 50
    flat = colorize_disparity(np.full((4, 4), 3.0, np.float32))
    assert (flat == flat[0, 0]).all() and flat.any()
