"""The protocols by which predictions are scored; every table states alignment, space, crop, range and averaging.

Without them two tables of depth errors cannot be compared: figures in disparity space differ by a factor of two from
those in depth space, and an alignment hides an error of scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask
from ..errors import DataError
from ..frames import Prediction
from .depth import DepthErrors, affine_fit, depth_errors, depth_of_affine, eigen_crop, garg_crop
from .edges import EdgeErrors, EdgeFinder, TrueEdges, errors_of_edges
from .figure import Figure, figures_of
from .image import ImageErrors, image_errors, min_max_scaled


class InapplicableError(DataError):
    """The protocol does not apply to this kind of model; nothing has failed."""


@dataclass(frozen=True)
class Protocol:
    """How frames are scored. `alignment`, `space`, `crop` and `averaging` are descriptions for tables.

    Truth outside `min_range` to `max_range` metres is ignored; predictions are limited to that range if `clamped`.
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
        """One line above a table."""
        held = ", predictions clamped to it" if self.clamped else ""
        return (
            f"{self.name}: alignment {self.alignment}; space {self.space}; crop {self.crop}; truth "
            f"{self.min_range:g} to {self.max_range:g} m{held}; averaging {self.averaging}"
        )


_Crop: TypeAlias = Callable[[int, int], Mask]
_PER_FRAME = "mean of the frames' values"
PROTOCOLS = {
    row.name: row
    for row in (
        Protocol(
            "paper",
            "prediction and truth each min-max scaled to [0, 1] over the compared pixels",
            "the model's own output (relative models: disparity, compared with depth as it is)",
            "none",
            1e-3,
            10.0,
            _PER_FRAME,
            False,
        ),
        Protocol("metric", "none", "depth", "none", 1e-3, 10.0, _PER_FRAME, False),
        Protocol(
            "median",
            "prediction times median(truth) / median(prediction) of each frame",
            "depth",
            "none",
            1e-3,
            10.0,
            _PER_FRAME,
            False,
        ),
        Protocol(
            "affine",
            "scale and shift of each frame, least squares in disparity",
            "depth",
            "none",
            1e-3,
            10.0,
            _PER_FRAME,
            True,
        ),
        Protocol(
            "nyu",
            "none for metric models, scale and shift of each frame in disparity for relative ones",
            "depth",
            "Eigen: rows 45:471, columns 41:601 of 480 x 640",
            1e-3,
            10.0,
            _PER_FRAME,
            True,
        ),
        Protocol(
            "kitti",
            "none for metric models, scale and shift of each frame in disparity for relative ones",
            "depth",
            "Garg: rows 0.40810811 to 0.99189189, columns 0.03594771 to 0.96405229 of height and width",
            1e-3,
            80.0,
            _PER_FRAME,
            True,
        ),
    )
}
_EDGE = "edge_"
PAPER_FIGURES = figures_of(ImageErrors)
DEPTH_FIGURES = {**figures_of(DepthErrors), **figures_of(EdgeErrors, _EDGE)}
INDOOR = tuple(name for name in PROTOCOLS if name != "kitti")  # what is scored unless a data set has its own protocol
_CROPS: dict[str, _Crop] = {"nyu": eigen_crop, "kitti": garg_crop}


def figures_under(protocol: str) -> dict[str, Figure]:
    """The figures of a frame under a protocol, by name."""
    return PAPER_FIGURES if protocol == "paper" else DEPTH_FIGURES


@dataclass(frozen=True)
class FrameScore:
    """The figures of one frame under one protocol, by name, and the share of the pixels with truth that were compared.

    `aligned` (H, W) is the prediction as compared: metres, or [0, 1] under `paper`; NaN outside `mask`.
    `log_errors` (N,) is ln depth - ln truth of the pixels of the mask, None under `paper`.
    """

    protocol: str
    figures: dict[str, float]
    coverage: float
    aligned: NDArray[np.float64]
    mask: Mask
    log_errors: NDArray[np.float64] | None = None


def score(prediction: Prediction, truth: NDArray[np.floating], protocol: Protocol, flat: bool = False) -> FrameScore:
    """Scores a prediction against truth (H, W) in metres, NaN or 0 unknown, as FrameScorer does."""
    return FrameScorer(prediction, truth, flat).score(protocol)


class FrameScorer:
    """Scores one prediction against truth (H, W) in metres, NaN or 0 unknown, under several protocols.

    What protocols share (pixels, logarithms, boundaries of the truth) is computed once. With `flat` a constant map can
    be fitted by scale and shift: it becomes the mean inverse depth. Otherwise that is a DataError.
    """

    def __init__(self, prediction: Prediction, truth: NDArray[np.floating], flat: bool = False) -> None:
        self._prediction, self._truth, self._flat = prediction, truth, flat
        self._values = prediction.values
        if self._values.shape != truth.shape:
            raise DataError(f"prediction and truth must have one shape, got {self._values.shape} and {truth.shape}")
        self._compared: dict[tuple[_Crop | None, bool, float, float], _Compared] = {}

    def score(self, protocol: Protocol) -> FrameScore:
        """The figures under `protocol`.

        Raises DataError if no pixel is comparable, InapplicableError if it needs metres that a relative model lacks.
        """
        compared = self._pixels(protocol)
        if protocol.name == "paper":
            return _as_pictures(protocol, compared)
        depth = self._metres(protocol, compared)
        if protocol.clamped:
            depth = np.clip(depth, protocol.min_range, protocol.max_range)
        logs = np.log(depth) - compared.log_truth
        aligned = compared.on_image(depth)
        scaled = protocol.name in ("metric", "median")  # boundaries do not depend on a scale
        edges = compared.own_edges if scaled else compared.edge_errors(aligned)
        figures = {
            **asdict(depth_errors(depth, compared.truth, logs)),
            **{name: getattr(edges, name.removeprefix(_EDGE)) for name in figures_of(EdgeErrors, _EDGE)},
        }
        return FrameScore(protocol.name, figures, compared.coverage, aligned, compared.mask, logs)

    def _pixels(self, protocol: Protocol) -> _Compared:
        crop, positive = _CROPS.get(protocol.name), protocol.name != "paper"  # paper: any finite output
        key = crop, positive, protocol.min_range, protocol.max_range
        if key not in self._compared:
            self._compared[key] = self._select(*key)
        return self._compared[key]

    def _select(self, crop: _Crop | None, positive: bool, low: float, high: float) -> _Compared:
        truth, values = self._truth, self._values
        known = np.isfinite(truth) & (truth >= low) & (truth <= high)
        if crop is not None:
            known &= crop(*truth.shape)
        mask = known & np.isfinite(values)
        if positive:
            mask &= values > 0
        if not known.any():
            raise DataError(f"no pixel to compare: none has truth between {low:g} and {high:g} m")
        if not mask.any():
            raise DataError(
                f"no pixel to compare: {int(known.sum())} have truth between {low:g} and {high:g} m, but "
                "none of them a positive finite prediction"
            )
        return _Compared(
            mask, values[mask].astype(np.float64), truth[mask].astype(np.float64), float(mask.sum() / known.sum())
        )

    def _metres(self, protocol: Protocol, compared: _Compared) -> NDArray[np.float64]:
        """(N,) metres of the compared pixels, by the protocol's alignment."""
        relative = self._prediction.depth is None
        if protocol.name == "affine" or (protocol.name in _CROPS and relative):
            disparity = compared.values if relative else 1 / compared.values
            if self._flat and not np.ptp(disparity):
                return np.full(disparity.size, 1 / np.mean(1 / compared.truth))
            return depth_of_affine(disparity, *affine_fit(disparity, compared.truth))
        if relative:
            raise InapplicableError(
                f"protocol {protocol.name} needs metres, but the model predicts relative disparity: see "
                "affine, nyu, kitti"
            )
        if protocol.name == "median":
            return compared.values * (np.median(compared.truth) / np.median(compared.values))
        return compared.values


@dataclass(frozen=True, eq=False)
class _Compared:
    """The pixels of `mask` (H, W) that are compared: values of the prediction and truth, (N,) float64."""

    mask: Mask
    values: NDArray[np.float64]
    truth: NDArray[np.float64]
    coverage: float

    @cached_property
    def log_truth(self) -> NDArray[np.float64]:
        return np.log(self.truth)

    @cached_property
    def finder(self) -> EdgeFinder:
        return EdgeFinder(self.mask)

    @cached_property
    def true_edges(self) -> TrueEdges:
        return TrueEdges.of(self.finder.edges(self.on_image(self.truth)))

    @cached_property
    def own_edges(self) -> EdgeErrors:
        """Of the prediction without alignment."""
        return self.edge_errors(self.on_image(self.values))

    def edge_errors(self, depth: NDArray[np.float64]) -> EdgeErrors:
        """Of a map (H, W) that is finite and positive on the mask."""
        return errors_of_edges(self.finder.edges(depth), self.true_edges)

    def on_image(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(H, W), NaN outside the mask."""
        image = np.full(self.mask.shape, np.nan)
        image[self.mask] = values
        return image


def _as_pictures(protocol: Protocol, compared: _Compared) -> FrameScore:
    picture, truth = (
        min_max_scaled(compared.on_image(values), compared.mask) for values in (compared.values, compared.truth)
    )
    figures = asdict(image_errors(picture, truth, compared.mask))
    return FrameScore(protocol.name, figures, compared.coverage, picture, compared.mask)
