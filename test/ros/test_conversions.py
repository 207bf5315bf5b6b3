"""Messages <-> arrays: every encoding, padded rows, both byte orders; malformed messages by the line they get."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from properties import QUICK
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header

from mono_depth_recon import messages
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.errors import CalibrationError, DataError
from mono_depth_recon.ros import conversions as c

HEIGHT, WIDTH = 6, 10


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def message(pixels: NDArray[np.generic], encoding: str, padding: int = 0, big: bool = False) -> Image:
    """An Image whose rows end in `padding` junk bytes, its values in the byte order asked for."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=big,
        step=rows.shape[1],
        data=array("B", rows.tobytes()),
    )


CHANNELS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "rgb8": lambda a: a,
    "bgr8": lambda a: a[..., ::-1],
    "8UC3": lambda a: a[..., ::-1],
    "rgba8": lambda a: np.dstack([a, np.full(a.shape[:2], 9, np.uint8)]),
    "bgra8": lambda a: np.dstack([a[..., ::-1], np.full(a.shape[:2], 9, np.uint8)]),
}


@QUICK
@given(st.data(), st.sampled_from(list(CHANNELS)), st.integers(0, 9), st.booleans())
def test_colour_encodings_come_back_exactly(data: st.DataObject, encoding: str, padding: int, big: bool) -> None:
    pixels = data.draw(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))))
    made = message(CHANNELS[encoding](pixels), encoding, padding)
    made.is_bigendian = big  # of single bytes it means nothing
    assert np.array_equal(c.image_from_msg(made), pixels)


@pytest.mark.parametrize("padding", [0, 3])
def test_grey_encodings_fill_three_channels(rgb: NDArray[np.uint8], padding: int) -> None:
    grey = rgb[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(c.image_from_msg(message(grey, "mono8", padding)), expected)
    wide = grey.astype(np.uint16) * 256 + 77
    for big in (False, True):
        assert np.array_equal(c.image_from_msg(message(wide, "mono16", padding, big)), expected)


@pytest.mark.parametrize(("encoding", "luma_at"), [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0), ("yuyv", 0)])
def test_yuv_of_a_grey_image_is_grey(encoding: str, luma_at: int) -> None:
    """With U = V = 128 colour is grey; BT.601 limited range maps Y 16..235 to 0..255."""
    luma = np.linspace(16, 235, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    pixels = np.full((HEIGHT, WIDTH, 2), 128, np.uint8)
    pixels[..., luma_at] = luma
    got = c.image_from_msg(message(pixels, encoding, padding=6)).astype(int)
    expected = (luma.astype(float) - 16) * 255 / 219
    assert np.abs(got - expected[..., None]).max() <= 1.5


@pytest.mark.parametrize("encoding", ["yuv422", "yuyv"])
def test_yuv_red_is_red(encoding: str) -> None:
    """BT.601: red is Y 81, U 90, V 240."""
    y, u, v = 81, 90, 240
    pair = [[u, y, v, y]] if encoding == "yuv422" else [[y, u, y, v]]
    pixels = np.tile(np.array(pair, np.uint8), (2, 2)).reshape(2, 4, 2)
    red, green, blue = c.image_from_msg(message(pixels, encoding))[0, 0].astype(int)
    assert red > 245 and green < 12 and blue < 12


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_the_colour_they_were_taken_from(pattern: str) -> None:
    """A mosaic of one flat colour demosaics to that colour, whatever the interpolation."""
    colour = {"r": 200, "g": 120, "b": 40}
    tile = np.array([colour[p] for p in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (8, 8))
    got = c.image_from_msg(message(mosaic, f"bayer_{pattern}8", padding=5))
    assert (got[2:-2, 2:-2] == [200, 120, 40]).all()


def test_rgb8_is_not_copied(rgb: NDArray[np.uint8]) -> None:
    msg = message(rgb, "rgb8", padding=4)
    view = c.image_from_msg(msg)
    msg.data[0] = (int(rgb[0, 0, 0]) + 1) % 256
    assert view[0, 0, 0] == msg.data[0]
    assert np.shares_memory(view, np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0}, "at least 1x1"),
        ({"height": 0}, "at least 1x1"),
        ({"step": WIDTH * 3 - 1}, "at least 30 bytes, got 29"),
        ({"height": HEIGHT + 1}, "needs 210 bytes, got 180"),
        ({"encoding": "32SC4"}, "32SC4"),
        ({"encoding": ""}, "must be one of rgb8"),
        ({"encoding": "yuyv", "width": WIDTH - 1}, "even width"),
    ],
)
def test_malformed_images_are_refused_in_one_line(
    rgb: NDArray[np.uint8], change: dict[str, int | str], said: str
) -> None:
    msg = message(rgb, "rgb8")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(DataError) as error:
        c.image_from_msg(msg)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_encodings_outside_the_list_go_through_cv_bridge() -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge comes with a ROS 2 installation only")
    pixels = np.full((4, 4, 3), 65535, np.uint16)
    assert c.image_from_msg(message(pixels, "rgb16")).dtype == np.uint8


def test_colour_is_published_as_rgb8(rgb: NDArray[np.uint8]) -> None:
    for pixels in (rgb, rgb[:, ::-1], np.asfortranarray(rgb)):
        msg = c.rgb_to_msg(pixels, Header(frame_id="cam"))
        assert (msg.encoding, msg.step, msg.height, msg.width) == ("rgb8", 3 * WIDTH, HEIGHT, WIDTH)
        assert msg.header.frame_id == "cam" and msg.is_bigendian == (sys.byteorder == "big")
        assert np.array_equal(c.image_from_msg(msg), pixels)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5), (5, 1)])
def test_images_of_one_row_or_column(width: int, height: int) -> None:
    pixels = np.arange(3 * width * height, dtype=np.uint8).reshape(height, width, 3)
    assert np.array_equal(c.image_from_msg(message(pixels, "rgb8")), pixels)


def test_depth_keeps_rep_117_through_32fc1() -> None:
    depth = np.array([[0.5, np.nan, np.inf], [1.25, 70.0, 3.0]], np.float32)
    msg = c.depth_to_msg(depth, Header(frame_id="cam"))
    assert (msg.encoding, msg.step, msg.header.frame_id) == ("32FC1", 12, "cam")
    assert np.array_equal(messages.depth_of(msg), depth, equal_nan=True)
    zero = c.depth_to_msg(depth, Header(), invalid="zero")
    assert np.frombuffer(zero.data, np.float32).tolist() == [0.5, 0.0, 0.0, 1.25, 70.0, 3.0]


def test_depth_in_millimetres() -> None:
    depth = np.array([[0.5004, np.nan, np.inf], [1.2506, 70.0, 65.535]], np.float32)
    msg = c.depth_to_msg(depth, Header(frame_id="cam"), "16UC1")
    assert msg.header.frame_id == "cam"
    assert np.frombuffer(msg.data, np.uint16).tolist() == [500, 0, 0, 1251, 0, 65535]
    back = messages.depth_of(msg)
    assert np.allclose(back[1, [0, 2]], [1.251, 65.535]) and np.isnan(back[0, 1:]).all()


@QUICK
@given(st.data(), st.sampled_from(["32FC1", "16UC1", "mono16"]), st.integers(0, 9), st.booleans())
def test_depth_of_others_comes_back(data: st.DataObject, encoding: str, padding: int, big: bool) -> None:
    """Every bit pattern, in both byte orders: positive numbers stay, +Inf too, everything else is NaN."""
    kind = np.float32 if encoding == "32FC1" else np.uint16
    stored = data.draw(arrays(kind, st.tuples(st.integers(1, 5), st.integers(1, 5))))
    kept = stored.copy()
    with np.errstate(all="raise", under="ignore"):
        got = messages.depth_of(message(stored, encoding, padding, big))
    metres = stored if kind == np.float32 else (stored / 1000).astype(np.float32)
    assert got.dtype == np.float32 and got.flags.writeable
    assert np.array_equal(got, np.where(metres > 0, metres, np.nan), equal_nan=True)
    got[:] = 7
    assert np.array_equal(stored, kept, equal_nan=True)


def test_colour_is_no_depth() -> None:
    with pytest.raises(DataError, match="depth image must be 32FC1 .* got 'rgb8'"):
        messages.depth_of(message(np.zeros((2, 2), np.uint16), "rgb8"))


def info(**changes: object) -> CameraInfo:
    """The camera_info of a 640x480 camera with K, P and, on request, D."""
    msg = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
    msg.k = np.array([500, 0, 320, 0, 510, 240, 0, 0, 1], float)
    msg.r = np.eye(3).ravel()
    msg.p = np.array([480, 0, 322, 0, 0, 490, 238, 0, 0, 0, 1, 0], float)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def test_rectified_uses_p_and_forgets_d() -> None:
    camera = messages.camera_of_info(info(d=[0.2, -0.5, 0.0, 0.0, 0.1]), rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (480, 490, 322, 238)
    assert camera.is_rectified
    without = messages.camera_of_info(info(p=np.zeros(12)), rectified=True)
    assert (without.fx, without.fy, without.cx, without.cy) == (500, 510, 320, 240)


def test_an_identity_beside_a_real_p_is_no_matter_for_a_rectified_image() -> None:
    assert messages.camera_of_info(info(k=np.eye(3).ravel()), rectified=True).fx == 480


def test_padded_distortion_and_a_skew_from_rounding_are_accepted() -> None:
    D = [0.2, -0.5, 0.001, 0.002, 0.1]
    k = np.array([500, 1e-9, 320, 0, 510, 240, 0, 0, 1])
    camera = messages.camera_of_info(info(d=[*D, 0.0, 0.0, 0.0], k=k), rectified=False)
    assert tuple(D) == camera.D and camera.K[0, 1] == 0
    fisheye = info(d=[0.1, 0.02, 0.003, 0.004, 0.0], distortion_model="equidistant")
    assert messages.camera_of_info(fisheye, rectified=False).D == (0.1, 0.02, 0.003, 0.004)


def test_raw_uses_k_d_and_keeps_p_for_the_rectified_image() -> None:
    camera = messages.camera_of_info(info(d=[0.2, -0.5, 0.0, 0.0, 0.1]), rectified=False)
    assert (camera.fx, camera.cx, camera.is_distorted) == (500, 320, True)
    assert (camera.rectified.fx, camera.rectified.cx, camera.rectified.is_distorted) == (480, 322, False)


ODD = st.sampled_from([0.0, -1.0, 1e-9, 1e9, 1e300, math.nan, math.inf])
SIDES = st.sampled_from([0, 1, 2, 24, 480, 640, 32_767])
SPOILT = {
    "width": SIDES,
    "height": SIDES,
    "distortion_model": st.sampled_from(["equidistant", "rational_polynomial", "", "other"]),
    "k": st.lists(ODD, min_size=9, max_size=9),
    "p": st.lists(ODD, min_size=12, max_size=12),
    "r": st.sampled_from([np.zeros(9), np.diag([1.0, -1, -1]).ravel(), np.full(9, 2.0), np.full(9, math.nan)]),
    "d": st.lists(st.one_of(st.floats(-0.3, 0.3), ODD), max_size=9),
    "roi": st.builds(RegionOfInterest, x_offset=SIDES, y_offset=SIDES, width=SIDES, height=SIDES),
    "binning_x": st.sampled_from([1, 2, 700]),
    "binning_y": st.sampled_from([1, 3]),
}


@st.composite
def infos(draw: st.DrawFn) -> CameraInfo:
    """A camera_info as `info` gives it with other numbers, of which at most two are replaced by impossible ones."""
    fx, fy, cx, cy = (draw(st.floats(0.7, 1.4)) * number for number in (500, 510, 320, 240))
    made = info(
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], d=draw(st.lists(st.floats(-0.1, 0.1), min_size=5, max_size=5))
    )
    for name in draw(st.lists(st.sampled_from(list(SPOILT)), max_size=2)):
        setattr(made, name, draw(SPOILT[name]))
    return made


@QUICK
@given(infos(), st.booleans())
def test_a_camera_info_is_a_camera_with_finite_rays_or_refused(made: CameraInfo, rectified: bool) -> None:
    try:
        camera = messages.camera_of_info(made, rectified)
    except CalibrationError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert all(np.isfinite(rays).all() for rays in (*camera.rays, *camera.rectified.rays))
    assert [len(rays) for rays in camera.rays] == list(camera.size)


def test_region_of_interest_and_binning() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=200)
    camera = messages.camera_of_info(info(roi=roi, binning_x=2, binning_y=2), rectified=False)
    assert camera.size == (160, 100)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (250, 255, 110, 100)
    assert (camera.rectified.fx, camera.rectified.cx) == (240, 111)
    corner = RegionOfInterest(x_offset=320, y_offset=280, width=320, height=200)  # up to the last pixel
    assert messages.camera_of_info(info(roi=corner), rectified=False).cy == -40
    for part in ({"width": 320}, {"height": 200}):  # a full image, as width or height of 0 say
        whole = messages.camera_of_info(info(roi=RegionOfInterest(**part), binning_x=1), rectified=False)
        assert whole.size == (640, 480)
    halves = messages.camera_of_info(info(binning_y=2), rectified=False)
    assert halves.size == (640, 240) and (halves.fx, halves.fy) == (500, 255)


def test_the_rectifying_rotation_is_kept() -> None:
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    camera = messages.camera_of_info(info(r=turned.ravel()), rectified=False)
    assert np.array_equal(camera.R, turned)  # type: ignore[arg-type]
    assert np.array_equal(np.reshape(c.info_to_msg(camera, Header()).r, (3, 3)), turned)
    assert messages.camera_of_info(info(r=turned.ravel()), rectified=True).R is None


@pytest.mark.parametrize(
    ("changes", "rectified", "said"),
    [
        ({"k": np.zeros(9), "p": np.zeros(12)}, False, "not calibrated"),
        ({"k": np.full(9, np.nan)}, False, "finite"),
        ({"k": np.zeros(9)}, False, "focal lengths in K"),
        ({"width": 0}, False, "at least 1x1"),
        ({"p": np.zeros(12), "d": [0.1, 0.0, 0.0, 0.0]}, True, "must have P"),
        ({"d": [0.1, 0.2]}, False, "takes 4 or 5 coefficients, got 2"),
        ({"d": [0.1] * 4, "distortion_model": "magic"}, False, "plumb_bob"),
        ({"roi": RegionOfInterest(x_offset=600, width=100, height=10)}, False, "must lie in 640x480"),
        ({"roi": RegionOfInterest(y_offset=480, width=100, height=1)}, False, "100x1+0+480 must lie in 640x480"),
        ({"k": np.eye(3).ravel()}, False, "camera_info: K must not be the identity"),
        ({"k": np.array([1000, 0, 640, 0, 1020, 480, 0, 0, 1.0])}, False, "K must have its principal point in"),
        ({"width": 1280, "height": 960}, False, "K must be that of 1280x960 pixels"),
        ({"width": 1280, "height": 960}, True, "K must be that of 1280x960 pixels"),
        ({"p": np.array([4.8, 0, 322, 0, 0, 4.9, 238, 0, 0, 0, 1.0, 0])}, False, "P must have focal lengths"),
    ],
)
def test_malformed_camera_info_is_refused_in_one_line(changes: dict[str, object], rectified: bool, said: str) -> None:
    with pytest.raises(CalibrationError) as error:
        messages.camera_of_info(info(**changes), rectified)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_published_camera_info_of_a_rectified_camera() -> None:
    """Consumers read K (nvblox) or P (depth_image_proc): both are filled and equal, D = 0, R = I."""
    camera = PinholeCamera.from_intrinsics(640, 480, 500, 510, 320, 240)
    msg = c.info_to_msg(camera, Header(frame_id="cam"))
    assert (msg.width, msg.height, msg.header.frame_id) == (640, 480, "cam")
    assert np.array_equal(np.reshape(msg.p, (3, 4))[:, :3], np.reshape(msg.k, (3, 3)))
    assert not np.any(msg.d) and np.array_equal(msg.r, np.eye(3).ravel())
    back = messages.camera_of_info(msg, rectified=False)
    assert np.array_equal(back.K, camera.K) and back.is_rectified


def test_camera_info_round_trip_with_distortion() -> None:
    camera = PinholeCamera.from_intrinsics(640, 480, 517.3, 516.5, 318.6, 255.3, (0.26, -0.95, -0.005, 0.003, 1.16))
    back = messages.camera_of_info(c.info_to_msg(camera, Header()), rectified=False)
    assert np.array_equal(back.K, camera.K) and back.D == camera.D and np.array_equal(back.rectified.K, camera.K)


def test_cloud_message_layout(rgb: NDArray[np.uint8]) -> None:
    """Fields, offsets and bytes as PCL and RViz read them, parsed here with the struct layout of the message."""
    camera = PinholeCamera.from_hfov(WIDTH, HEIGHT, 60)
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth[0, 0], depth[0, 1] = np.nan, np.inf
    points = back_project(depth, camera, rgb)
    msg = c.points_to_msg(points, Header(frame_id="cam"))
    assert [(f.name, f.offset, f.datatype, f.count) for f in msg.fields] == [
        (n, o, PointField.FLOAT32, 1) for n, o in zip(("x", "y", "z", "rgb"), (0, 4, 8, 12), strict=True)
    ]
    assert (msg.height, msg.width, msg.point_step, msg.row_step, msg.is_dense) == (HEIGHT, WIDTH, 16, 160, False)
    layout = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("b", "u1"), ("g", "u1"), ("r", "u1"), ("a", "u1")])
    cells = np.frombuffer(msg.data.tobytes(), layout).reshape(HEIGHT, WIDTH)
    assert np.array_equal(np.dstack([cells["r"], cells["g"], cells["b"]]), rgb) and not cells["a"].any()
    assert np.isnan(cells["z"][0, :2]).all() and (cells["z"][1:] == 2.0).all()
    assert msg.header.frame_id == "cam"
    assert np.array_equal(c.points_from_msg(msg), points, equal_nan=True)


def test_cloud_message_with_sigma(rgb: NDArray[np.uint8]) -> None:
    """A fifth float32 after rgb: readers that look fields up by name take the first four as before."""
    camera = PinholeCamera.from_hfov(WIDTH, HEIGHT, 60)
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    sigma = np.linspace(0, 1, depth.size, dtype=np.float32).reshape(depth.shape)
    sigma[0, 0] = np.nan
    points = back_project(depth, camera, rgb, sigma=sigma)
    msg = c.points_to_msg(points, Header(frame_id="cam"))
    assert [(f.name, f.offset, f.datatype, f.count) for f in msg.fields] == [
        (n, 4 * i, PointField.FLOAT32, 1) for i, n in enumerate(("x", "y", "z", "rgb", "sigma"))
    ]
    assert (msg.point_step, msg.row_step, len(msg.data)) == (20, 20 * WIDTH, 20 * WIDTH * HEIGHT)
    layout = np.dtype([("xyz", "<f4", 3), ("bgra", "u1", 4), ("sigma", "<f4")])
    cells = np.frombuffer(msg.data.tobytes(), layout).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(cells["sigma"], sigma)
    np.testing.assert_array_equal(cells["bgra"][..., 2::-1], rgb)
    np.testing.assert_array_equal(c.points_from_msg(msg).view(np.uint32), points.view(np.uint32))


def test_a_cloud_message_changes_its_layout_with_the_parameter() -> None:
    cloud = c.CloudMessage()
    for sigma, values in ((False, 4), (True, 5), (False, 4)):
        cloud.points(3, 2, sigma)[...] = 1.0
        msg = cloud.stamped(Header())
        assert (len(msg.fields), msg.point_step, msg.row_step, len(msg.data)) == (
            values,
            4 * values,
            8 * values,
            24 * values,
        )


def test_cloud_message_reuses_its_buffer(rgb: NDArray[np.uint8]) -> None:
    cloud = c.CloudMessage()
    first = cloud.points(HEIGHT, WIDTH)
    assert cloud.points(HEIGHT, WIDTH) is first
    first[...] = 7.0
    assert np.frombuffer(cloud.stamped(Header()).data, np.float32)[0] == 7.0
    assert cloud.points(3, 2).shape == (3, 2, 4) and cloud.stamped(Header()).width == 2


def test_clouds_of_others_need_sensor_msgs_py(monkeypatch: pytest.MonkeyPatch, rgb: NDArray[np.uint8]) -> None:
    monkeypatch.setitem(sys.modules, "sensor_msgs_py", None)
    msg = c.points_to_msg(np.zeros((1, 1, 4), np.float32), Header())
    msg.fields[3].name = "intensity"
    with pytest.raises(DataError, match="sensor_msgs_py"):
        c.points_from_msg(msg)


@pytest.mark.parametrize("change", [{"width": 5}, {"height": 2**31}, {"row_step": 0}, {"data": array("B", b"123")}])
def test_a_cloud_whose_size_does_not_fit_its_data_is_refused(change: dict[str, object]) -> None:
    msg = c.points_to_msg(np.zeros((3, 4, 4), np.float32), Header())
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(DataError, match=r"cloud of \d+x\d+ points, .* must have \d+ bytes, got \d+: the"):
        c.points_from_msg(msg)


@QUICK
@given(
    values=arrays(
        np.float64, st.tuples(st.integers(0, 3), st.integers(1, 3), st.just(3)), elements=st.floats(width=32)
    ),
    places=st.permutations(range(5)),
    kinds=st.tuples(*[st.sampled_from(["f4", "f8"])] * 3),
    gaps=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    big=st.booleans(),
)
def test_points_of_any_layout_are_read(
    values: NDArray[np.float64], places: list[int], kinds: tuple[str, ...], gaps: tuple[int, int], big: bool
) -> None:
    """Five fields in any order with gaps, padded rows, either byte order, either kind of number for each axis."""
    order, starts = ">" if big else "<", [places.index(axis) * 8 + gaps[0] for axis in range(3)]
    formats, step = [order + kind for kind in kinds], 40 + gaps[0]
    layout = np.dtype({"names": list("xyz"), "formats": formats, "offsets": starts, "itemsize": step})
    rows = np.full(values.shape[:2], 171, np.uint8).repeat(step).view(layout).reshape(values.shape[:2])
    for axis, name in enumerate("xyz"):
        rows[name] = values[..., axis]
    data = b"".join(row.tobytes() + b"#" * gaps[1] for row in rows)
    msg = PointCloud2(height=rows.shape[0], width=rows.shape[1], point_step=step, is_bigendian=big)
    msg.row_step, msg.data = step * rows.shape[1] + gaps[1], array("B", data)
    numbers = {"f4": PointField.FLOAT32, "f8": PointField.FLOAT64}
    fields = {name: (start, numbers[kind]) for name, start, kind in zip("xyz", starts, kinds, strict=True)}
    fields |= {"ring": (gaps[0] + places.index(3) * 8, PointField.UINT16)}
    msg.fields = [PointField(name=name, offset=at, datatype=kind, count=1) for name, (at, kind) in fields.items()]
    expected = values.reshape(-1, 3)
    np.testing.assert_array_equal(c.xyz_from_msg(msg), expected[np.isfinite(expected).all(axis=1)])


def test_points_that_do_not_fit_their_message_are_refused() -> None:
    order, number, big, datatype = "<", "f4", False, PointField.FLOAT32
    layout = np.dtype(
        {
            "names": ["z", "intensity", "x", "y"],
            "formats": [order + number, "u1", order + number, order + number],
            "offsets": [0, 8, 16, 24],
            "itemsize": 40,
        }
    )
    rows = np.zeros((2, 3), layout)
    rows["x"], rows["y"], rows["z"] = [[1, 2, 3], [4, 5, 6]], [[-1, -2, -3], [-4, -5, -6]], 7.5
    rows["x"][0, 1] = np.nan
    data = b"".join(row.tobytes() + b"padding!" for row in rows)
    kinds = {"intensity": PointField.UINT8}
    msg = PointCloud2(width=3, height=2, point_step=40, row_step=128, is_bigendian=big, data=data)
    msg.fields = [
        PointField(name=name, offset=offset, datatype=kinds.get(name, datatype), count=1)
        for name, offset in zip(layout.names or (), (0, 8, 16, 24), strict=True)
    ]
    points = c.xyz_from_msg(msg)
    np.testing.assert_allclose(points, [[1, -1, 7.5], [3, -3, 7.5], [4, -4, 7.5], [5, -5, 7.5], [6, -6, 7.5]])
    msg.data = data[:-1]
    with pytest.raises(DataError, match="a cloud of 3x2 points of 40 bytes needs 256 bytes, got 255"):
        c.xyz_from_msg(msg)
    assert c.xyz_from_msg(PointCloud2(point_step=40, fields=msg.fields)).shape == (0, 3)
    with pytest.raises(DataError, match="take (28|32) bytes, its point_step is 20"):
        c.xyz_from_msg(PointCloud2(point_step=20, fields=msg.fields))
    msg.fields = msg.fields[:3]
    with pytest.raises(DataError, match=r"must have the fields x, y and z of float32 or float64, got \['intensity'"):
        c.xyz_from_msg(msg)
