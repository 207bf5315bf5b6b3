"""What fusion costs the live pipeline on this machine: the same node with fusion off and on, alternately."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from ...benchmark.rows import Row
from ...errors import DataError
from ...temporary import TemporaryFolder
from .demo_processes import MAPPING_PROBE, RECON_NODE, ROOMS_CAMERA, Children, own_domain

_RATE_HZ = 10.0
_START_S = 120.0
_SETTLE_S = 10.0  # each turn's own, and what the services take
_PARAMETERS = {"fusion.poses": "odometry", "fusion.keyframe_distance": 0.0, "fusion.keyframe_angle": 0.0}


def mapping(pairs: int, seconds: float) -> Iterator[Row]:
    """640x480 at 10 Hz, every frame fused at the default voxels and range, off and on alternately, `pairs` times."""
    turns = []
    for pair in range(pairs):  # each in processes of its own: what the middleware does to large messages may change
        with TemporaryFolder() as stage:
            turns += _measured(stage, pair % 2 == 0, seconds)
    off, on = ([turn for turn in turns if turn["fusing"] is fusing] for fusing in (False, True))
    if not all(turn["frames"]["frames_out"] for turn in turns):
        raise DataError("no frame came out: see whether this machine is overloaded")
    ratio = median(b["node_p50_ms"] / a["node_p50_ms"] for a, b in zip(off, on, strict=True))
    plain, fusing = (median(turn["node_p50_ms"] for turn in turns) for turns in (off, on))
    yield Row(
        "image to cloud within the node with fusion, p50 by that without",
        ratio,
        "x",
        1.1,
        f"{plain:.1f} ms without, {fusing:.1f} ms with; median of {pairs} pairs",
    )
    for quantile in ("p50", "p95"):
        key = f"latency_{quantile}_ms"
        ratio = median(b["frames"][key] / a["frames"][key] for a, b in zip(off, on, strict=True))
        plain, fusing = (median(turn["frames"][key] for turn in turns) for turns in (off, on))
        yield Row(
            f"colour to cloud with fusion, {quantile} by that without",
            ratio,
            "x",
            None,
            f"{plain:.1f} ms without, {fusing:.1f} ms with; median of {pairs} pairs",
        )
    fused = sum(turn["map"]["frames_integrated"] for turn in on)
    rate = fused / sum(turn["map"]["seconds"] for turn in on)
    frames = sum(turn["frames"]["rate_in_hz"] for turn in on) / len(on)
    yield Row(
        "frames of the camera that are not fused",
        100 * max(0.0, 1 - rate / frames),
        "%",
        5.0,
        f"{rate:.1f} of {frames:.1f} a second",
    )
    last = on[-1]["map"]
    yield Row("memory of the map's process", last["memory_mib"], "MiB", None, f"{last['blocks']} blocks")


def _measured(stage: Path, off_first: bool, seconds: float) -> list[dict[str, Any]]:
    with own_domain() as domain:
        env = {**os.environ, **domain, "ROS_LOG_DIR": str(stage), "PYTHONUNBUFFERED": "1"}
        with Children(stage, env, say) as children:
            camera = children.start("camera", ROOMS_CAMERA, ["--rate", f"{_RATE_HZ:g}"])
            words = [word for name, value in _PARAMETERS.items() for word in ("-p", f"{name}:={value}")]
            node = children.start("node", RECON_NODE, ["--ros-args", *words])
            children.watch(lambda: camera.is_ready and node.is_ready, "camera and node to be ready", _START_S)
            output = stage / "mapping.json"
            order = "--off-first" if off_first else "--no-off-first"
            flags = ["--output", str(output), "--seconds", f"{seconds:g}", order]
            probe = children.start("probe", MAPPING_PROBE, flags)
            children.watch(
                lambda: probe.exit_status == 0, "the measurement to end", _START_S + 2 * (seconds + _SETTLE_S), probe
            )
        turns: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8"))
    return turns


def say(who: str, line: str) -> None:
    """Prints a line of a child process to stderr."""
    print(f"  {who}: {line}", file=sys.stderr, flush=True)
