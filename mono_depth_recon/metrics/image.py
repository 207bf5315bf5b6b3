"""Depth maps compared as images in [0, 1], as in the paper: SSIM, MSE, RMSE, PSNR and R2, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..errors import DataError
from .figure import Figure

SSIM_WINDOW = 7  # pixels, uniform, sample covariance: the defaults of scikit-image
_K1, _K2 = 0.01, 0.03  # Wang et al., IEEE TIP 2004

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageErrors:
    """Similarity of two images in [0, 1].

    `ssim` mean over all windows of 7x7 pixels without a hole, NaN if there is none; the others over the N pixels of
    the mask: `mse`; `rmse`; `psnr` 10 * log10(1 / mse) in dB, +Inf for equal images; `r2` 1 - squared errors / squared
    deviations of the truth from its mean: negative if a constant image would be better, -Inf for a constant truth.
    """

    ssim: Annotated[float, Figure("SSIM", "structural similarity, windows of 7 x 7 pixels", "high")]
    mse: Annotated[float, Figure("MSE", "mean squared error of the scaled maps", "low")]
    rmse: Annotated[float, Figure("RMSE", "root of the mean squared error of the scaled maps", "low")]
    psnr: Annotated[float, Figure("PSNR dB", "peak signal-to-noise ratio for a data range of 1", "high")]
    r2: Annotated[float, Figure("R²", "1 − squared errors / squared deviations from the mean", "high")]
    pixels: int


def min_max_scaled(values: NDArray[np.floating], mask: Mask) -> _Floats:
    """(H, W) float64 with the smallest value within `mask` (H, W) at 0 and the largest at 1; NaN outside the mask.

    A constant map becomes 0. DataError if the mask is empty or contains values that are not finite.
    """
    inside = values[mask].astype(np.float64)
    if not inside.size or not np.isfinite(inside).all():
        raise DataError(
            f"expected finite values to scale, got {inside.size} of which {int(np.isfinite(inside).sum())} are finite"
        )
    low, span = inside.min(), np.ptp(inside)
    scaled = np.full(values.shape, np.nan)
    scaled[mask] = (inside - low) / (span or 1.0)
    return scaled


def image_errors(picture: NDArray[np.floating], truth: NDArray[np.floating], mask: Mask) -> ImageErrors:
    """Compares two images (H, W) in [0, 1] on `mask` (H, W). DataError for an empty or misshapen mask."""
    if picture.shape != truth.shape or mask.shape != truth.shape:
        raise DataError(f"images and mask must have one shape, got {picture.shape}, {truth.shape} and {mask.shape}")
    p, t = picture[mask].astype(np.float64), truth[mask].astype(np.float64)
    if not p.size:
        raise DataError("no pixel to compare: the mask is empty")
    squares = float(np.sum((p - t) ** 2))
    deviations = float(np.sum((t - t.mean()) ** 2))
    mse = squares / p.size
    r2 = 1 - squares / deviations if deviations else float("-inf") if squares else 1.0
    return ImageErrors(
        ssim=ssim(picture, truth, mask),
        mse=mse,
        rmse=float(np.sqrt(mse)),
        psnr=float(-10 * np.log10(mse)) if mse else float("inf"),
        r2=r2,
        pixels=p.size,
    )


def ssim(a: NDArray[np.floating], b: NDArray[np.floating], mask: Mask | None = None) -> float:
    """Mean structural similarity of two images (H, W) of data range 1; NaN if every window has a hole.

    Windows that leave the image or contain a pixel outside `mask` are skipped; nothing is filled in.
    """
    import cv2

    height, width = a.shape
    if min(height, width) < SSIM_WINDOW:
        raise DataError(f"SSIM needs images of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got {width}x{height}")
    whole = np.ones(a.shape, np.bool_) if mask is None else mask
    x, y = (np.where(whole, image, 0).astype(np.float64, copy=False) for image in (a, b))
    pad, count = SSIM_WINDOW // 2, SSIM_WINDOW**2

    def mean(image: _Floats) -> _Floats:
        made: _Floats = cv2.blur(image, (SSIM_WINDOW, SSIM_WINDOW))[pad : height - pad, pad : width - pad]
        return made

    counted = (
        cv2.erode(whole.view(np.uint8), np.ones((SSIM_WINDOW, SSIM_WINDOW), np.uint8))[
            pad : height - pad, pad : width - pad
        ]
        > 0
    )
    if not counted.any():
        return float("nan")
    mean_x, mean_y, product = mean(x), mean(y), mean(x * y)
    square_sum = mean(x * x + y * y)
    unbiased = count / (count - 1)
    means, mean_squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    c1, c2 = _K1**2, _K2**2
    quality = (2 * means + c1) * (2 * unbiased * (product - means) + c2)
    quality /= (mean_squares + c1) * (unbiased * (square_sum - mean_squares) + c2)
    return float(quality[counted].mean())
