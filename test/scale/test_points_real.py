"""A metric model corrected by 200 random true depths of recorded frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.config import Config, with_values
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.pipeline import DepthReconstructor, Wanted
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.points import REFERENCE_POINTS

STEP, POINTS = 24, 200


def test_sparse_truth_replaces_the_median_of_all_of_it(tum_folder: Callable[[str], Path]) -> None:
    """AbsRel by 200 depths of a frame is that by the median of all, within 5 %; affine within 1.1 of ideal."""
    samples, rng = open_dataset(str(tum_folder("rgbd_dataset_freiburg1_rpy_part"))), np.random.default_rng(0)
    values = {"model.runtime": "openvino", "filter.edge_threshold": 0.0, "filter.max_range": 20.0}
    plain = with_values(Config(), values)
    running, errors = DepthReconstructor.from_config(plain), []
    for i in range(0, len(samples), STEP):
        sample = samples[i]
        truth = sample.depth
        assert truth is not None
        places = rng.choice(np.flatnonzero(truth > 0), POINTS, replace=False)
        rows, columns = np.divmod(places, truth.shape[1])
        x, y = sample.camera.rectified.rays
        z = truth[rows, columns].astype(np.float64)
        points = np.stack([x[columns] * z, y[rows] * z, z], axis=1)
        frames = []
        for how in ("off", "factor", "affine"):
            config = with_values(plain, {"scale.source": "points", "scale.correct_metric": how, "scale.smoothing": 0.0})
            beside = Evidence({REFERENCE_POINTS: lambda points=points: points})
            frame = running.process(sample.rgb, sample.camera, Wanted(points=False), evidence=beside, config=config)
            assert frame.depth is not None, frame.no_metres
            frames.append(frame.depth)
        known = np.all(np.isfinite([truth, *frames]), axis=0) & (truth > 0)
        predicted, factor, affine = (depth[known].astype(np.float64) for depth in frames)
        exact = truth[known].astype(np.float64)
        line = np.polyfit(1 / predicted, 1 / exact, 1)
        made = (predicted * np.median(exact / predicted), factor, 1 / np.polyval(line, 1 / predicted), affine)
        errors.append([np.mean(np.abs(depth - exact) / exact) for depth in made])
    by_median, by_factor, ideal, by_line = np.mean(errors, axis=0)
    assert by_factor == pytest.approx(by_median, rel=0.05)
    assert by_line < 1.1 * ideal
