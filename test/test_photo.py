"""Photos: pixels upright, intrinsics from EXIF that Pillow wrote (an independent writer)."""

from __future__ import annotations

import math
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import CalibrationError, DataError
from mono_depth_recon.photo import camera_from_exif, read_depth, read_exif, read_grey, read_photo

EXIF_IFD, ORIENTATION = 0x8769, 0x0112
FOCAL, FOCAL_35, PIXEL_X, PIXEL_Y, PLANE_X, PLANE_UNIT = 0x920A, 0xA405, 0xA002, 0xA003, 0xA20E, 0xA210


def rational(value: float) -> IFDRational:
    """EXIF wants fractions; Pillow writes a float as a double."""
    return IFDRational(Fraction(value).limit_denominator(10**5))


def write_jpeg(
    path: Path,
    tags: dict[int, Any] | None = None,
    size: tuple[int, int] = (64, 48),
    orientation: int = 1,
    endian: str = "<",
) -> Path:
    """A JPEG whose left half (as stored) is red and whose right half is blue."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = pixels[:, size[0] // 2 :, 2] = 255
    exif = Image.Exif()
    exif.endian = endian
    if orientation != 1:
        exif[ORIENTATION] = orientation
    if tags:
        exif.get_ifd(EXIF_IFD).update({tag: rational(v) if isinstance(v, float) else v for tag, v in tags.items()})
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("endian", ["<", ">"])
def test_the_35_mm_equivalent_relates_to_the_diagonal(tmp_path: Path, endian: str) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 26, FOCAL: 4.25, PLANE_X: 1.0}, endian=endian)
    camera = camera_from_exif(path, 4032, 3024)
    diagonal_angle = 2 * math.atan(math.hypot(4032, 3024) / 2 / camera.fx)
    assert diagonal_angle == pytest.approx(2 * math.atan(math.hypot(36, 24) / 2 / 26), rel=1e-9)
    assert camera.fy == camera.fx
    assert (camera.cx, camera.cy) == (2015.5, 1511.5)


def test_a_photo_of_the_films_aspect_has_the_horizontal_field_of_the_film(tmp_path: Path) -> None:
    camera = camera_from_exif(write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 50}), 6000, 4000)
    assert camera.fx == pytest.approx(50 / 36 * 6000, rel=1e-9)


@pytest.mark.parametrize(("unit", "per_mm"), [(None, 1 / 25.4), (2, 1 / 25.4), (3, 1 / 10), (4, 1.0), (5, 1000.0)])
def test_focal_length_and_focal_plane_resolution(tmp_path: Path, unit: int | None, per_mm: float) -> None:
    tags = {FOCAL: 5.5, PLANE_X: 230.0 / per_mm} | ({} if unit is None else {PLANE_UNIT: unit})
    camera = camera_from_exif(write_jpeg(tmp_path / "a.jpg", tags), 1600, 1200)
    assert camera.fx == pytest.approx(5.5 * 230, rel=1e-5)


def test_the_focal_plane_rule_follows_a_resized_and_turned_photo(tmp_path: Path) -> None:
    tags = {FOCAL: 5.5, PLANE_X: 2300.0, PLANE_UNIT: 3, PIXEL_X: 1600, PIXEL_Y: 1200}
    path = write_jpeg(tmp_path / "a.jpg", tags)
    assert camera_from_exif(path, 800, 600).fx == pytest.approx(5.5 * 115, rel=1e-6)
    assert camera_from_exif(path, 600, 800).fx == pytest.approx(5.5 * 115, rel=1e-6)


@pytest.mark.parametrize(
    "tags",
    [
        None,
        {FOCAL_35: 0},
        {FOCAL: 5.5},
        {PLANE_X: 100.0},
        {FOCAL: 5.5, PLANE_X: 0.0},
        {FOCAL: 5.5, PLANE_X: 100.0, PLANE_UNIT: 1},
    ],
)
def test_without_a_focal_length_the_error_says_what_to_give(tmp_path: Path, tags: dict[int, Any] | None) -> None:
    path = write_jpeg(tmp_path / "plain.jpg", tags)
    with pytest.raises(CalibrationError, match=r"plain\.jpg has no EXIF focal length.*--intrinsics FX .*or --hfov"):
        camera_from_exif(path, 64, 48)


def test_an_unknown_focal_length_written_as_zero_by_zero(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL: 4.25, FOCAL_35: 28})
    data = path.read_bytes()
    fraction = struct.pack("<LL", 17, 4)
    assert data.count(fraction) == 1
    path.write_bytes(data.replace(fraction, bytes(8)))
    assert set(read_exif(path)) == {FOCAL_35}


def test_an_impossible_focal_length_is_refused(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL: 5.5, PLANE_X: 0.1})
    with pytest.raises(CalibrationError, match=r"EXIF focal length cannot be true .*--hfov"):
        camera_from_exif(path, 640, 480)


def test_broken_exif_is_one_clear_error(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 28})
    data = bytearray(path.read_bytes())
    at = data.index(b"Exif\0\0") + 6
    data[at + 4 : at + 8] = b"\xff\xff\xff\x7f"  # the first directory lies beyond the end
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=r"EXIF data is broken .*--intrinsics"):
        camera_from_exif(path, 64, 48)


def with_segment(path: Path, body: bytes, length: int) -> Path:
    """A whole JPEG that begins with an APP1 segment of `body` and the stated length."""
    data = write_jpeg(path).read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", length) + body + data[2:])
    return path


TIFF = b"Exif\0\0II*\0\x08\0\0\0"  # the first directory follows


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", 0),
        (b"", 1),
        (b"", 2),
        (b"", 60000),
        (b"Exif\0\0", 8),
        (b"Exif\0\0II*\0", 12),
        (b"Exif\0\0rubbish rubbish", 23),
        (TIFF, 16),
        (TIFF + b"\xff\xff", 18),
        (TIFF + struct.pack("<HHHLL", 1, EXIF_IFD, 4, 1, 0xFFFFFFF0), 30),
        (TIFF + struct.pack("<HHHLL", 1, EXIF_IFD, 4, 1, 8), 30),  # the directory refers to itself
        (TIFF + struct.pack("<HHHLL", 1, EXIF_IFD, 2, 4, 0), 30),  # text where an offset belongs
    ],
)
def test_a_damaged_segment_is_one_clear_line(
    body: bytes, length: int, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = with_segment(tmp_path / "a.jpg", body, length)
    with pytest.raises((CalibrationError, DataError), match=r"a\.jpg.*(EXIF|cannot be read)") as caught:
        camera_from_exif(path, 64, 48)
    assert "\n" not in str(caught.value) and not recwarn


def test_any_damage_is_one_clear_line_or_ignored(tmp_path: Path) -> None:
    """Bytes of the head set at random, files cut: an error of ours or a camera, never another exception."""
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 28, FOCAL: 4.25, PLANE_X: 100.0})
    whole, rng, cameras = path.read_bytes(), np.random.default_rng(0), 0
    head = whole.index(b"Exif") + 120
    for _ in range(300):
        data = np.frombuffer(whole, np.uint8)[: rng.integers(2, 2 * len(whole))].copy()
        places = rng.integers(2, min(head, len(data)), 3) if len(data) > 2 else []
        data[places] = rng.integers(0, 256, len(places))
        path.write_bytes(data.tobytes())
        try:
            cameras += camera_from_exif(path, 64, 48).width == 64
        except (CalibrationError, DataError) as error:
            assert "\n" not in str(error)
    assert 0 < cameras < 300


def test_damage_elsewhere_does_not_hide_the_focal_length(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 28, 0x9286: b"a comment of the camera"})
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<H", 0x9286)) + 4
    assert data[at : at + 4] == struct.pack("<L", 23)
    data[at : at + 4] = struct.pack("<L", 2**31)  # longer than the file
    path.write_bytes(data)
    if int(PIL.__version__.partition(".")[0]) < 13:  # it reads nothing behind a damaged entry
        with pytest.raises(CalibrationError, match="the EXIF data is broken"):
            read_exif(path)
    else:
        assert read_exif(path) == {FOCAL_35: 28}


def test_a_photo_of_200_megapixels_has_a_camera(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 26})
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 12288, 16384)
    path.write_bytes(data)
    assert camera_from_exif(path, 16384, 12288).width == 16384


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 0x8000, 0xFFFF]], np.uint16))
    np.testing.assert_allclose(read_photo(tmp_path / "a.png")[0, :, 0], [0, 128, 255], atol=1)


def test_other_formats_have_no_exif_here(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    assert read_exif(tmp_path / "a.png") == {}


def test_pixels_are_rgb(tmp_path: Path) -> None:
    rgb = read_photo(write_jpeg(tmp_path / "a.jpg"))
    assert rgb.shape == (48, 64, 3)
    assert rgb.dtype == np.uint8
    np.testing.assert_allclose(rgb[24, 8], (255, 0, 0), atol=6)
    np.testing.assert_allclose(rgb[24, -8], (0, 0, 255), atol=6)


def test_a_photo_is_turned_upright_and_its_camera_with_it(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 26}, orientation=6)  # 6: the stored left column is the top row
    rgb = read_photo(path)
    assert rgb.shape == (64, 48, 3)
    np.testing.assert_allclose(rgb[8, 24], (255, 0, 0), atol=6)
    camera = camera_from_exif(path, 48, 64)
    camera.check_image(rgb)
    assert camera.fx == pytest.approx(camera_from_exif(path, 64, 48).fx)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGBA", "png"), ("I;16", "png"), ("RGB", "tif"), ("RGB", "webp")]
)
def test_other_kinds_of_images_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (9, 7)).save(path)
    assert read_photo(path).shape == (7, 9, 3)


def test_what_is_no_image_is_one_clear_error(tmp_path: Path) -> None:
    whole = write_jpeg(tmp_path / "a.jpg").read_bytes()
    for name, data in (("text.jpg", b"not an image"), ("empty.jpg", b""), ("cut.jpg", whole[:100])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name} is not an image that can be read"):
            read_photo(tmp_path / name)
    with pytest.raises(DataError, match=r"gone.jpg cannot be read: No such file"):
        read_photo(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_photo(tmp_path)


def test_the_camera_agrees_with_the_field_of_view(tmp_path: Path) -> None:
    camera = camera_from_exif(write_jpeg(tmp_path / "a.jpg", {FOCAL_35: 35}), 3000, 2000)
    expected = PinholeCamera.from_hfov(3000, 2000, math.degrees(2 * math.atan(18 / 35)))
    np.testing.assert_allclose(camera.K, expected.K, rtol=1e-9)


def test_depth_files_in_their_units(tmp_path: Path) -> None:
    stored = np.array([[0, 1500, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "d.png"), stored)
    np.testing.assert_allclose(read_depth(tmp_path / "d.png"), [[np.nan, 1.5, 65.535]], rtol=1e-6)
    np.testing.assert_allclose(read_depth(tmp_path / "d.png", 5000.0), [[np.nan, 0.3, 13.107]], rtol=1e-6)
    cv2.imwrite(str(tmp_path / "d8.png"), np.array([[0, 51, 255]], np.uint8))
    np.testing.assert_allclose(read_depth(tmp_path / "d8.png", 25.5, bits=8), [[np.nan, 2, 10]], rtol=1e-6)
    metres = np.array([[np.nan, -1.0, 0.0, 2.5, np.inf]], np.float32)
    cv2.imwrite(str(tmp_path / "d.tiff"), metres)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.tiff"), [[np.nan, np.nan, np.nan, 2.5, np.inf]])


def test_what_is_no_depth_file_is_reported(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((2, 2), np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"grey\.png: depth must be one channel of 16 bits .* got uint8 of shape"):
        read_depth(tmp_path / "grey.png")
    for name in ("text.png", "empty.png"):
        with pytest.raises(DataError, match=f"{name} is not an image that can be read"):
            read_depth(tmp_path / name)
    with pytest.raises(DataError, match="gone.png cannot be read"):
        read_depth(tmp_path / "gone.png")


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg")
    os.truncate(path, 40 << 30)  # nothing is stored
    for read in (read_photo, read_depth, read_grey):
        with pytest.raises(DataError, match=r"a\.jpg cannot be read: it has 42949672960 bytes, at most 867108864 are"):
            read(path)
    os.truncate(path, 80 << 20)
    assert read_photo(path).any()
    with pytest.raises(DataError, match="at most 75108864 are read"):
        read_photo(path, max_megapixels=1.0)
