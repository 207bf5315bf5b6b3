"""A small artificial folder of results as written by `evaluate`, with every part and special case."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from made_recordings import CAMERA, Scene, write_folder

from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.evaluation.run import prediction_path, write_prediction
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.protocols import INDOOR, PROTOCOLS

RECORDING = "rgbd_dataset_freiburg1_made"
METRIC, RELATIVE, LOST, CONSTANT = "near_model", "hf:tiny/<i>far & wide", "absent", "constant"
REASON = "weights of <absent> are missing: give model.checkpoint"
ABS_REL = {METRIC: 0.1, RELATIVE: 0.2, CONSTANT: 0.3}


def write_results_folder(folder: Path, parts: bool = True, frames: int = 6) -> Path:
    """Results of two models, one that failed, and a baseline; the name of one model contains markup."""
    recording = write_folder(folder / RECORDING, smooth_scene(frames))
    results = folder / "results" / "made"
    results.mkdir(parents=True)
    stamps = _predictions(results, recording)
    rows = [row for model in (METRIC, RELATIVE, LOST) for row in _rows(model)] + _rows(CONSTANT, baseline=True)
    told = {
        "protocols": {name: each.text() for name, each in PROTOCOLS.items() if name in INDOOR},
        "notes": ["the last frame is <truncated>"],
        "results": rows,
    }
    (results / "summary.json").write_text(json.dumps(told))
    (results / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "data": [str(recording)],
                "first": 0,
                "last": -1,
                "stride": 1,
                "options": {"camera": CAMERA, "poses": "none"},
            }
        )
    )
    _per_frame(results / "per_frame.csv", stamps)
    if parts:
        _parts(results)
    return results


def smooth_scene(frames: int) -> Scene:
    """Planes that come nearer, so that clouds and meshes have surfaces; the top rows have no depth."""
    scene = Scene(frames=frames)
    column = np.arange(scene.width)
    for i in range(frames):
        scene.depth[i, 4:] = (6000 + 40 * column + 1500 * i).astype(np.uint16)
        scene.rgb[i] = (column[None, :, None] * 3 + np.arange(3) * 20).astype(np.uint8)
    return scene


def _predictions(results: Path, recording: Path) -> list[str]:
    opened = open_dataset(recording, OpenOptions(camera=CAMERA, poses="none", rectified=True))
    stamps = [f"{stamp:.6f}" for stamp in opened.stamps]
    for i, stamp in enumerate(stamps):
        truth = opened[i].depth
        assert truth is not None
        whole = np.where(np.isfinite(truth), truth, np.float32(2.0))
        for model, made in (
            (METRIC, Prediction(depth=whole * np.float32(1.02 + 0.03 * i))),
            (RELATIVE, Prediction(disparity=3 / whole + np.float32(0.5))),
        ):
            path = prediction_path(results, RECORDING, model, stamp)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_prediction(path, made)
    opened.close()
    return stamps


def _rows(model: str, baseline: bool = False) -> list[dict[str, Any]]:
    made = []
    for protocol in INDOOR:
        reason = REASON if model == LOST else ""
        if model == RELATIVE and protocol in ("metric", "median"):
            reason = (
                f"protocol {protocol} needs metres, but the model predicts relative disparity: see affine, nyu, kitti"
            )
        figures = {"ssim": 0.5, "mse": 0.1, "rmse": 0.3, "psnr": 10.0, "r2": -2.1 if model == RELATIVE else 0.6}
        if protocol != "paper" and not reason:
            figures = {
                "abs_rel": ABS_REL[model],
                "delta1": 0.9 - ABS_REL[model],
                "rmse": 3 * ABS_REL[model],
                "edge_accuracy": None,
            }
        made.append(
            {
                "recording": RECORDING,
                "model": model,
                "protocol": protocol,
                "frames": 0 if reason else 6,
                "failed": 6 if model == LOST else 0,
                "coverage": None if reason else 1.0,
                "figures": {} if reason else figures,
                "sequence": {} if protocol == "paper" else {"scale_drift": None, "flicker": 0.01, "frames": 6},
                "model_ms": 12.5,
                "score_ms": 1.0,
                "reason": reason,
                "baseline": baseline,
            }
        )
    return made


def _per_frame(path: Path, stamps: list[str]) -> None:
    names = ("recording", "model", "protocol", "frame", "coverage", "model_ms", "score_ms", "reason", "abs_rel")
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for i, stamp in enumerate(stamps):
            for model in (METRIC, RELATIVE):
                # The third frame is the best, the fifth the worst, the median is the first.
                value = (0.12, 0.16, 0.05, 0.11, 0.4, 0.1)[i]
                writer.writerow([RECORDING, model, "affine", stamp, 1, 10, 1, "", value if i != 3 else "nan"])
            writer.writerow([RECORDING, LOST, "affine", stamp, 0, 0, 0, REASON, ""])


def _parts(results: Path) -> None:
    curve = [i / 10 for i in range(10)]
    parts: dict[str, Any] = {
        "scores_3d": {
            "definitions": {"density": "points per m³ <of space>"},
            "rows": [
                {
                    "recording": RECORDING,
                    "model": model,
                    "cleaned": cleaned,
                    "frames": 6,
                    "failed": 0,
                    "reason": "",
                    "protocol": protocol,
                    "figures": {"density": 12345.6, "fscore_5cm": score, "normal_consistency": None},
                }
                for model, protocol, score in (
                    (METRIC, "metric", 0.5),
                    (RELATIVE, "affine", 0.7),
                    ("true depth", "", None),
                )
                for cleaned in (False, True)
            ],
        },
        "robustness": {
            "rows": [
                {
                    "recording": RECORDING,
                    "model": METRIC,
                    "protocol": "metric",
                    "corruption": kind,
                    "severity": severity,
                    "level": f"sigma {10 * severity}",
                    "frames": 6,
                    "figures": {"abs_rel": None if severity == 2 else 0.1 + 0.05 * severity},
                }
                for kind in ("noise", "jpeg")
                for severity in range(4)
            ]
        },
        "uncertainty": {
            "rows": [
                {
                    "recording": RECORDING,
                    "model": METRIC,
                    "kind": "flip",
                    "reason": "",
                    "calibration": {"nominal": curve, "observed": [value**2 for value in curve]},
                    "sparsification": {
                        "fraction": curve,
                        "by_sigma": [1 - value / 2 for value in curve],
                        "oracle": [1 - value for value in curve],
                        "random": [1.0] * 10,
                    },
                    "ause": 0.21,
                    "rank_correlation": 0.4321,
                    "anomaly": {"occluder": 0.7, "noise_patch": None, "unseen_domain": 0.6},
                },
                {
                    "recording": RECORDING,
                    "model": RELATIVE,
                    "kind": "none",
                    "reason": "no sigma <at all>",
                    "calibration": None,
                    "sparsification": None,
                    "ause": None,
                    "anomaly": None,
                },
            ]
        },
        "table3": {
            "columns": {"speed": "one frame", "best_use": "in words"},
            "rows": [
                {
                    "model": METRIC,
                    "speed": {"value": 12.5, "unit": "ms", "text": "median"},
                    "best_use": {"value": None, "unit": "", "text": "rough <metres> & more"},
                }
            ],
        },
        "origin": {
            "command": "mono-depth-recon evaluate <desk>",
            "version": "0.1.0",
            "commit": "commit abc1234",
            "date": "2026-01-02T03:04:05+00:00",
            "device": "a CPU, 2 cores",
            "libraries": "numpy 2.0",
        },
    }
    for name, tree in parts.items():
        (results / f"{name}.json").write_text(json.dumps(tree))
    (results / "training_logs").mkdir()
    (results / "training_logs" / "run.csv").write_text(
        "epoch,loss,val_loss,rooms_abs_rel\n1,0.5,0.6,0.3\n2,0.3,0.4,0.25\n3,0.2,,0.2\n"
    )
