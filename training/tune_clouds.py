"""Searches for the best clean-up of clouds: edge filter, voxel grid and statistical outliers, against 3D figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import Cloud
from mono_depth_recon.config import Config, MeshConfig, ModelConfig, parameter
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.filters import EDGE_WIDTH_PX, drop, flying_pixels
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.cloud import cloud_figures
from mono_depth_recon.metrics.protocols import PROTOCOLS, FrameScorer
from mono_depth_recon.models import load_model

from .augment import known_depth
from .frames import RunData, open_run_data
from .settings import RunSettings
from .study import BEST, Choice, Study, Values, write_best

FIGURES = {"fscore_2cm": False, "fscore_5cm": False, "fscore_10cm": False, "chamfer": True}  # whether less is better
EDGE = "filter.edge_threshold"
_KNOWN = (EDGE, "mesh.voxel_size", "mesh.outlier_neighbors", "mesh.outlier_std", "mesh.outlier_radius")


@dataclass(frozen=True, eq=False)
class Predicted:
    """A frame's predicted depth (metres, relative models after the fit), and its true points (N, 3)."""

    depth: Depth
    camera: PinholeCamera
    true_points: NDArray[np.float32]


def tune_clouds(
    settings: RunSettings,
    model: str,
    checkpoint: str,
    figure: str,
    space: Mapping[str, Choice],
    output: Path,
    trials: int,
) -> Path:
    """Searches with the validation frames of a run's data; returns a file of node parameters. Raises MonoDepthError."""
    unknown = sorted(set(space) - set(_KNOWN))
    if unknown:
        raise ConfigError(f"the clean-up of clouds has no setting '{unknown[0]}', it has {', '.join(_KNOWN)}")
    for name, choice in space.items():
        for value in choice.extremes:
            parameter(name).check(value)
    study = Study(
        output,
        figure,
        space,
        FIGURES[figure],
        {
            "seed": settings.seed,
            "data": settings.data,
            "validation": {"frames": settings.validation.frames},
            "model": {"name": model, "checkpoint": checkpoint},
        },
    )
    frames = list(predicted_frames(open_run_data(settings, output), settings, model, checkpoint))
    if not frames:
        raise DataError("no validation frame has a prediction and true depth to compare")
    best = study.run(lambda trial, values: mean_figure(frames, values, figure, trial), trials)
    default = mean_figure(frames, defaults(), figure)
    comment = (
        f"{figure} {best.value:.4g} on {len(frames)} validation frames of {model}, {default:.4g} by default; "
        "for recon_node: --ros-args --params-file"
    )
    write_best(output / BEST, {"/**": {"ros__parameters": _nested(best.params)}}, comment)
    return output / BEST


def defaults() -> Values:
    """The values that the node has when nothing is set."""
    config = Config()
    return {name: getattr(getattr(config, group), key) for name in _KNOWN for group, key in [name.split(".")]}


def predicted_frames(data: RunData, settings: RunSettings, model: str, checkpoint: str) -> Iterator[Predicted]:
    """At most `validation.frames` frames of each source with the model's depth."""
    chosen = load_model(ModelConfig(name=model, checkpoint=checkpoint), settings.threads)
    for frames in data.validation.values():
        for i in np.linspace(0, len(frames) - 1, min(len(frames), settings.validation.frames)).round():
            sample = frames[int(i)].sample
            prediction = chosen.predict([(sample.rgb, sample.camera)])[0]
            truth = known_depth(sample)
            try:
                depth = _metres(prediction, truth)
            except DataError:  # nothing to compare in this frame
                continue
            yield Predicted(depth, sample.camera, _points(truth, sample.camera))


def _metres(prediction: Prediction, truth: Depth) -> Depth:
    protocol = PROTOCOLS["affine" if prediction.depth is None else "metric"]
    return FrameScorer(prediction, truth).score(protocol).aligned.astype(np.float32)


def mean_figure(frames: list[Predicted], values: Values, figure: str, trial: optuna.Trial | None = None) -> float:
    """Mean of a figure over the frames after the clean-up; a trial that lags behind the others ends early."""
    found: list[float] = []
    for step, frame in enumerate(frames):
        found.append(cloud_figures(cleaned(frame, values), frame.true_points)[figure])
        if trial is not None:
            trial.report(float(np.mean(found)), step)
            if trial.should_prune():
                raise optuna.TrialPruned
    return float(np.mean(found))


def cleaned(frame: Predicted, values: Values) -> NDArray[np.float32]:
    """Points (N, 3) of a frame after the edge filter and the clean-up of `values`. DataError where none is left."""
    depth = frame.depth.copy()
    if values.get(EDGE):
        drop(depth, flying_pixels(depth, values[EDGE] * EDGE_WIDTH_PX / depth.shape[1]))
    points = _points(depth, frame.camera)
    if not len(points):
        raise DataError(f"{EDGE} {values.get(EDGE, 0):g} leaves no point")
    changes = {name.split(".")[1]: value for name, value in values.items() if name != EDGE}
    return clean_cloud(Cloud(points, np.zeros(points.shape, np.uint8)), replace(MeshConfig(), **changes)).points


def _points(depth: Depth, camera: PinholeCamera) -> NDArray[np.float32]:
    organised = back_project(depth, camera, np.zeros((*depth.shape, 3), np.uint8))[..., :3].reshape(-1, 3)
    return organised[np.isfinite(organised).all(axis=1)]


def _nested(values: Values) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        group, key = name.split(".")
        tree.setdefault(group, {})[key] = value
    return tree
