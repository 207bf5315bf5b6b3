"""The protocols by which a prediction is scored; every table names alignment, space, crop, range and averaging.

Without these names two tables of depth errors cannot be compared: figures in disparity space differ by a factor of two
from those in depth space, and an alignment hides an error of scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Mask
from .errors import DataError
from .frames import Prediction
from .metrics_depth import affine_fit, depth_errors, depth_of_affine, eigen_crop
from .metrics_edges import edge_errors
from .metrics_image import image_errors, min_max_scaled


@dataclass(frozen=True)
class Protocol:
    """How frames are scored. `alignment`, `space`, `crop` and `averaging` are words for tables.

    Truth outside `min_range` to `max_range` metres does not count; `clamped` predictions are held in that range,
    otherwise they count as they are.
    """

    name: str
    alignment: str
    space: str
    crop: str
    min_range: float
    max_range: float
    averaging: str
    clamped: bool

    def text(self) -> str:
        """One line for the head of a table."""
        held = ", predictions clamped to it" if self.clamped else ""
        return (f"{self.name}: alignment {self.alignment}; space {self.space}; crop {self.crop}; truth "
                f"{self.min_range:g} to {self.max_range:g} m{held}; averaging {self.averaging}")


_PER_FRAME = "mean of the frames' values"
PROTOCOLS = {row.name: row for row in (
    Protocol("paper", "prediction and truth each min-max scaled to [0, 1] over the compared pixels",
             "the model's own output (relative models: disparity, compared with depth as it is)", "none", 1e-3, 10.0,
             _PER_FRAME, False),
    Protocol("metric", "none", "depth", "none", 1e-3, 10.0, _PER_FRAME, False),
    Protocol("median", "prediction times median(truth) / median(prediction) of each frame", "depth", "none", 1e-3, 10.0,
             _PER_FRAME, False),
    Protocol("affine", "scale and shift of each frame, least squares in disparity", "depth", "none", 1e-3, 10.0,
             _PER_FRAME, True),
    Protocol("nyu", "none for metric models, scale and shift of each frame in disparity for relative ones", "depth",
             "Eigen: rows 45:471, columns 41:601 of 480 x 640", 1e-3, 10.0, _PER_FRAME, True),
)}


@dataclass(frozen=True)
class FrameScore:
    """The figures of one frame under one protocol, by name, and the share of the pixels with truth that counted.

    `aligned` (H, W) is the prediction as it was compared: metres, or [0, 1] under `paper`; NaN outside `mask`.
    """

    protocol: str
    figures: dict[str, float]
    coverage: float
    aligned: NDArray[np.float64]
    mask: Mask


def score(prediction: Prediction, truth: NDArray[np.floating], protocol: Protocol) -> FrameScore:
    """Scores a prediction against truth (H, W) in metres, NaN or 0 unknown.

    Raises DataError where shapes differ, no pixel counts, or the protocol needs metres that a relative model lacks.
    """
    values = _values(prediction)
    if values.shape != truth.shape:
        raise DataError(f"prediction and truth must have one shape, got {values.shape} and {truth.shape}")
    known = np.isfinite(truth) & (truth >= protocol.min_range) & (truth <= protocol.max_range)
    if protocol.name == "nyu":
        known &= eigen_crop(*truth.shape)
    mask = known & np.isfinite(values)
    if protocol.name != "paper":  # it compares whatever the model says
        mask &= values > 0
    if not mask.any():
        raise DataError(f"no pixel to compare: {int(known.sum())} have truth between {protocol.min_range:g} and "
                        f"{protocol.max_range:g} m, none of them a positive finite prediction")
    figures, aligned = _ALIGNED[protocol.name](prediction, truth, mask, protocol)
    return FrameScore(protocol.name, figures, float(mask.sum() / known.sum()), aligned, mask)


def _paper(prediction: Prediction, truth: NDArray[np.floating], mask: Mask,
           protocol: Protocol) -> tuple[dict[str, float], NDArray[np.float64]]:
    scaled = min_max_scaled(_values(prediction), mask)
    return asdict(image_errors(scaled, min_max_scaled(truth, mask), mask)), scaled


def _in_metres(prediction: Prediction, truth: NDArray[np.floating], mask: Mask,
               protocol: Protocol) -> tuple[dict[str, float], NDArray[np.float64]]:
    aligned = np.full(truth.shape, np.nan)
    aligned[mask] = _metres(prediction, truth, mask, protocol)
    if protocol.clamped:
        aligned[mask] = np.clip(aligned[mask], protocol.min_range, protocol.max_range)
    figures = asdict(depth_errors(aligned[mask], truth[mask]))
    edges = edge_errors(aligned, truth, mask)
    return {**figures, "edge_accuracy": edges.accuracy, "edge_completeness": edges.completeness}, aligned


def _metres(prediction: Prediction, truth: NDArray[np.floating], mask: Mask, protocol: Protocol) -> NDArray[np.float64]:
    """(N,) metres of the pixels of the mask, by the protocol's alignment."""
    fits = protocol.name == "affine" or (protocol.name == "nyu" and prediction.disparity is not None)
    if fits:
        values = _values(prediction)[mask].astype(np.float64)
        disparity = values if prediction.depth is None else 1 / values
        return depth_of_affine(disparity, *affine_fit(disparity, truth[mask]))
    if prediction.depth is None:
        raise DataError(f"protocol {protocol.name} needs metres, the model gives relative disparity: see affine, nyu")
    depth = prediction.depth[mask].astype(np.float64)
    return depth * (np.median(truth[mask]) / np.median(depth)) if protocol.name == "median" else depth


def _values(prediction: Prediction) -> NDArray[np.float32]:
    values = prediction.disparity if prediction.depth is None else prediction.depth
    assert values is not None  # Prediction holds one of them
    return values


_ALIGNED: dict[str, Callable[..., tuple[dict[str, float], NDArray[np.float64]]]] = {
    "paper": _paper, **dict.fromkeys(("metric", "median", "affine", "nyu"), _in_metres)}
