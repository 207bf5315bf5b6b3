"""RVL against its definition value by value, and inverse depth read back as compressed_depth_image_transport does."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from encoded import depth_with_holes, rvl_of

from mono_depth_recon import encoding
from mono_depth_recon.arrays import Depth
from mono_depth_recon.decoding import decoded_rvl
from mono_depth_recon.encoding import compressed_depth, encoded_rvl
from mono_depth_recon.messages import depth_of, is_depth


def metres() -> Depth:
    """0.1 to 10 m with holes, and depth beyond range."""
    depth = np.geomspace(0.1, 9.999, 40 * 60, dtype=np.float32).reshape(40, 60)
    depth[3, 4], depth[10:20, 5:9], depth[30, :] = np.nan, np.nan, np.inf
    return depth


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(23, 37), (1, 1), (1, 2), (2, 1)])
def test_rvl_is_that_of_the_paper(share: float, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    image = depth_with_holes(round(100 * share), share, shape)
    for block in (2**15, 7):
        monkeypatch.setattr(encoding, "_BLOCK", block)
        data = encoded_rvl(image)
        assert data == rvl_of(image)
        np.testing.assert_array_equal(decoded_rvl(data, "image"), image)


def test_rvl_of_long_runs() -> None:
    image = np.zeros((600, 500), np.uint16)
    image[100:400] = 7
    image[200, 3] = 65535
    np.testing.assert_array_equal(decoded_rvl(encoded_rvl(image), "image"), image)


@pytest.mark.parametrize("kind", ["png", "rvl"])
@pytest.mark.parametrize(("near", "far"), [(0.1, 10.0), (0.3, 10.0), (0.1, 80.0), (2.0, 2.5)])
def test_inverse_depth_is_as_fine_as_its_header_says(kind: str, near: float, far: float) -> None:
    """Read as compressed_depth_image_transport does: a / (value - b), 0 unknown."""
    depth = np.clip(metres(), near, far * 0.999)
    depth[~np.isfinite(metres())] = metres()[~np.isfinite(metres())]
    form, data = compressed_depth(depth, "32FC1", kind, near, far)
    kind_of_config, a, b = struct.unpack_from("<iff", data)
    assert (kind_of_config, form) == (0, f"32FC1; compressedDepth {kind}")
    assert a <= 10100 and b == pytest.approx(1 - a / far)
    values = decoded_rvl(data[12:], "") if kind == "rvl" else cv2.imdecode(np.frombuffer(data[12:], np.uint8), -1)
    known = np.isfinite(depth)
    assert values.dtype == np.uint16 and ((values > 0) == known).all()
    read = a / (values[known].astype(np.float32) - np.float32(b))
    assert (np.abs(read - depth[known]) <= 0.51 * depth[known] ** 2 / a + 1e-6 * far).all()
    msg = SimpleNamespace(format=form, data=data)
    assert is_depth(msg, "/a") and np.isnan(depth_of(msg)[~known]).all()
    np.testing.assert_allclose(depth_of(msg)[known], read, rtol=1e-5)
