"""CompressedImage as image_transport and compressed_depth_image_transport write it, and names of topics."""

from __future__ import annotations

import io
import math
import struct
from array import array

import cv2
import numpy as np
import pytest
from encoded import depth_with_holes, png_of, rvl_of
from numpy.typing import NDArray
from PIL import Image as PillowImage
from sensor_msgs.msg import CompressedImage, Image

from mono_depth_recon import messages
from mono_depth_recon.decoding import StreamBits
from mono_depth_recon.errors import DataError
from mono_depth_recon.ros import conversions as c


def raw(pixels: NDArray[np.uint16], encoding: str) -> Image:
    height, width = pixels.shape
    return Image(height=height, width=width, encoding=encoding, step=2 * width, data=array("B", pixels.tobytes()))


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 12)])
def test_compressed_images(suffix: str, tolerance: int) -> None:
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:, :24], rgb[:, 24:] = (220, 30, 60), (10, 200, 90)
    _, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    got = messages.rgb_of(CompressedImage(format="jpeg", data=array("B", data.tobytes())))
    assert np.abs(got[:, 4:20].astype(int) - rgb[:, 4:20]).max() <= tolerance
    with pytest.raises(DataError, match="whole JPEG, PNG"):
        messages.rgb_of(CompressedImage(format="jpeg", data=array("B", data.tobytes()[:40])))
    with pytest.raises(DataError, match="0 bytes"):
        messages.rgb_of(CompressedImage(format="jpeg"))


def compressed(pixels: NDArray[np.generic], form: str, suffix: str = ".png") -> CompressedImage:
    """What image_transport publishes of an OpenCV image: its channels as they are, encoded as if they were BGR."""
    _, data = cv2.imencode(suffix, pixels)
    return CompressedImage(format=form, data=array("B", data.tobytes()))


def noisy_jpeg(**options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["jpeg", "rgb8; jpeg compressed bgr8", "rgb8; jpeg compressed rgb8"])
def test_a_jpeg_has_the_pixels_that_opencv_decodes(form: str) -> None:
    data = noisy_jpeg()
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = stored if "rgb8;" in form and "bgr8" not in form else stored[..., ::-1]
    got = messages.rgb_of(CompressedImage(format=form, data=array("B", data)))
    assert np.abs(got.astype(int) - expected).max() <= 2  # two builds of one library
    assert got.flags.writeable and got.flags.c_contiguous


def test_a_jpeg_of_other_colours_is_opencvs() -> None:
    file = io.BytesIO()
    PillowImage.new("CMYK", (8, 6), (0, 0, 0, 0)).save(file, "JPEG")
    got = messages.rgb_of(CompressedImage(format="jpeg", data=array("B", file.getvalue())))
    assert got.shape == (6, 8, 3)


def test_damaged_images_are_one_line_and_the_decoders_print_none(capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg and libpng would print one for each."""
    jpeg, rng, refused = noisy_jpeg(), np.random.default_rng(1), 0
    for _ in range(100):
        damaged = bytearray(jpeg)
        for place in rng.integers(len(jpeg) // 4, len(jpeg), 20):
            damaged[place] = rng.integers(0, 256)
        try:
            messages.rgb_of(CompressedImage(format="jpeg", data=array("B", damaged)))
        except DataError as error:
            refused += 1
            assert "of format 'jpeg' is damaged" in str(error) and "\n" not in str(error)
    assert refused > 5, "many show in the pixels alone"
    for length in (len(jpeg) - 2, len(jpeg) // 2):
        with pytest.raises(DataError, match=rf"is damaged \({length} bytes of JPEG\): image file is truncated"):
            messages.rgb_of(CompressedImage(format="jpeg", data=array("B", jpeg[:length])))
    png = cv2.imencode(".png", np.arange(300, dtype=np.uint8).reshape(10, 10, 3))[1].tobytes()
    damages = [png[:place] + bytes([png[place] ^ 255]) + png[place + 1 :] for place in range(12, len(png) - 12)]
    for data in (*damages, png[:-1], png[:60], png[:-12]):
        with pytest.raises(DataError):
            messages.rgb_of(CompressedImage(format="png", data=array("B", data)))
    with_text = png[:33] + struct.pack(">I", 3) + b"tEXta\0b" + bytes(4) + png[33:]  # a part beside the image
    assert messages.rgb_of(CompressedImage(format="png", data=array("B", with_text))).shape == (10, 10, 3)
    assert capfd.readouterr().err.replace("libpng warning: tEXt: CRC error\n", "") == ""


def test_the_format_of_image_transport_gives_the_channels_their_meaning() -> None:
    """Published images are rgb (10, 120, 240); those without "compressed bgr" were handed to the encoder as RGB."""
    rgb = np.full((16, 16, 3), (10, 120, 240), np.uint8)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    for suffix, kind in ((".png", "png"), (".jpg", "jpeg")):
        messages_of_it = [
            compressed(bgr, f"rgb8; {kind} compressed bgr8", suffix),
            compressed(bgr, f"bgr8; {kind} compressed bgr8", suffix),
            compressed(bgr, f"bgra8; {kind} compressed bgr8", suffix),
            compressed(rgb, f"rgb8; {kind} compressed rgb8", suffix),
            compressed(rgb, f"bgr8; {kind} compressed ", suffix),
            compressed(bgr, kind, suffix),
            compressed(bgr, f"rgb8; {kind}", suffix),
        ]
        for msg in messages_of_it:
            got = messages.rgb_of(msg).astype(int)
            assert np.abs(got - rgb).max() <= (0 if kind == "png" else 6), msg.format
    wide = compressed(bgr.astype(np.uint16) * 257, "rgb16; png compressed bgr16")
    assert np.array_equal(messages.rgb_of(wide), rgb)
    with_alpha = compressed(np.dstack([bgr, np.zeros((16, 16), np.uint8)]), "png")
    assert np.array_equal(messages.rgb_of(with_alpha), rgb)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_becomes_colour(pattern: str) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    mosaic = np.tile(np.array([colour[p] for p in pattern], np.uint8).reshape(2, 2), (8, 8))
    got = messages.rgb_of(compressed(mosaic, f"bayer_{pattern}8; png compressed "))
    assert (got[2:-2, 2:-2] == [200, 120, 40]).all()
    lossy = messages.rgb_of(compressed(mosaic, f"bayer_{pattern}8; jpeg compressed ", ".jpg"))
    assert np.abs(lossy[2:-2, 2:-2].reshape(-1, 3).mean(axis=0) - [200, 120, 40]).max() < 6
    wide = mosaic.astype(np.uint16) * 257
    for msg in (raw(wide, f"bayer_{pattern}16"), compressed(wide, f"bayer_{pattern}16; png compressed ")):
        assert (messages.rgb_of(msg)[2:-2, 2:-2] == [200, 120, 40]).all()
    grey = messages.rgb_of(compressed(mosaic, "mono8; png compressed "))
    assert np.array_equal(grey, np.repeat(mosaic[..., None], 3, axis=2))


def test_twelve_bits_in_mono16_are_not_black() -> None:
    ramp = np.linspace(0, 4095, 60).astype(np.uint16).reshape(6, 10)
    for msg in (raw(ramp, "mono16"), compressed(ramp, "mono16; png compressed ")):
        assert np.array_equal(messages.rgb_of(msg)[..., 0], ramp >> 4)


@pytest.mark.parametrize(
    ("form", "topic", "depth"),
    [
        ("16UC1; png compressed ", "/camera/image", True),
        ("32FC1; tiff compressed ", "/camera/image", True),
        ("16UC1; compressedDepth", "/camera/image", True),
        ("mono16; compressedDepth png", "/camera/image", True),
        ("mono16; png compressed ", "/camera/depth/image/compressed", True),
        ("mono16; png compressed ", "/camera/infra1/image_rect_raw/compressed", False),
        ("mono8; jpeg compressed ", "/camera/depth/image/compressed", False),
        ("rgb8; jpeg compressed bgr8", "/depth_camera/rgb/image/compressed", False),
        ("jpeg", "/camera/depth/image/compressed", False),
        ("png", "/camera/depth/image/compressed", False),  # without a picture
        ("16UC1; png compressed ", "/camera/infra1/image_rect_raw/compressed", False),
        ("16UC1; png compressed ", "/device_0/sensor_0/Infrared_1/image/data", False),
        ("16UC1; png compressed ", "/depth_camera/ir/image_raw/compressed", False),
        ("16UC1; png compressed ", "/ir_camera/depth/image_raw/compressed", True),
        ("16UC1; png compressed ", "/camera/aligned_depth_to_infra1/image_raw/compressed", True),
        ("16UC1; png compressed ", "/first/image/compressed", True),
        ("mono16; png compressed ", "/depth_camera/rgb/image/compressed", False),
        ("mono16; png compressed ", "/camera/DepthImage", True),
    ],
)
def test_which_compressed_images_hold_depth(form: str, topic: str, depth: bool) -> None:
    assert messages.is_depth(CompressedImage(format=form), topic) == depth


@pytest.mark.parametrize(
    ("pixels", "topic", "depth"),
    [
        (np.full((4, 4), 1000, np.uint16), "/camera/depth/image", True),
        (np.full((4, 4), 1000, np.uint16), "/camera/aligned_depth_to_color/image_raw", True),
        (np.full((4, 4), 1000, np.uint16), "/camera/infra1/image", False),
        (np.full((4, 4), 1000, np.uint16), "/camera/image", False),
        (np.full((4, 4), 100, np.uint8), "/camera/depth/image", False),
        (np.full((4, 4, 3), 100, np.uint8), "/camera/depth/image", False),
        (np.full((4, 4, 3), 1000, np.uint16), "/camera/depth/image", False),
    ],
)
def test_a_png_without_an_encoding_is_depth_by_its_pixels_and_topic(
    pixels: NDArray[np.generic], topic: str, depth: bool
) -> None:
    for form in ("png", "", "png; "):
        msg = compressed(pixels, form)
        assert messages.is_depth(msg, topic) == depth
        if depth:
            assert (messages.depth_of(msg) == 1).all()
        else:
            assert messages.rgb_of(msg).shape == (4, 4, 3)


@pytest.mark.parametrize("topic", ["/camera/infra1/image_rect_raw", "/camera/depth/image_rect_raw"])
def test_raw_images_follow_the_same_rule(topic: str) -> None:
    for encoding in ("16UC1", "mono16"):
        assert messages.is_depth(raw(np.zeros((2, 2), np.uint16), encoding), topic) == ("depth" in topic)


@pytest.mark.parametrize("name", ["BAYER_RGGB8", "bayer_xyz8", "BayerRG8"])
def test_an_unknown_mosaic_is_one_clear_line_and_not_grey(name: str) -> None:
    """Names are compared as sensor_msgs does, capitals included."""
    pixels = np.zeros((4, 4), np.uint8)
    image = Image(height=4, width=4, encoding=name, step=4, data=array("B", bytes(16)))
    for msg in (
        compressed(pixels, f"{name}; png compressed "),
        compressed(pixels, f"{name}; jpeg compressed ", ".jpg"),
    ):
        with pytest.raises(DataError, match=f"^Bayer images must have one of .*bayer_rggb8, .*, got '{name}'$"):
            messages.rgb_of(msg)
    with pytest.raises(DataError, match=f"must have one of the encodings .*bayer_rggb8, .* got '{name}'$"):
        messages.rgb_of(image)


def test_images_of_one_stream_share_their_scale() -> None:
    stream = StreamBits()
    for largest in (4000, 1900, 900):
        pixels = np.full((2, 2), 160, np.uint16)
        pixels[0, 0] = largest
        for msg in (raw(pixels, "mono16"), compressed(pixels, "mono16; png compressed ")):
            assert c.image_from_msg(msg, stream=stream)[1, 1, 0] == 10


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/image_rect", True),
        ("/camera/image_rect/compressed", True),
        ("/camera/image_rect_color/compressedDepth", True),
        ("/camera/rect/image", True),
        ("/camera/rect/image/theora", True),
        ("/camera/rectified/ffmpeg", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/left/image_rectified", True),
        ("image_rect", True),
        ("/cam/imageRect", True),
        ("/cam/IMAGE_RECT", True),
        ("left/image_rect_raw", True),
        ("/rectified", True),
        ("/cam/rect2/image", True),
        ("/cam/not_rectified/image", False),
        ("/cam/non_rect/image", False),
        ("/cam/no_rect/image", False),
        ("/cam/un_rect/image", False),
        ("/cam/unrectified/image", False),
        ("/cam/unRectified/image", False),
        ("/cam/image_not_rectified", False),
        ("/cam/image_unrect", False),
        ("/not/rectified/image", False),
        ("/cam/not_rectified/image_rect", True),
        ("/camera/image_direct", False),
        ("/camera/image_raw/compressed", False),
        ("/correct/image", False),
        ("/rectangle/image_unrectified", False),
        ("/camera/image", False),
        ("/robot_rect/cam/image_raw", False),
        ("/rect/image_raw/compressed", False),
    ],
)
def test_which_topics_are_rectified(topic: str, rectified: bool) -> None:
    assert messages.is_rectified(topic) == rectified


def inverse_depth(metres: NDArray[np.float32], depth_max: float = 10.0) -> tuple[bytes, NDArray[np.uint16]]:
    """Header and values of compressed_depth_image_transport with its depth_quantization of 100, pixel by pixel."""
    a = np.float32(100.0 * 101.0)
    b = np.float32(1.0 - float(a) / depth_max)
    values = [[int(a / z + b) if z < depth_max else 0 for z in row] for row in metres]  # NaN is not less either
    return struct.pack("<iff", 1, a, b), np.array(values, np.uint16)


@pytest.mark.parametrize("kind", ["png", "rvl", ""])
def test_compressed_depth_of_floats(kind: str) -> None:
    """Quantised in steps of z^2 / a; NaN, +Inf and what is beyond depth_max were stored as unknown."""
    metres = np.linspace(0.3, 9.9, 24 * 32, dtype=np.float32).reshape(24, 32)
    metres[3, 4], metres[5, 6], metres[7, 8:12] = np.nan, np.inf, 12.0
    header, values = inverse_depth(metres)
    body = rvl_of(values) if kind == "rvl" else cv2.imencode(".png", values)[1].tobytes()
    msg = CompressedImage(format=f"32FC1; compressedDepth {kind}".strip(), data=array("B", header + body))
    with np.errstate(all="raise"):
        got, known = messages.depth_of(msg), metres < 10
    assert np.array_equal(np.isfinite(got), known) and np.isnan(got[~known]).all()
    assert (np.abs(got - metres)[known] <= 1.1 * metres[known] ** 2 / 10100).all()


@pytest.mark.parametrize("kind", ["png", "rvl", ""])
def test_compressed_depth_of_millimetres(kind: str) -> None:
    values = depth_with_holes(3, 0.4)
    body = rvl_of(values) if kind == "rvl" else cv2.imencode(".png", values)[1].tobytes()
    form = f"16UC1; compressedDepth {kind}".strip()
    got = messages.depth_of(CompressedImage(format=form, data=array("B", bytes(12) + body)))
    np.testing.assert_allclose(got, np.where(values, values / 1000, np.nan), rtol=1e-6)
    for data in (bytes(11), bytes(12), bytes(12) + body[: len(body) // 2]):
        with pytest.raises(DataError, match="compressed depth") as caught:
            messages.depth_of(CompressedImage(format=form, data=array("B", data)))
        assert "\n" not in str(caught.value)


def test_a_compressed_image_that_claims_too_much_is_one_line() -> None:
    msg = CompressedImage(format="png", data=array("B", png_of(60_000, 60_000)))
    for read in (messages.rgb_of, c.image_from_msg, messages.depth_of):
        with pytest.raises(DataError, match=r"of format 'png' has 60000x60000 pixels, more than 100 megapixels"):
            read(msg)
    with pytest.raises(DataError, match="more than 4000 megapixels"):
        messages.rgb_of(CompressedImage(format="png", data=array("B", png_of(70_000, 70_000))), 4000.0)
    small = compressed(np.full((100, 100), 7, np.uint16), "16UC1; png compressed ")
    assert messages.depth_of(small, max_megapixels=0.01).shape == messages.rgb_of(small, 0.01).shape[:2] == (100, 100)
    for read in (messages.rgb_of, lambda msg, limit: messages.depth_of(msg, max_megapixels=limit)):
        with pytest.raises(DataError, match=r"100x100 pixels, more than 0.009 megapixels"):
            read(small, 0.009)


@pytest.mark.parametrize(
    "topic", ["/cam/depth_confidence", "/nir/image", "/lwir/image", "/camera/reflectivity", "/depth/amplitude"]
)
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_maps_beside_depth_are_no_depth(topic: str, encoding: str) -> None:
    kind = np.uint16 if encoding == "16UC1" else np.float32
    assert not messages.is_depth(raw(np.zeros((2, 2), kind), encoding), topic)
    assert messages.is_depth(raw(np.zeros((2, 2), kind), encoding), "/camera/image")


def test_compressed_depth_that_cannot_be_is_one_line() -> None:
    for size in ((0, 0), (4, 0)):
        data = array("B", bytes(12) + struct.pack("<II", *size))
        with pytest.raises(DataError, match="must have pixels, got"):
            messages.depth_of(CompressedImage(format="16UC1; compressedDepth rvl", data=data))
    for pixels in (np.full((2, 2), 7, np.uint8), np.full((2, 2, 3), 7, np.uint16)):
        with pytest.raises(
            DataError, match=r"^compressed depth of format 'png' must be one channel of 16 bits, got uint"
        ):
            messages.depth_of(compressed(pixels, "png"))
    body = cv2.imencode(".png", np.full((2, 2), 7, np.uint16))[1].tobytes()
    data = array("B", struct.pack("<iff", 1, math.nan, 1.0) + body)
    with pytest.raises(DataError, match="must have a finite quantisation in its header, got nan and 1"):
        messages.depth_of(CompressedImage(format="32FC1; compressedDepth png", data=data))
    for form in ("16UC1; compresseddepth png", "16UC1;compressedDepth PNG"):
        msg = CompressedImage(format=form, data=array("B", bytes(12) + body))
        assert messages.is_depth(msg, "/a") and (messages.depth_of(msg) == np.float32(0.007)).all()
    rvl = array("B", bytes(12) + rvl_of(np.full((2, 2), 7, np.uint16)))
    assert messages.depth_of(CompressedImage(format="16UC1;compressedDepth RVL", data=rvl)).shape == (2, 2)
