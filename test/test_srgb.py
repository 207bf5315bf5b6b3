"""sRGB and linear light: values of the standard, and there and back."""

from __future__ import annotations

import numpy as np

from mono_depth_recon.srgb import linear_light, srgb_bytes


def test_every_byte_comes_back_and_known_values_hold() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    linear = linear_light(every)
    np.testing.assert_array_equal(srgb_bytes(linear), every)
    np.testing.assert_array_equal(srgb_bytes(linear.astype(np.float32)), every)
    np.testing.assert_allclose(
        linear_light(np.array([0, 10, 188, 255], np.uint8)), [0, 0.003035, 0.502886, 1], atol=1e-6
    )


def test_light_outside_the_range_is_clipped() -> None:
    np.testing.assert_array_equal(srgb_bytes(np.array([-1.0, 0.0, 0.5, 1.0, 7.0])), [0, 0, 188, 255, 255])
