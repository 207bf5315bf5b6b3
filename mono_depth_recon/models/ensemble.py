"""Several models as one: `ensemble:<a>+<b>[+...]`, the median of their predictions, and their spread as sigma.

All members are brought to the scale of the first metric one: metric ones by the median of the pixels' ratios, relative
ones by scale and shift fitted robustly in disparity. Where all are relative the result is relative disparity, at the
scale of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..alignment import depth_from_disparity, fit_scale
from ..arrays import Depth
from ..errors import DataError, ModelError
from ..frames import Prediction
from .base import DepthModel, Output, View
from .merging import merged

PREFIX = "ensemble:"
_FARTHEST = 2.0  # times the farthest depth of the reference: a relative member's depth is limited to that


class Ensemble:
    """Members run one after the other; the median of their aligned predictions and the sample standard deviation.

    `predict` raises DataError for a frame on which a member cannot be aligned (a flat view, or disparity that grows
    with the distance).
    """

    def __init__(self, members: Sequence[DepthModel]) -> None:
        self.members = tuple(members)
        outputs = [member.output for member in self.members]
        self.output: Output = "metric_depth" if "metric_depth" in outputs else "relative_disparity"
        self._first = outputs.index(self.output)

    @property
    def name(self) -> str:
        """ensemble:<a>+<b>."""
        return PREFIX + "+".join(member.name for member in self.members)

    @property
    def device(self) -> str:
        """Runtimes and devices of the members, each once."""
        return " + ".join(dict.fromkeys(member.device for member in self.members))

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction with sigma per view."""
        predictions = [member.predict(batch) for member in self.members]
        return [self._combined([prediction[i] for prediction in predictions]) for i in range(len(batch))]

    def release_memory(self) -> None:
        """Releases the memory of all members."""
        for member in self.members:
            member.release_memory()

    def _combined(self, predictions: Sequence[Prediction]) -> Prediction:
        reference = predictions[self._first]
        values = []
        for member, prediction in zip(self.members, predictions, strict=True):
            try:
                values.append(_aligned(prediction, reference))
            except DataError as error:
                raise DataError(f"{member.name} cannot be aligned to the ensemble: {error}") from error
        stack = np.stack(values)
        return merged(reference, predictions, np.median(stack, axis=0), stack.std(axis=0, ddof=1))


def _aligned(prediction: Prediction, reference: Prediction) -> Depth:
    """The prediction in the unit and at the scale of the reference."""
    if prediction is reference:
        return prediction.values
    known = _comparable(prediction, reference)
    if prediction.depth is not None:
        return prediction.depth * _ratio(known, prediction.depth)
    if reference.depth is None:
        return _on_scale_of(prediction.values, known)
    fit = fit_scale(prediction.values, known)
    limit = _FARTHEST * float(np.nanmax(known))
    return np.minimum(depth_from_disparity(prediction.values, fit, limit), np.float32(limit))


def _ratio(reference: Depth, depth: Depth) -> np.float32:
    """The median of reference over depth. DataError where the reference is nowhere known."""
    ratios = (reference / depth)[np.isfinite(reference)]
    if not ratios.size:
        raise DataError("no pixel is valid in both predictions")
    return np.float32(np.median(ratios))


def _comparable(prediction: Prediction, reference: Prediction) -> Depth:
    """The reference's values, NaN where either prediction is not valid or shows sky."""
    values = reference.values
    for each in (prediction, reference):
        if each.valid is not None:
            values = np.where(each.valid, values, np.float32(np.nan))
        if each.sky is not None:
            values = np.where(each.sky, np.float32(np.nan), values)
    return values


def _on_scale_of(disparity: Depth, reference: Depth) -> Depth:
    inverse = np.full(reference.shape, np.nan, np.float32)
    np.divide(1, reference, out=inverse, where=reference > 0)
    fit = fit_scale(disparity, inverse)
    return disparity * np.float32(fit.scale) + np.float32(fit.shift)


def member_names(name: str) -> list[str]:
    """The members of `ensemble:<a>+<b>[+...]`. Raises ModelError unless there are two or more."""
    names = [part.strip() for part in name.removeprefix(PREFIX).split("+")]
    if len(names) < 2 or not all(names):
        raise ModelError(
            f"an ensemble is called {PREFIX}<a>+<b>[+...] with the names of two or more models, got '{name}'"
        )
    if nested := [part for part in names if part.startswith(PREFIX)]:
        raise ModelError(f"an ensemble holds single models, got '{nested[0]}' within '{name}'")
    return names
