"""The published resampling kernels, and the way back from the network's grid."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth_recon.models.resampling import KERNELS, antialiased, bilinear, bilinear_corners, restored

RGB = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
TARGETS = ((53, 37), (96, 64), (20, 11), (1, 1), (106, 9))


@pytest.mark.parametrize("size", TARGETS)
@pytest.mark.parametrize("corners", [True, False])
def test_plain_bilinear_is_that_of_torch(size: tuple[int, int], corners: bool) -> None:
    import torch

    tensor = torch.from_numpy(RGB).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, (size[1], size[0]), mode="bilinear", align_corners=corners)
    found = (bilinear_corners if corners else bilinear)(RGB, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=0.01)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_antialiased_kernels_are_within_a_grey_level_of_torch(kernel: str) -> None:
    import torch

    tensor = torch.from_numpy(RGB).permute(2, 0, 1)[None].float()
    for columns, rows in TARGETS[1:]:
        expected = torch.nn.functional.interpolate(tensor, (rows, columns), mode=kernel, antialias=True)
        expected = expected[0].permute(1, 2, 0).clamp(0, 255).numpy()
        found = antialiased(RGB, (columns, rows), kernel)  # type: ignore[arg-type]
        assert np.abs(found - expected).mean() < 0.5
        assert np.percentile(np.abs(found - expected), 99) <= 2.5  # noise overshoots, and Pillow clips between passes
    assert antialiased(RGB, (53, 37), "bicubic") is RGB


def test_kernels_are_numbered_as_pillow_numbers_them() -> None:
    from PIL import Image

    assert {value: Image.Resampling(value).name.lower() for value in KERNELS} == KERNELS


def test_restored_values_stay_between_their_neighbours() -> None:
    """A step of depth: bicubic would overshoot."""
    step = np.where(np.arange(40) < 20, 1.0, 9.0).astype(np.float32)
    back = restored(np.tile(step, (30, 1)), (131, 77))
    assert back.shape == (77, 131)
    assert back.dtype == np.float32
    assert (back.min(), back.max()) == (1.0, 9.0)
    assert (np.diff(back, axis=1) >= 0).all()


def test_the_unknown_comes_back_nearest_and_pulls_nothing() -> None:
    values = np.full((20, 30), 4.0, np.float32)
    values[5:9, 10:14] = np.nan
    values[15, 3] = np.inf
    back = restored(values, (90, 60))
    unknown = np.zeros((20, 30), bool)
    unknown[5:9, 10:14] = unknown[15, 3] = True
    np.testing.assert_array_equal(np.isnan(back), np.kron(unknown, np.ones((3, 3), bool)))
    np.testing.assert_allclose(back[~np.isnan(back)], 4.0, rtol=1e-6)
    assert np.isnan(restored(np.full((4, 4), np.nan, np.float32), (9, 7))).all()


def test_restored_is_a_new_array_even_at_the_same_size() -> None:
    values = np.ones((6, 8), np.float32)
    assert not np.shares_memory(restored(values, (8, 6)), values)
