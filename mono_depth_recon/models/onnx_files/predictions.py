"""A Prediction of the outputs of an ONNX file, by what its card says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Mask
from ...camera import PinholeCamera
from ...errors import ModelError
from ...frames import Prediction
from .card import METRIC, OnnxCard, OtherOutput
from .placement import Placement
from .point_maps import shift_and_focal

_NEAREST_M = 1e-3  # rounding may leave zero or less
_NEAREST_SHARE = 1e3  # a relative depth nearer than the median over this is taken as that

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class View:
    """An image's place in the network's input, and its camera."""

    place: Placement
    camera: PinholeCamera


def prediction_of(card: OnnxCard, outputs: Outputs, view: View) -> Prediction:
    """The Prediction of one image; `outputs` by name, each without the dimension of the batch.

    Raises ModelError where an output has another shape than its kind, or no depth at all.
    """
    others = {other.kind: (other, np.asarray(outputs[name])) for name, other in card.outputs.items()}
    fields = _maps(others, view.place)
    intrinsics = _intrinsics(others, view.place)
    if card.output.kind == "affine_points":
        values, K = _from_affine_points(card, outputs, view, fields.get("valid_map"))
        intrinsics = K if intrinsics is None else intrinsics
        per_unit = _number(*others["metric_scale"])
    else:
        values, per_unit = _values(card, outputs), _metres_per_unit(card, view)
    fields.pop("valid_map", None)
    full = view.place.on_image(values)
    _check_depth(card, full, fields)
    if intrinsics is not None:
        fields["intrinsics"] = intrinsics
    if card.output.kind not in METRIC:
        return Prediction(disparity=_disparity(full, card.output.kind), **fields)
    full *= np.float32(per_unit)
    if "sigma" in others:
        output, values = others["sigma"]
        fields["sigma"] = view.place.on_image(_map(values, "sigma")) * np.float32(per_unit * output.factor)
    behind = full <= 0
    if behind.any():
        fields["valid"] = ~behind if fields.get("valid") is None else fields["valid"] & ~behind
        full = np.maximum(full, np.float32(_NEAREST_M))
    return Prediction(depth=np.maximum(full, np.float32(_NEAREST_M)), **fields)


def _check_depth(card: OnnxCard, values: Depth, fields: Mapping[str, Any]) -> None:
    """ModelError where depth is nowhere above 0, but for what the network's own masks leave out."""
    if card.output.kind == "relative_disparity":  # negative ones are far away
        return
    kept = np.broadcast_to(fields.get("valid", np.True_) & ~fields.get("sky", np.False_), values.shape)
    if kept.any() and not ((values > 0) & kept).any():
        found = values[kept]
        raise ModelError(
            f"the output '{card.output.name}' of {card.name} is nowhere above 0 ({found.min():.3g} to "
            f"{found.max():.3g}), its card says {card.output.kind}: give the card the kind that the file puts out, or "
            "use other weights"
        )


def _maps(others: Mapping[str, tuple[OtherOutput, NDArray[Any]]], place: Placement) -> dict[str, Any]:
    """The fields of a Prediction that are maps of their own; `valid_map` is that of the network's resolution."""
    fields: dict[str, Any] = {}
    for kind, (output, values) in others.items():
        if kind in ("valid", "sky"):
            fields[kind] = _mask(place.on_image(_map(values, kind)), output)
            if kind == "valid":
                fields["valid_map"] = _mask(_map(values, kind), output)
        elif kind == "confidence":
            share = (place.on_image(_map(values, kind)) - output.worst) / (output.best - output.worst)
            fields[kind] = np.clip(share, 0, 1, dtype=np.float32)
    return fields


def _mask(values: Depth, output: OtherOutput) -> Mask:
    return values >= output.threshold if output.true_where == "at_least" else values < output.threshold


def _intrinsics(others: Mapping[str, tuple[OtherOutput, NDArray[Any]]], place: Placement) -> NDArray[np.float64] | None:
    if "intrinsics" in others:
        output, K = others["intrinsics"]
        return place.camera_matrix(K.astype(np.float64).reshape(3, 3), output.pixel_centre)
    if "focal" in others:
        return _centred(place, _number(*others["focal"]))
    return None


def _centred(place: Placement, focal_px: float) -> NDArray[np.float64] | None:
    """K of the image with its principal point in the middle; the focal length in pixels of the network's input."""
    across, down = place.scales
    K = np.diag([focal_px, focal_px * down / across, 1.0])
    K[:2, 2] = [place.corner[axis] + place.inner[axis] / 2 for axis in (0, 1)]
    return place.camera_matrix(K, 0.5)


def _from_affine_points(
    card: OnnxCard, outputs: Outputs, view: View, valid: Mask | None
) -> tuple[Depth, NDArray[np.float64] | None]:
    """Depth in the unit of the points, by the camera's focal length, and the K that the points themselves show."""
    points = _points(card, outputs)
    if valid is not None and valid.shape != points.shape[:2]:
        raise _other_shape("valid", valid)
    camera, place = view.camera, view.place
    focal_px = float(np.sqrt(camera.fx * camera.fy))
    shift, _ = shift_and_focal(points, valid, place, focal_px)
    _, own = shift_and_focal(points, valid, place, None)
    return points[..., 2] + np.float32(shift), _centred(place, own * place.scales[0])


def _values(card: OnnxCard, outputs: Outputs) -> Depth:
    if card.output.kind == "points":
        return np.ascontiguousarray(_points(card, outputs)[..., 2])
    return _map(np.asarray(outputs[card.output.name]), card.output.kind)


def _points(card: OnnxCard, outputs: Outputs) -> NDArray[np.float32]:
    """(rows, columns, 3)."""
    points = np.asarray(outputs[card.output.name], np.float32)
    first = card.output.layout == "nchw"
    if points.ndim != 3 or points.shape[0 if first else 2] != 3:
        raise _other_shape(card.output.kind, points)
    return np.moveaxis(points, 0, -1) if first else points


def _metres_per_unit(card: OnnxCard, view: View) -> float:
    focal_px = card.output.canonical_focal_px
    return view.place.focal_px(view.camera) / focal_px if focal_px else 1.0


def _disparity(values: Depth, kind: str) -> Depth:
    if kind == "relative_disparity":
        return np.maximum(values, 0)
    nearest = max(float(np.median(np.abs(values))) / _NEAREST_SHARE, float(np.finfo(np.float32).tiny))
    return np.reciprocal(np.maximum(values, np.float32(nearest)))


def _map(values: NDArray[Any], kind: str) -> Depth:
    """(rows, columns) float32, of a map with or without a dimension of one channel."""
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2:
        raise _other_shape(kind, values)
    return np.ascontiguousarray(values, np.float32)


def _number(output: OtherOutput, values: NDArray[Any]) -> float:
    if values.size != 1:
        raise _other_shape(output.kind, values)
    return float(values.reshape(()))


def _other_shape(kind: str, values: NDArray[Any]) -> ModelError:
    return ModelError(
        f"the network gave an output of shape {values.shape} per image for {kind}: give its card the kind that it is of"
    )
