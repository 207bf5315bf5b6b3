"""What the node adds to the exchange of an image and its cloud between two processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ...benchmark.rows import Row
from ...temporary import TemporaryFolder
from .bench_mapping import say
from .demo_processes import EXCHANGE, RECON_NODE, Children, own_domain

_MOST = 1.5
_START_S, _FRAME_S = 150.0, 1.0


def exchange(frames: int) -> Iterator[Row]:
    """An image of 640x480 to the node and its cloud back, without the model's time, by the same through a relay."""
    with TemporaryFolder() as stage:
        measured = _measured(stage, frames)
    bare, node, model = (measured[f"{name}_ms"] for name in ("bare", "node", "model"))
    yield Row("image to another process and a cloud back, p50", bare, "ms", note="through a relay")
    yield Row("image to the node and its cloud back, p50", node, "ms", note=f"model {model:.1f} ms")
    yield Row("... without the model, by the bare exchange", (node - model) / bare, "x", _MOST)


def _measured(stage: Path, frames: int) -> dict[str, float]:
    with own_domain() as domain:
        env = {**os.environ, **domain, "ROS_LOG_DIR": str(stage), "PYTHONUNBUFFERED": "1"}
        with Children(stage, env, say) as children:
            children.start("relay", EXCHANGE, ["--relay", "--ros-args", "-r", "__ns:=/bare"])
            children.start("node", RECON_NODE, ["--ros-args", "-r", "__ns:=/node"])
            output = stage / "exchange.json"
            flags = ["--output", str(output), "--frames", str(frames)]
            probe = children.start("probe", EXCHANGE, flags)
            deadline = _START_S + _FRAME_S * frames
            children.watch(lambda: probe.exit_status == 0, "the measurement to end", deadline, probe)
        measured: dict[str, float] = json.loads(output.read_text(encoding="utf-8"))
    return measured
