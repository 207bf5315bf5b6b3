"""Encoded images: sizes in headers against what other libraries write, limits, damage, and RVL against its encoder."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from encoded import depth_with_holes, png_of, rvl_of
from PIL import Image

from mono_depth_recon.body_mask import load_mask
from mono_depth_recon.decoding import StreamBits, decoded, decoded_rvl, eight_bits, stated_size
from mono_depth_recon.errors import ConfigError, DataError, ModelError
from mono_depth_recon.models.runtimes import calibration
from mono_depth_recon.photo import read_depth, read_exif, read_grey, read_photo


def by_pillow(kind: str, width: int, height: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (10, 200, 90)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "comment": b"\xff\xc0 within a comment"}),
        ("PNG", {}),
        ("BMP", {}),
        ("WebP", {}),
        ("WebP", {"lossless": True}),
        ("WebP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),  # the extended form
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"big_tiff": True}),
        ("PPM", {}),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 1), (300, 1), (517, 1031)])
def test_the_header_has_the_size_that_is_decoded(
    kind: str, options: dict[str, object], width: int, height: int
) -> None:
    data = by_pillow(kind, width, height, **options)
    assert stated_size(data) == (width, height)
    assert decoded(data, cv2.IMREAD_COLOR, "it").shape == (height, width, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".pgm", ".ppm"])
def test_files_of_opencv_are_known_too(suffix: str) -> None:
    _, data = cv2.imencode(suffix, np.zeros((37, 59) if suffix == ".pgm" else (37, 59, 3), np.uint8))
    assert stated_size(data.tobytes()) == (59, 37)


def test_other_headers() -> None:
    big_endian = b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 70, 0, 257, 4, 1, 0, 50)
    assert stated_size(big_endian) == (70, 50)
    assert stated_size(b"BM" + bytes(12) + struct.pack("<IHH", 12, 33, 44)) == (33, 44)
    assert stated_size(b"BM" + bytes(12) + struct.pack("<Iii", 40, 33, -44)) == (33, 44)
    assert stated_size(b"P5\n# a comment\n 12 # another\n34\n255\n") == (12, 34)
    assert stated_size(b"Pf\n5 6\n-1.0\n") == (5, 6)


def test_garbage_between_segments_of_a_jpeg_is_skipped() -> None:
    data = by_pillow("JPEG", 64, 48)
    for between in (b"rubbish", b"\xff\xff\xff", b"\xff\xe1\0\0", b"\xff\xe1\0\x01", b"\xff\xe1\0\x02"):
        damaged = data[:2] + between + data[2:]
        assert stated_size(damaged) == (64, 48)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WebP", "TIFF", "PPM"])
def test_any_damage_is_one_clear_line_or_an_image(kind: str) -> None:
    whole, rng = np.frombuffer(by_pillow(kind, 40, 30), np.uint8), np.random.default_rng(0)
    read = 0
    for _ in range(100):
        data = whole[: rng.integers(1, 2 * len(whole))].copy()
        data[rng.integers(0, min(60, len(data)), 3)] = rng.integers(0, 256, 3)
        try:
            read += decoded(data, cv2.IMREAD_COLOR, "it", 1.0).size > 0
        except DataError as error:
            assert str(error).startswith("it ") and "\n" not in str(error)
    assert read < 100


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=f"^it has {width}x{height} pixels, more than 100 megapixels: shrink it"):
        decoded(png_of(width, height), cv2.IMREAD_COLOR, "it")


def test_the_limit_is_the_callers() -> None:
    data = by_pillow("PNG", 100, 101)
    assert decoded(data, cv2.IMREAD_COLOR, "it", 0.0101).shape == (101, 100, 3)
    with pytest.raises(DataError, match=r"has 100x101 pixels, more than 0\.01 megapixels"):
        decoded(data, cv2.IMREAD_COLOR, "it", 0.01)


def test_errors_of_the_library_are_ours() -> None:
    """OpenCV raises for a side beyond 2^20 pixels; other damage makes it return nothing."""
    bitmap = bytearray(by_pillow("BMP", 4, 4))
    bitmap[18:26] = struct.pack("<ii", 2**20 + 1, 1)
    with pytest.raises(DataError, match="^it cannot be decoded: ") as caught:
        decoded(bitmap, cv2.IMREAD_COLOR, "it")
    assert "\n" not in str(caught.value)
    for data in (b"", b"no image", png_of(60, 60)[:30], by_pillow("GIF", 8, 8)):
        with pytest.raises(DataError, match=rf"^it is not an image that can be read \({len(data)} bytes\)"):
            decoded(data, cv2.IMREAD_COLOR, "it")


def test_every_reader_of_files_refuses_a_header_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_of(60_000, 60_000))
    for read in (read_photo, read_depth, read_grey):
        with pytest.raises(DataError, match=r"huge\.png has 60000x60000 pixels"):
            read(path)
    with pytest.raises(ConfigError, match=r"^camera\.mask: .*huge\.png has 60000x60000 pixels"):
        load_mask(str(path))
    with pytest.raises(ModelError, match=r"^model\.calibration: .*huge\.png is not a readable image: remove it"):
        calibration._read(path)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_an_empty_exif_segment_costs_only_the_exif_data(tmp_path: Path, length: int) -> None:
    data, path = by_pillow("JPEG", 64, 48), tmp_path / "a.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", length) + data[2:])
    assert read_photo(path).shape == (48, 64, 3)
    try:
        assert read_exif(path) == {}
    except DataError as error:
        assert "a.jpg cannot be read" in str(error)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_sixteen_bits_hold_what_the_sensor_has(bits: int) -> None:
    """A ramp to the largest value is a ramp to at least half of white, and no brighter than white."""
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)[None]
    got = eight_bits(ramp)
    sensor_bits = bits + bits % 2
    np.testing.assert_array_equal(got, ramp >> (sensor_bits - 8))
    assert got.dtype == np.uint8 and got.max() >= 127


def test_eight_bits_stay_and_other_types_are_refused(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert eight_bits(grey) is grey
    assert not eight_bits(np.zeros((2, 2), np.uint16)).any()
    cv2.imwrite(str(tmp_path / "float.tiff"), np.ones((4, 4, 3), np.float32))
    with pytest.raises(DataError, match=r"float\.tiff: a colour image must have 8 or 16 bits a channel, got float32"):
        read_photo(tmp_path / "float.tiff")


def test_a_photo_of_twelve_bits_is_not_black(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 2048, 4095]], np.uint16))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png")[0, :, 0], [0, 128, 255])


def test_a_stream_keeps_its_brightness() -> None:
    """An image with a maximum of 900 alone counts as 10 bits."""
    said: list[str] = []
    stream = StreamBits(said.append)
    for largest in (4000, 1900, 900, 0, 4000):
        got = eight_bits(np.array([[160 * (largest > 0), largest]], np.uint16), stream)
        assert got.tolist() == [[10 * (largest > 0), largest >> 4]]
    assert not said and stream.bits == 12
    single = eight_bits(np.array([[160, 900]], np.uint16))
    assert single.tolist() == [[40, 225]]


def test_a_stream_that_starts_in_the_dark_says_once_that_its_scale_changes() -> None:
    said: list[str] = []
    stream = StreamBits(said.append)
    first = [eight_bits(np.full((1, 2), value, np.uint16), stream)[0, 0] for value in (0, 300, 4000, 300, 4095)]
    assert first == [0, 75, 250, 18, 255]
    assert said == [
        "16-bit images have values up to 4000: they count as 12 bits from here on; those before counted as 10 and are "
        "4 times brighter"
    ]
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert eight_bits(grey, stream) is grey


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_rvl_comes_back_exactly(share: float) -> None:
    for seed in range(5):
        image = depth_with_holes(seed, share)
        np.testing.assert_array_equal(decoded_rvl(rvl_of(image), "it"), image)


def test_rvl_of_one_pixel_by_hand() -> None:
    """No zeros, one other, +5 as zigzag 10: nibbles 0, 1, 8 | 2, 1 (10 = 2 + 8 * 1)."""
    assert decoded_rvl(struct.pack("<III", 1, 1, 0x01A10000), "it").tolist() == [[5]]


def test_damaged_rvl_is_one_clear_line() -> None:
    data = rvl_of(depth_with_holes(0, 0.3))
    for cut in range(0, len(data) - 4, 31):
        with pytest.raises(DataError, match="^it (must begin with width|is damaged)"):
            decoded_rvl(data[:cut], "it")
    for words in (b"\xff" * 400, bytes(400), b""):
        with pytest.raises(DataError, match="^it is damaged"):
            decoded_rvl(data[:8] + words, "it")
    with pytest.raises(DataError, match="^it has 60000x60000 pixels, more than 100"):
        decoded_rvl(struct.pack("<II", 60_000, 60_000) + data[8:], "it")
    rng = np.random.default_rng(1)
    for _ in range(200):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(8, len(data), 3)] = rng.integers(0, 256, 3)
        try:
            assert decoded_rvl(broken.tobytes(), "it").shape == (23, 37)
        except DataError as error:
            assert str(error).startswith("it is damaged")
