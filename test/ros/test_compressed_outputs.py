"""The compressed topics: formats and bytes as image_transport's plugins write them, read back by this package."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from std_msgs.msg import Header

from mono_depth_recon.config import CompressionConfig, Config, with_values
from mono_depth_recon.messages import depth_of, rgb_of
from mono_depth_recon.ros.conversions import compressed_depth_to_msg, compressed_rgb_to_msg

HEADER = Header(frame_id="lens")
DEPTH = np.geomspace(0.1, 9.999, 40 * 60, dtype=np.float32).reshape(40, 60)
DEPTH[3, 4], DEPTH[30] = np.nan, np.inf


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_millimetres_are_lossless(kind: str) -> None:
    config = with_values(Config(), {"depth.encoding": "16UC1", "compression.depth": kind})
    msg = compressed_depth_to_msg(DEPTH, HEADER, config)
    assert msg.format == f"16UC1; compressedDepth {kind}" and msg.header.frame_id == "lens"
    assert bytes(msg.data[:12]) == bytes(12)
    known = np.isfinite(DEPTH)
    np.testing.assert_allclose(depth_of(msg), np.where(known, np.rint(DEPTH * 1000) / 1000, np.nan), rtol=1e-6)


def test_depth_nearer_than_the_range_is_stored_as_the_nearest() -> None:
    depth = np.array([[0.02, 0.1, 9.0, 10.0, 12.0]], np.float32)
    config = with_values(Config(), {"filter.min_range": 0.0})
    got = depth_of(compressed_depth_to_msg(depth, HEADER, config))
    np.testing.assert_allclose(got, [[0.1, 0.1, 9.0, np.nan, np.nan]], rtol=2e-3)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_colour_is_read_back(kind: str) -> None:
    rgb: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)
    rgb[..., 0], rgb[:, 32:, 2] = 200, 90
    msg = compressed_rgb_to_msg(rgb, HEADER, CompressionConfig(rgb=kind))
    assert msg.format == f"rgb8; {kind} compressed bgr8" and msg.header == HEADER
    picture = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_COLOR)
    for read in (rgb_of(msg), picture[..., ::-1]):
        assert np.abs(read.astype(int) - rgb).mean() < (2.0 if kind == "jpeg" else 1e-9)
    assert bytes(msg.data[:4]) == (b"\xff\xd8\xff\xe0" if kind == "jpeg" else b"\x89PNG")


def test_a_higher_png_level_is_smaller() -> None:
    steps = np.arange(200 * 64, dtype=np.float32).reshape(64, 200) // 7
    rgb = np.repeat((steps.astype(np.int64) * 37 % 251).astype(np.uint8)[..., None], 3, 2)
    kinds = [CompressionConfig(rgb="png", png_level=level) for level in (0, 9)]
    sizes = [len(compressed_rgb_to_msg(rgb, HEADER, kind).data) for kind in kinds]
    assert sizes[1] < sizes[0] / 2
    configs = [with_values(Config(), {"compression.png_level": level}) for level in (0, 9)]
    sizes = [len(compressed_depth_to_msg(1 + steps / 1000, HEADER, config).data) for config in configs]
    assert sizes[1] < sizes[0] / 2


def test_a_lower_quality_is_smaller() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    sizes = [len(compressed_rgb_to_msg(rgb, HEADER, CompressionConfig(jpeg_quality=q)).data) for q in (95, 30)]
    assert sizes[1] < sizes[0] / 2
