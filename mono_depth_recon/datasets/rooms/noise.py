"""Tileable noise, the raw material of the rooms' textures."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32: TypeAlias = NDArray[np.float32]
Rng: TypeAlias = np.random.Generator


def fractal(rng: Rng, n: int, slope: float, stretch: float = 1.0) -> F32:
    """Periodic noise (n, n) of spectrum 1/f^slope, about -1 to 1; `stretch` > 1 draws it out along x."""
    fy, fx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    f = np.hypot(fx * stretch, fy)
    f[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((n, n))) / np.maximum(f, 1 / n) ** slope
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (n, n))
    return (np.clip(noise / (2.2 * noise.std()), -1.4, 1.4)).astype(np.float32)


def grey(image: ArrayLike) -> F32:
    """A grey image (n, n) as (n, n, 3) float32 within 0 to 1."""
    return np.repeat(np.clip(np.asarray(image, np.float32), 0, 1)[..., None], 3, axis=2)
