"""The camera against analytic rays, cv2.resize, and the projection functions of OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.camera import DISTORTION_LENGTHS, PinholeCamera
from mono_depth_recon.errors import CalibrationError, DataError
from mono_depth_recon.plausibility import plausible

F32 = NDArray[np.float32]
K = np.array([[517.3, 0, 318.6], [0, 516.5, 255.3], [0, 0, 1]])
LENSES = [
    ("plumb_bob", (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    ("plumb_bob", (-0.28, 0.07, 0.0002, 0.00002)),
    ("rational_polynomial", (0.42, -0.15, 0.0003, -0.0002, 0.02, 0.75, -0.02, 0.05)),
    ("equidistant", (-0.012, 0.008, -0.006, 0.001)),
]


def camera(
    D: tuple[float, ...] = (),
    model: str = "plumb_bob",
    R: NDArray[np.float64] | None = None,
    P: NDArray[np.float64] | None = None,
    size: tuple[int, int] = (640, 480),
) -> PinholeCamera:
    return PinholeCamera(*size, K, D, model, R, P)


def small_rotation() -> NDArray[np.float64]:
    return cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0].astype(np.float64)


def new_P() -> NDArray[np.float64]:
    return np.array([[480.0, 0, 322.0, -30.0], [0, 482.0, 238.0, 0], [0, 0, 1, 0]])


def project(rays: NDArray[np.float64], lens: PinholeCamera) -> NDArray[np.float64]:
    """(N, 3) points of the raw camera to (N, 2) raw pixels, by OpenCV's projection."""
    D, still = np.array(lens.D), np.zeros(3)
    if lens.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(rays[None], still, still, lens.K, D)
    else:
        pixels, _ = cv2.projectPoints(rays, still, still, lens.K, D)
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def test_rays_go_through_pixel_centres_at_integers() -> None:
    x, y = camera().rays
    assert x.shape == (640,)
    assert y.shape == (480,)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(x, [(u - 318.6) / 517.3 for u in range(640)], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(y, [(v - 255.3) / 516.5 for v in range(480)], rtol=1e-6, atol=1e-7)


def test_the_field_of_view_goes_from_edge_to_edge() -> None:
    made = PinholeCamera.from_hfov(641, 37, 70.0)
    left, right = (-0.5 - made.cx) / made.fx, (640.5 - made.cx) / made.fx
    assert np.degrees(np.arctan(right) - np.arctan(left)) == pytest.approx(70.0)
    assert (made.fx, made.cx, made.cy) == (made.fy, 320.0, 18.0)
    for hfov in (1.0, 170.0):
        assert 2 * np.degrees(np.arctan(320 / PinholeCamera.from_hfov(640, 480, hfov).fx)) == pytest.approx(hfov)
    for hfov in (0.9, 170.5):
        with pytest.raises(CalibrationError, match=f"horizontal field of view must be 1 to 170 degrees, got {hfov}"):
            PinholeCamera.from_hfov(640, 480, hfov)


def rays_image(of: PinholeCamera) -> F32:
    """(H, W, 2) float32: x / z and y / z of every pixel: a picture of the direction of every pixel."""
    return np.stack(np.meshgrid(*of.rays), axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "interpolation"),
    [
        ((320, 240), cv2.INTER_AREA),
        ((128, 96), cv2.INTER_AREA),
        ((320, 256), cv2.INTER_LINEAR),
        ((960, 720), cv2.INTER_LINEAR),
        ((1001, 333), cv2.INTER_LINEAR),
    ],
)
def test_the_resized_camera_looks_where_the_resized_image_does(size: tuple[int, int], interpolation: int) -> None:
    resized = camera().resized(*size)
    assert resized.size == size
    picture = cv2.resize(rays_image(camera()), size, interpolation=interpolation)
    inner = slice(4, -4)  # cv2 repeats the border
    np.testing.assert_allclose(picture[inner, inner], rays_image(resized)[inner, inner], atol=2e-6)


def test_resizing_keeps_the_field_of_view_and_goes_back() -> None:
    original = PinholeCamera(640, 480, K, P=new_P())
    resized = original.resized(357, 211)
    edge = (-0.5 - original.cx) / original.fx
    assert (-0.5 - resized.cx) / resized.fx == pytest.approx(edge)
    back = resized.resized(640, 480)
    np.testing.assert_allclose(back.K, K, rtol=1e-12)
    np.testing.assert_allclose(back.rectified.K, new_P()[:, :3], rtol=1e-12)


def test_the_cropped_camera_looks_where_the_window_does() -> None:
    window = camera().cropped(17, 31, 203, 101)
    assert window.size == (203, 101)
    np.testing.assert_allclose(rays_image(window), rays_image(camera())[31:132, 17:220], atol=1e-6)


def test_the_mirrored_camera_looks_where_the_mirrored_image_does() -> None:
    original = PinholeCamera(640, 480, K, P=new_P())
    mirrored = original.mirrored()
    assert mirrored.size == (640, 480) and np.array_equal(original.K, K)
    for before, after in ((original, mirrored), (original.rectified, mirrored.rectified)):
        np.testing.assert_allclose(rays_image(after), rays_image(before)[:, ::-1] * (-1, 1), atol=1e-6)
    with pytest.raises(CalibrationError, match=r"^an image must be rectified before it is mirrored"):
        camera(LENSES[0][1]).mirrored()


@pytest.mark.parametrize(("x", "y"), [(2, 2), (4, 3), (1, 2)])
def test_binning_divides_as_image_geometry_does(x: int, y: int) -> None:
    binned = PinholeCamera(641, 481, K, P=new_P()).binned(x, y)
    assert binned.size == (641 // x, 481 // y)
    np.testing.assert_allclose(binned.K, np.diag([1 / x, 1 / y, 1]) @ K, rtol=1e-12)
    np.testing.assert_allclose(binned.rectified.K, np.diag([1 / x, 1 / y, 1]) @ new_P()[:, :3], rtol=1e-12)


@pytest.mark.parametrize(("model", "D"), LENSES)
@pytest.mark.parametrize("turned", [False, True])
def test_rectification_maps_are_the_projection_of_the_rays(model: str, D: tuple[float, ...], turned: bool) -> None:
    lens = camera(D, model, small_rotation() if turned else None, new_P() if turned else None)
    x, y = lens.rectified.rays
    rays = np.stack([*np.meshgrid(x, y), np.ones((480, 640))], axis=-1).reshape(-1, 3).astype(np.float64)
    raw = project(rays @ (small_rotation() if turned else np.eye(3)), lens)  # row vectors: R transposed from the left
    maps = np.stack(lens.rectification_maps, axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(maps, raw, atol=2e-3)


@pytest.mark.parametrize(("model", "D"), LENSES)
def test_a_straight_scene_is_straight_again(model: str, D: tuple[float, ...]) -> None:
    """The raw picture shows brightness = 128 + 180 x / z; rectified, brightness must follow the columns."""
    lens = camera(D, model)
    raw_pixels = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), axis=-1).reshape(-1, 1, 2)
    undistort: Any = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
    seen = undistort(raw_pixels, K, np.array(D)).reshape(480, 640, 2)[..., 0]
    raw = np.clip(np.rint(128 + 180 * seen), 0, 255).astype(np.uint8)
    rectified = lens.rectify(np.repeat(raw[..., None], 3, axis=2))
    x, _ = lens.rectified.rays
    inner = (slice(50, 430), slice(60, 580))
    error = rectified[..., 1].astype(np.float32) - (128 + 180 * x)
    assert np.abs(error[inner]).max() < 2
    assert np.abs(raw - (128 + 180 * x))[inner].max() > 2, "the lens has no distortion here: the test is void"


def test_what_the_raw_image_does_not_cover_is_known_and_black() -> None:
    lens = camera(LENSES[1][1])
    barrel = lens.rectified_valid
    assert barrel is None, "a barrel lens sees more than its rectified image"
    pincushion = camera((0.3, 0.0, 0.0, 0.0))
    valid = pincushion.rectified_valid
    assert valid is not None
    assert not valid[0, 0]
    assert valid[240, 320]
    rectified = pincushion.rectify(np.full((480, 640, 3), 200, np.uint8))
    assert (rectified[valid] == 200).all()
    maps = np.stack(pincushion.rectification_maps, axis=-1)
    outside = (maps < -1).any(-1) | (maps > (640, 480)).any(-1)
    assert outside.any()
    assert (rectified[outside] == 0).all()


def test_the_raw_image_covers_its_pixels_up_to_the_outermost_centres() -> None:
    """P is K with the image moved by whole pixels: row v and column u come from v + 2 and u - 3."""
    shifted = np.array([[32.0, 0, 13], [0, 32, 6], [0, 0, 1]])
    lens = PinholeCamera(20, 15, np.array([[32.0, 0, 10], [0, 32, 8], [0, 0, 1]]), P=shifted)
    valid = np.zeros((15, 20), np.bool_)
    valid[:13, 3:] = True
    np.testing.assert_array_equal(lens.rectified_valid, valid)
    other = PinholeCamera(20, 15, shifted, P=lens.K)  # the other way
    np.testing.assert_array_equal(other.rectified_valid, valid[::-1, ::-1])


def test_depth_is_rectified_without_inventing_any() -> None:
    lens = camera((0.3, 0.0, 0.0, 0.0))
    depth = np.where(np.arange(640) < 320, 1.0, 3.0).astype(np.float32) * np.ones((480, 1), np.float32)
    rectified = lens.rectify_depth(depth)
    assert set(np.unique(rectified[np.isfinite(rectified)])) == {1.0, 3.0}
    valid = lens.rectified_valid
    assert valid is not None
    assert np.isfinite(rectified[valid]).all()
    assert np.isnan(rectified[0, 0])
    with pytest.raises(CalibrationError, match="cannot be rectified under a rotation"):
        camera(R=small_rotation()).rectify_depth(depth)


def test_when_an_image_is_rectified() -> None:
    assert camera().is_rectified
    assert camera((0.0,) * 5).is_rectified
    assert camera((0.0,) * 3, "unheard of").is_rectified, "no distortion needs no model"
    assert camera(R=np.zeros(9)).is_rectified, "an uncalibrated driver leaves zeros"
    assert camera(P=np.hstack([K, np.zeros((3, 1))])).is_rectified
    still = camera()
    assert still.rectified is still, "what was computed of it is kept"
    for distorted in (camera(LENSES[0][1]), camera(R=small_rotation()), camera(P=new_P())):
        assert not distorted.is_rectified
        assert distorted.rectified.is_rectified
        assert distorted.rectified.size == distorted.size


def test_whole_numbers_become_float64() -> None:
    whole = PinholeCamera(64, 48, [[50, 0, 31], [0, 51, 23], [0, 0, 1]], R=[[0, -1, 0], [1, 0, 0], [0, 0, 1]])  # type: ignore[arg-type]
    assert whole.R is not None and whole.K.dtype == whole.R.dtype == np.float64
    assert (whole.fx, whole.fy, whole.cx, whole.cy) == (50, 51, 31, 23)
    made = PinholeCamera.from_intrinsics(64, 48, 50, 51, 31, 23)
    assert np.array_equal(made.K, whole.K) and made.distortion_model == "plumb_bob"
    model, D = LENSES[3]
    assert PinholeCamera.from_intrinsics(64, 48, 50, 51, 31, 23, D, model).distortion_model == model


@pytest.mark.parametrize(("focal", "centre"), [(1e-3, 1.0), (1e9, 1.0), (50.0, 1e9), (50.0, -1e9)])
def test_the_largest_and_smallest_numbers(focal: float, centre: float) -> None:
    made = PinholeCamera.from_intrinsics(64, 48, focal, focal, centre, centre)
    assert (made.fx, made.fy, made.cx, made.cy) == (focal, focal, centre, centre)
    for beyond in ((0.9e-3, 1.0), (1.1e9, 1.0), (50.0, 1.1e9), (50.0, -1.1e9)):
        with pytest.raises(CalibrationError, match=r"K must be in pixels, got fx="):
            PinholeCamera.from_intrinsics(64, 48, beyond[0], 50, 20, beyond[1])


def test_the_camera_keeps_its_own_numbers() -> None:
    matrix = K.copy()
    made = PinholeCamera(640, 480, matrix)
    matrix[0, 0] = 1.0
    assert made.fx == 517.3


def bad_K(row: int, column: int, value: float) -> NDArray[np.float64]:
    bad = K.copy()
    bad[row, column] = value
    return bad


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((3, 3)), "focal lengths in K must be positive, got fx=0 fy=0: calibrate the camera"),
        (bad_K(0, 0, np.nan), "K must hold 3x3 finite numbers, got .*nan.*: calibrate the camera"),
        (bad_K(1, 2, np.inf), "K must hold 3x3 finite numbers"),
        (bad_K(1, 1, -500.0), "focal lengths in K must be positive, got fx=517.3 fy=-500"),
        (bad_K(0, 1, 3.0), r"K must have the form \[fx 0 cx; 0 fy cy; 0 0 1\], got"),
        (bad_K(2, 2, 2.0), "K must have the form"),
        (np.eye(4), "K must hold 3x3 finite numbers"),
    ],
)
def test_intrinsics_that_are_no_camera(matrix: NDArray[np.float64], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        PinholeCamera(640, 480, matrix)


@pytest.mark.parametrize(
    ("D", "model", "message"),
    [
        ((0.1, 0.2, 0.3), "plumb_bob", "plumb_bob takes 4 or 5 coefficients, got 3"),
        ((0.1,) * 5, "equidistant", "equidistant takes 4 coefficients, got 5"),
        ((0.1,) * 5, "rational_polynomial", "rational_polynomial takes 8 or 12 or 14 coefficients, got 5"),
        ((0.1,) * 5, "fov", "distortion_model must be one of plumb_bob, rational_polynomial, equidistant, got 'fov'"),
        ((0.1, np.nan, 0, 0), "plumb_bob", "distortion must be finite, got"),
    ],
)
def test_distortion_that_no_lens_has(D: tuple[float, ...], model: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        camera(D, model)


def test_other_impossible_cameras() -> None:
    with pytest.raises(CalibrationError, match="size must be at least 1x1 pixels, got 0x480"):
        camera(size=(0, 480))
    with pytest.raises(CalibrationError, match="R must be a rotation, got"):
        camera(R=2 * np.eye(3))
    with pytest.raises(CalibrationError, match="focal lengths in P must be positive"):
        camera(P=np.zeros((3, 4)))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="camera is 640x480, image is 320x240: publish the camera_info of this image"):
        camera().check_image(np.zeros((240, 320, 3), np.uint8))


def test_harmless_deviations_are_accepted() -> None:
    """Padded D, a skew from rounding, R and P that are nearly the identity and K."""
    noise = np.array([[0, 5e-7, 0], [-5e-7, 0, 0], [1e-12, 0, 5e-7]])
    made = PinholeCamera(640, 480, K + noise, R=np.eye(3) + noise, P=K - noise)
    assert made.is_rectified and np.array_equal(made.K, K)
    assert camera(P=K + np.diag([5e-7, 5e-7, 0])).is_rectified and not camera(P=K + np.diag([2e-6, 0, 0])).is_rectified
    with pytest.raises(CalibrationError, match="K must have the form"):
        PinholeCamera(640, 480, K + np.diag([0, 0, 2e-6]))
    for scale, fits in ((1 + 4e-4, True), (1 + 6e-4, False)):  # R is no rotation, by rounding and by more
        R = scale * small_rotation()
        if fits:
            assert np.array_equal(camera(R=R).R, R)
            continue
        with pytest.raises(CalibrationError, match="R must be a rotation, got"):
            camera(R=R)
    for (model, D), zeros in ((LENSES[0], 3), (LENSES[2], 2), (LENSES[3], 1)):
        padded = camera((*D, *[0.0] * zeros), model)
        assert padded.D == D
        np.testing.assert_array_equal(padded.rectification_maps, camera(D, model).rectification_maps)
    with pytest.raises(CalibrationError, match="plumb_bob takes 4 or 5 coefficients, got 8"):
        camera(LENSES[2][1])


@pytest.mark.parametrize("size", [(640, 480), (2, 24), (1, 1), (3840, 2160)])
def test_plausible_cameras_pass(size: tuple[int, int]) -> None:
    """Wide and long lenses, a principal point off the middle, half-height pixels."""
    w, h = size
    for focal in (0.3, 0.8, 20.0):
        f = focal * max(w, h)
        for x, y in ((0.5, 0.5), (0.3, 0.6), (0.6, 0.6), (0.0, 0.5)):
            made = PinholeCamera.from_intrinsics(w, h, f, f / 2, x * (w - 1), y * (h - 1))
            assert plausible(made, "it") is made


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 1, 0, 0), "must not be the identity, the camera is not calibrated"),
        ((0.0039, 0.0038, 320, 240), "must have focal lengths of 32 to 64000 pixels .* got fx=0.0039 fy=0.0038"),
        ((535, 4, 320, 240), "must have focal lengths .* got fx=535 fy=4 for 640x480 pixels"),
        ((535.4, 5392, 320, 240), "must have focal lengths .* that are alike, got fx=535.4 fy=5392"),
        ((1e6, 1e6, 320, 240), "must have focal lengths"),
        ((5354, 5392, 3201, 2476), r"must have its principal point in the image, got \(3201, 2476\) for 640x480"),
        ((535, 539, -20, 240), r"must have its principal point in the image, got \(-20, 240\)"),
        ((1070, 1078, 640, 495), "must have its principal point in the image"),
        ((267, 269, 159.5, 119.5), r"must be that of 640x480 pixels, but .* \(159.5, 119.5\) .* about 320x240"),
        ((800, 800, 479.5, 359.5), "must be that of 640x480 pixels, but .* about 960x720"),
        ((535, 539, 0, 0), r"must have its principal point near the middle of 640x480 pixels, got \(0, 0\)"),
        ((535, 539, 239, 322), "must be that of 640x480 pixels, but .* turned image: cx and cy are exchanged"),
        ((700, 700, 479, 268), r"must be that of 640x480 pixels, but .* \(479, 268\) it is that of 960x540"),
    ],
)
def test_cameras_that_cannot_be_are_named(numbers: tuple[float, float, float, float], message: str) -> None:
    fx, fy, cx, cy = numbers
    M = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    for name, made in (("K", PinholeCamera(640, 480, M)), ("P", PinholeCamera(640, 480, K, P=M))):
        with pytest.raises(CalibrationError, match=f"^it: {name} {message}") as caught:
            plausible(made, "it")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "D"),
    [
        ("plumb_bob", (1e9, 0, 0, 0)),
        ("plumb_bob", (-1e9, 0, 0, 0)),
        ("plumb_bob", (50, -300, 0, 0, 0)),
        ("plumb_bob", (0, 0, 40, 0)),
        ("rational_polynomial", (0, 0, 0, 0, 0, -1e6, 0, 0)),
        ("equidistant", (-1e9, 0, 0, 0)),
        ("plumb_bob", (1e40, 0, 0, 0)),
        ("plumb_bob", (-1e308, -1e308, 0, 0, 1e308)),
    ],
)
def test_distortion_that_is_wrong_within_the_image_is_named(model: str, D: tuple[float, ...]) -> None:
    with pytest.raises(CalibrationError, match=r"^it: D cannot be a lens's, .*: calibrate the camera$"):
        plausible(camera(D, model), "it")


def test_lenses_and_rectified_images_that_exist_pass() -> None:
    for model, D in (*LENSES, ("plumb_bob", (-0.3, 0.0, 0.0, 0.0)), ("plumb_bob", (0.26, -0.95, -0.005, 0.003, 1.16))):
        for made in (camera(D, model), camera(D, model, P=new_P())):
            assert plausible(made, "it") is made
    fisheye = PinholeCamera.from_intrinsics(848, 800, 286, 286, 424, 400, (-0.008, 0.04, -0.038, 0.006), "equidistant")
    assert plausible(fisheye, "it") is fisheye
    for x, y in ((0.25, 0.5), (0.75, 0.5), (0.7, 0.6), (0.3, 0.8)):  # cropped sensors
        made = PinholeCamera.from_intrinsics(640, 480, 500, 500, x * 639, y * 479)
        assert plausible(made, "it") is made


def test_P_of_another_scale_and_reflections_are_named() -> None:
    P = K.copy()
    P[:2, :2] *= 10
    with pytest.raises(CalibrationError, match=r"^it: P must have focal lengths like those of K, got fx=5173"):
        plausible(PinholeCamera(640, 480, K, P=P), "it")
    with pytest.raises(CalibrationError, match="R must be a rotation, got a reflection"):
        camera(R=np.diag([1.0, 1.0, -1.0]))
    full_hd = PinholeCamera.from_intrinsics(1280, 960, 1400, 1400, 962, 541)
    with pytest.raises(CalibrationError, match="must be that of 1280x960 pixels, but .* it is that of 1920x1080"):
        plausible(full_hd, "it")


def test_rays_and_maps_are_finite_for_every_camera_that_can_be_made() -> None:
    """Small images, any lens, numbers of all magnitudes: refused in one line, or rays that are finite."""
    rng, made = np.random.default_rng(0), 0
    for _ in range(500):
        w, h = (int(n) for n in rng.choice([1, 2, 3, 24, 640], 2))
        fx, fy, cx, cy = 10 ** rng.uniform(-45, 12, 4) * rng.choice([-1, 1, 1, 1], 4)
        model = str(rng.choice(list(DISTORTION_LENGTHS)))
        D = tuple((rng.normal(size=DISTORTION_LENGTHS[model][0]) * 10 ** rng.uniform(-3, 3)).tolist())
        if rng.random() < 0.5:
            fx, fy, cx, cy = w * rng.uniform(0.01, 3), h * rng.uniform(0.01, 3), w * rng.random(), h * rng.random()
        try:
            lens = PinholeCamera.from_intrinsics(w, h, fx, fy, cx, cy, D, model)
        except CalibrationError as error:
            assert "\n" not in str(error)
            continue
        made += 1
        assert all(np.isfinite(rays).all() for rays in (*lens.rays, *lens.rectified.rays))
        valid = lens.rectified_valid
        inside = np.ones((h, w), np.bool_) if valid is None else valid
        assert all(np.isfinite(axis[inside]).all() for axis in lens.rectification_maps)
        assert lens.rectify(np.zeros((h, w, 3), np.uint8)).shape == (h, w, 3)
    assert made > 100


def test_a_side_too_long_to_be_rectified_is_named() -> None:
    lens = camera(LENSES[0][1], size=(40_000, 4))
    with pytest.raises(CalibrationError, match="40000x4 pixels cannot be rectified, a side may have 32766"):
        lens.rectify(np.zeros((4, 40_000, 3), np.uint8))
    assert camera(LENSES[0][1], size=(32_766, 2)).rectify(np.zeros((2, 32_766, 3), np.uint8)).shape == (2, 32_766, 3)


def test_a_fisheye_ray_from_behind_is_outside_the_raw_image() -> None:
    turned = cv2.Rodrigues(np.array([0.0, np.radians(100), 0.0]))[0]
    K = np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
    camera = PinholeCamera(64, 48, K, (0.01, 0.0, 0.0, 0.0), "equidistant", turned)
    assert all(np.isfinite(each).all() for each in camera.rectification_maps)
    behind = (np.linalg.inv(turned) @ np.linalg.inv(K) @ [40.0, 20.0, 1.0])[2] < 0
    assert behind and camera.rectified_valid is not None and not camera.rectified_valid[20, 40]
    assert not camera.rectify(np.full((48, 64, 3), 200, np.uint8))[20, 40].any()
    assert [each[20, 40] for each in camera.rectification_maps] == [-1, -1]


@pytest.mark.parametrize(
    ("axis", "degrees", "fits"), [("y", 100, False), ("x", 61, False), ("y", 40, True), ("z", 180, True)]
)
def test_a_rectifying_rotation_looks_the_same_way(axis: str, degrees: float, fits: bool) -> None:
    vector = np.array([axis == each for each in "xyz"]) * np.radians(degrees)
    camera = PinholeCamera(64, 48, PinholeCamera.from_hfov(64, 48, 60).K, R=cv2.Rodrigues(vector)[0])
    if fits:
        assert plausible(camera, "camera_info") is camera
        return
    with pytest.raises(
        CalibrationError, match=f"less than 60 degrees, got {degrees}: give the rotation that rectifies"
    ):
        plausible(camera, "camera_info")
