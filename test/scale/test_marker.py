"""scale.source=marker: rendered markers at known poses, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_models import FakeModel, reconstructor
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.scale import marker_finder
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import NOTHING
from mono_depth_recon.scale.marker import MarkerScale, marker_depth
from mono_depth_recon.scale.marker_finder import MarkerFinder, detected
from mono_depth_recon.scale.settings import DICTIONARIES, ScaleSettings

CAMERA = PinholeCamera.from_hfov(640, 480, 70)
SIZE_M, CELLS = 0.2, 40  # of the drawn marker; its white border is as wide as an eighth
FINE = 4  # supersampling
TRUTH = Scale(0.02, 0.0)


def pose(distance: float, pitch_deg: float, yaw_deg: float, across: float = 0.1) -> Matrix:
    """The marker's pose in the camera: facing it, then turned about its own axes."""
    p, y = np.radians((pitch_deg, yaw_deg))
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    T = np.eye(4)
    T[:3, :3] = about_y @ about_x @ np.diag([1.0, -1.0, -1.0])
    T[:3, 3] = across * distance, -0.08 * distance, distance
    return T


def scene(*poses: Matrix, dictionary: str = "APRILTAG_36h11", size_m: float = SIZE_M) -> tuple[Rgb, Depth]:
    """Markers 3, 4, ... before a wall 4 m away: the image and its exact depth."""
    rng = np.random.default_rng(0)
    noise = rng.integers(60, 190, (30, 40), np.uint8)
    fine = CAMERA.resized(FINE * CAMERA.width, FINE * CAMERA.height)
    image = cv2.resize(noise, fine.size, interpolation=cv2.INTER_CUBIC)
    depth = np.full((CAMERA.height, CAMERA.width), 4.0, np.float32)
    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}"))
    for number, T in enumerate(poses, 3):
        drawn = cv2.copyMakeBorder(
            cv2.aruco.generateImageMarker(family, number, 8 * CELLS), *[CELLS] * 4, cv2.BORDER_CONSTANT, value=255
        )
        outer = size_m * 10 / 16  # half the side with its border
        square = np.array([[-outer, outer, 0], [outer, outer, 0], [outer, -outer, 0], [-outer, -outer, 0]])
        corners = square @ T[:3, :3].T + T[:3, 3]
        pixels = corners @ fine.K.T
        side = 10 * CELLS - 0.5
        texture = np.array([[-0.5, -0.5], [side, -0.5], [side, side], [-0.5, side]], np.float32)
        H = cv2.getPerspectiveTransform(texture, (pixels[:, :2] / pixels[:, 2:]).astype(np.float32))
        warped = cv2.warpPerspective(drawn, H, fine.size, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full_like(drawn, 255), H, fine.size) > 127
        image[mask] = warped[mask]
        x, y = CAMERA.rays
        normal = T[:3, 2]
        plane = (normal @ T[:3, 3]) / (normal[0] * x[None, :] + normal[1] * y[:, None] + normal[2])
        covered = cv2.resize(mask.astype(np.uint8), CAMERA.size, interpolation=cv2.INTER_AREA) > 0
        depth[covered] = plane[covered]
    grey = cv2.resize(image, CAMERA.size, interpolation=cv2.INTER_AREA)
    return np.repeat(grey[..., None], 3, axis=2), depth


def settings(**values: object) -> ScaleSettings:
    given = {"source": "marker", "marker_size": SIZE_M, **values}
    return with_values(Config(), {f"scale.{name}": value for name, value in given.items()}).scale


def fitted(rgb: Rgb, depth: Depth, **values: object) -> Scale:
    disparity = ((1 / depth - TRUTH.shift) / TRUTH.scale).astype(np.float32)
    return MarkerScale().fit(RelativeView(rgb, disparity, CAMERA), NOTHING, settings(**values))


@pytest.mark.parametrize("dictionary", ["APRILTAG_36h11", "APRILTAG_25h9", "4X4_50", "6X6_250"])
@pytest.mark.parametrize(
    ("distance", "pitch", "yaw"), [(0.7, 0, 0), (1.0, 30, -20), (1.5, -45, 10), (2.0, 10, 50), (2.5, -20, 30)]
)
def test_a_marker_gives_metres_within_two_percent(dictionary: str, distance: float, pitch: float, yaw: float) -> None:
    rgb, depth = scene(pose(distance, pitch, yaw), dictionary=dictionary)
    fit = fitted(rgb, depth, marker_dictionary=dictionary)
    assert fit.scale == pytest.approx(TRUTH.scale, rel=0.02)
    assert fit.inliers > 0.9 and not fit.doubt


def test_a_given_shift_counts() -> None:
    rgb, depth = scene(pose(1.2, 20, 20))
    disparity = ((1 / depth - 0.1) / 0.05).astype(np.float32)
    fit = MarkerScale().fit(RelativeView(rgb, disparity, CAMERA), NOTHING, settings(shift=0.1))
    assert (fit.scale, fit.shift) == (pytest.approx(0.05, rel=0.02), 0.1)


def test_a_metric_model_is_corrected_by_a_marker() -> None:
    rgb, depth = scene(pose(1.2, 20, 20))
    values = {"source": "marker", "marker_size": SIZE_M, "correct_metric": "factor"}
    running = reconstructor(
        FakeModel(lambda _: depth * np.float32(1.4)), **{f"scale__{k}": v for k, v in values.items()}
    )
    frame = running.process(rgb, CAMERA)
    assert frame.depth is not None and frame.scale is not None
    known = np.isfinite(frame.depth)
    np.testing.assert_allclose(frame.depth[known], depth[known], rtol=0.02)


@pytest.mark.parametrize(
    ("poses", "values", "said"),
    [
        ((), {}, "no marker of APRILTAG_36h11 in view"),
        ((pose(1.0, 0, 0),), {"marker_dictionary": "4X4_50"}, "no marker of 4X4_50 in view"),
        ((pose(1.0, 0, 0),), {"marker_id": 9}, "no marker of APRILTAG_36h11 with id 9 in view"),
        ((pose(0.5, 0, 77, 0.0),), {}, "marker 3 (is seen edge-on|has a side of)|no marker of"),
        ((pose(7.0, 0, 0),), {}, r"marker 3 has a side of 1\d pixels, of at least 14|no marker of"),
    ],
)
def test_what_gives_no_metres_is_said(poses: tuple[Matrix, ...], values: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fitted(*scene(*poses), **values)


def test_a_marker_that_moves_is_found_where_a_whole_search_finds_it() -> None:
    """Near to where it was, and in an image of half the size where it was not."""
    finder, given = MarkerFinder(), settings()
    empty, _ = scene()
    assert not finder.find(empty, given) and not finder.find(empty, given)
    for step in range(11):
        rgb, _ = scene(pose(1.5, 20, 3.0 * step, 0.03 * step - 0.15))
        ((number, corners),) = finder.find(rgb, given)
        ((expected, exact),) = detected(rgb, given)
        assert number == expected == 3
        np.testing.assert_allclose(corners, exact, atol=0.1)
    assert not finder.find(empty, given)


def test_another_marker_is_seen_within_ten_images() -> None:
    finder, given = MarkerFinder(), settings()
    one, both = scene(pose(1.5, 0, 0, -0.3))[0], scene(pose(1.5, 0, 0, -0.3), pose(2.0, 10, 0, 0.2))[0]
    assert len(finder.find(one, given)) == 1
    counts = [len(finder.find(both, given)) for _ in range(10)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 2
    near = scene(pose(1.5, 0, 0, -0.05), pose(1.5, 0, 0, 0.15))[0]
    finder = MarkerFinder()
    for _ in range(2):
        assert sorted(number for number, _ in finder.find(near, given)) == [3, 4], (
            "each once, though near to each other"
        )


def tiles(side_px: int) -> Rgb:
    """Dark squares on a bright wall, each of which could be a marker."""
    grey, step = np.full((CAMERA.height, CAMERA.width), 180, np.uint8), side_px + 6
    for top in range(3, CAMERA.height - step, step):
        for left in range(3, CAMERA.width - step, step):
            grey[top : top + side_px, left : left + side_px] = 60
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("side_px", [14, 26])
def test_among_tiles_each_image_has_little_work(monkeypatch: pytest.MonkeyPatch, side_px: int) -> None:
    """Up to 768 squares in view: they are never compared with all ids one by one, and no image is searched whole."""
    searched: list[tuple[int, int]] = []  # pixels, and ids that each square in them is compared with
    real = marker_finder._searched

    def counted(grey: NDArray[np.uint8], family: object, parameters: object) -> object:
        searched.append((grey.size, len(family.bytesList)))  # type: ignore[attr-defined]
        return real(grey, family, parameters)

    compared: list[int] = []
    shades = marker_finder._shades
    monkeypatch.setattr(marker_finder, "_searched", counted)
    monkeypatch.setattr(marker_finder, "_shades", lambda g, q, n: compared.append(len(q)) or shades(g, q, n))
    finder, given, wall = MarkerFinder(), settings(), tiles(side_px)
    assert not finder.find(wall, given)
    assert sum(compared) > 500, "all of the first image"
    for _ in range(10):
        searched.clear(), compared.clear()
        assert not finder.find(wall, given)
        assert len(searched) == 1 and searched[0][0] < 0.31 * 640 * 480 and searched[0][1] == 1
        assert len(compared) == 1 and compared[0] <= 400
    marked, rgb = wall.copy(), scene(pose(1.6, 10, 15))[0]
    ((_, corners),) = detected(rgb, given)
    (left, top), (right, bottom) = corners.min(axis=0).astype(int) - 9, corners.max(axis=0).astype(int) + 10
    marked[top:bottom, left:right] = rgb[top:bottom, left:right]
    numbers = [[number for number, _ in finder.find(marked, given)] for _ in range(10)]
    assert numbers == sorted(numbers) and numbers[-1] == [3], "found, and kept"
    searched.clear()
    finder.find(marked, given)
    assert all(ids == 1 for _, ids in searched) and sum(pixels for pixels, _ in searched) < 0.5 * 640 * 480


@pytest.mark.parametrize("distance", [0.4, 0.8, 1.6, 3.0, 5.0])
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (400, 720)])
def test_a_marker_anywhere_is_found_once_all_parts_were_searched(size: tuple[int, int], distance: float) -> None:
    """At the left, the middle and the right of an image, of any size that a whole search finds."""
    family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    side = round(120 / distance)
    drawn = cv2.copyMakeBorder(
        cv2.aruco.generateImageMarker(family, 5, side), *[side // 8] * 4, cv2.BORDER_CONSTANT, value=255
    )
    for share in (0.0, 0.45, 1.0):
        grey = np.full(size[::-1], 120, np.uint8)
        left, top = (round(share * (length - len(drawn))) for length in size)
        grey[top : top + len(drawn), left : left + len(drawn)] = drawn
        rgb, finder, given = np.repeat(grey[..., None], 3, axis=2), MarkerFinder(), settings()
        finder.find(np.full_like(rgb, 120), given)
        expected = [number for number, _ in detected(rgb, given)]
        parts = len(marker_finder._parts(*size))
        assert expected in [[number for number, _ in finder.find(rgb, given)] for _ in range(parts)], (share, side)


def test_a_marker_that_is_no_longer_wanted_is_not_followed() -> None:
    """scale.marker_id may change at any time."""
    rgb, _ = scene(pose(1.5, 0, 0, -0.3), pose(1.5, 10, 0, 0.2))
    finder = MarkerFinder()
    assert sorted(number for number, _ in finder.find(rgb, settings())) == [3, 4]
    assert [number for number, _ in finder.find(rgb, settings(marker_id=4))] == [4]
    assert not finder.find(rgb, settings(marker_id=9))
    assert not finder.find(rgb, settings(marker_dictionary="4X4_50"))


def test_no_more_than_four_markers_are_followed() -> None:
    rgb, _ = scene(*(pose(1.5, 0, 0, across) for across in (-0.45, -0.25, -0.05, 0.15, 0.35)))
    finder, given = MarkerFinder(), settings()
    for _ in range(3):
        assert len(finder.find(rgb, given)) == 4


@pytest.mark.parametrize("name", DICTIONARIES)
def test_markers_of_every_dictionary_are_read(name: str) -> None:
    """Turned by each quarter; the last of its ids."""
    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{name}"))
    number, side = len(family.bytesList) - 1, 60
    drawn = cv2.aruco.generateImageMarker(family, number, side)
    grey = np.full((300, 340), 200, np.uint8)
    for turn in range(4):
        top, left = 20 + 140 * (turn // 2), 20 + 160 * (turn % 2)
        grey[top : top + side, left : left + side] = np.rot90(drawn, turn)
    given = settings(marker_dictionary=name)
    proposed = marker_finder._proposed(grey, marker_finder._parts(340, 300)[0], given)
    assert [number for number, _ in proposed] == [number] * 4


def test_a_marker_seen_edge_on_is_refused() -> None:
    T = pose(0.3, 0, 78, 0.1)
    half = SIZE_M / 2
    square = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    pixels = (square @ T[:3, :3].T + T[:3, 3]) @ CAMERA.K.T
    with pytest.raises(DataError, match=r"is seen edge-on, \d+ degrees from its plane, of at least 15"):
        marker_depth(pixels[:, :2] / pixels[:, 2:], CAMERA, SIZE_M)


def test_markers_that_contradict_each_other_are_refused() -> None:
    """One as large as it is said, and one of twice that size, whose depth seems to be half."""
    rgb, depth = scene(pose(1.5, 0, 0, -0.3), pose(2.0, 10, 0, 0.2))
    assert not fitted(rgb, depth).doubt
    left, small = scene(pose(1.5, 0, 0, -0.3)), scene(pose(9.0, 0, 0, -0.5), pose(1.5, 0, 0, 0.3), size_m=2 * SIZE_M)
    side = np.arange(640) < 320
    rgb, depth = np.where(side[None, :, None], left[0], small[0]), np.where(side, left[1], small[1])
    with pytest.raises(DataError, match=r"markers [34] and [34] contradict each other by a factor of (1.9|2.0)\d"):
        fitted(rgb, depth)
    assert fitted(rgb, depth, marker_id=3).scale == pytest.approx(TRUTH.scale, rel=0.02)


def test_the_dictionary_is_one_of_opencvs() -> None:
    for name in DICTIONARIES:
        assert hasattr(cv2.aruco, f"DICT_{name}"), name
    with pytest.raises(ConfigError, match=r"scale.marker_dictionary must be one of"):
        settings(marker_dictionary="QR")
