"""The figures of the live pipeline on this machine: camera, recon_node and observer as separate ROS 2 processes.

What needs one process only is measured by `mono-depth-recon benchmark`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ...benchmark.frame_path import medians
from ...benchmark.rows import Row, write_report
from ...benchmark.scene import room
from ...camera import PinholeCamera
from ...cloud.back_projection import back_project
from ...errors import DataError, MonoDepthError
from ...pipeline import thinned
from ...temporary import TemporaryFolder
from ..conversions import CloudMessage, image_from_msg, points_from_msg, rgb_to_msg
from .bench_exchange import exchange
from .bench_mapping import mapping, say
from .demo_processes import RECON_NODE, RECORDER, ROOMS_CAMERA, Children, Stopped, own_domain, raise_on_signals

_RATE_HZ = 15.0
_START_S = 90.0
_SNAPSHOTS_S = 120.0
_WARM_UP_S = 60.0  # until allocator and middleware hold what they keep
_SAMPLE_S = 0.5
_TURN_S = 10.0
_VOXEL_M = 0.02
_EXCHANGES = 100
_PARTS = ("messages", "exchange", "live", "fusion")


def messages() -> Iterator[Row]:
    """Depth array to filled PointCloud2 against a memcpy of its bytes; rgb8 image message to array."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth, rgb = room(camera)
    cloud, header = CloudMessage(), Header(frame_id="camera")

    def fill() -> PointCloud2:
        back_project(depth, camera, rgb, out=cloud.points(480, 640))
        return cloud.stamped(header)

    if not np.array_equal(points_from_msg(fill()), back_project(depth, camera, rgb)):
        raise DataError("the filled message must hold the cloud")
    source, target = array("B", bytes(16 * depth.size)), np.empty(16 * depth.size, np.uint8)
    filled, copied = medians([fill, lambda: np.copyto(target, np.frombuffer(source, np.uint8))], 200)
    yield Row("depth and colour to PointCloud2 message", 1e3 * filled, "ms")
    yield Row("... against a memcpy of its bytes", filled / copied, "x", 4.0, f"memcpy {1e3 * copied:.3f} ms")
    points = back_project(depth, camera, rgb)
    (thin,) = medians([lambda: thinned(points, _VOXEL_M)], 20)
    left = f"{thinned(points, _VOXEL_M).shape[1]} of {depth.size} points are left; limit: 30 Hz"
    yield Row(f"voxel grid of the cloud, {_VOXEL_M:g} m", 1e3 * thin, "ms", 1e3 / 30, left)
    image = rgb_to_msg(rgb, header)
    shared = np.shares_memory(image_from_msg(image), np.frombuffer(image.data, np.uint8))
    yield Row("copies from rgb8 message to array", 0.0 if shared else 1.0, "", 0.0)


def live(frames: int) -> Iterator[Row]:
    """640x480 at 15 Hz through DDS: frames lost, latency, the time of a mesh, and the node's memory over `frames`."""
    with TemporaryFolder() as stage:
        memory = _record(stage, _WARM_UP_S + frames / _RATE_HZ)
        results: dict[str, Any] = json.loads((stage / "recording.json").read_text(encoding="utf-8"))
    steady, mesh = results["steady"], results["mesh"]
    note = f"{steady['frames_out']} of {steady['frames_in']} frames at {steady['rate_in_hz']:.1f} Hz"
    if not steady["frames_out"]:
        raise DataError("no frame came out: see whether this machine is overloaded")
    yield Row("frames lost between processes", 100 * (1 - steady["share"]), "%", 5.0, note)
    yield Row("colour to cloud, p50", steady["latency_p50_ms"], "ms", 120.0, f"p95 {steady['latency_p95_ms']:.0f} ms")
    meanwhile = mesh["meanwhile"]
    lost = 100 * max(0.0, 1 - meanwhile["rate_out_hz"] / steady["rate_out_hz"])
    share = 100 / min(2, os.cpu_count() or 1)
    yield Row("frame rate lost while a Poisson mesh is made", lost, "%", share, "limit: one core's share of two")
    yield Row("longest gap meanwhile", meanwhile["longest_gap_s"], "s", 0.5, f"mesh: {mesh['seconds']:.1f} s")
    yield from _memory_rows(memory, frames)


def _memory_rows(samples: Sequence[float], frames: int) -> Iterator[Row]:
    """Growth after the warm-up, from the first fifth of `frames` to the last."""
    kept = samples[int(_WARM_UP_S / _SAMPLE_S) :]
    fifth = len(kept) // 5
    if fifth < 2:
        raise DataError("expected a run of some seconds to judge memory by: raise --frames")
    early, late = median(kept[:fifth]), median(kept[-fifth:])
    yield Row("node's memory growth", late - early, "MiB", 5.0, f"over {frames} frames, {late:.0f} MiB at the end")


def _record(stage: Path, seconds: float) -> list[float]:
    """Runs the pipeline for `seconds` and leaves recording.json in `stage`; the node's memory, MiB, twice a second."""
    samples: list[float] = []
    with own_domain() as domain:
        env = {**os.environ, **domain, "ROS_LOG_DIR": str(stage), "PYTHONUNBUFFERED": "1"}
        with Children(stage, env, say) as children:
            camera = children.start("camera", ROOMS_CAMERA, ["--rate", f"{_RATE_HZ:g}"])
            parameters = ["--ros-args", "-p", f"mesh.directory:={stage / 'node'}"]
            node = children.start("node", RECON_NODE, parameters)
            children.watch(lambda: camera.is_ready and node.is_ready, "camera and node to be ready", _START_S)
            flags = ["--output", str(stage), "--duration", f"{seconds:g}"]
            recorder = children.start("recorder", RECORDER, flags)
            last = time.monotonic()

            def recorded() -> bool:
                nonlocal last
                if time.monotonic() - last >= _SAMPLE_S and not (stage / "node").exists():  # until the first snapshot
                    last = time.monotonic()
                    samples.append(_resident_mib(node.pid))
                return recorder.exit_status == 0

            children.watch(recorded, "the recording to end", seconds + _SNAPSHOTS_S, recorder)
    return samples


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(args: Sequence[str] | None = None) -> int:
    """Prints each figure as it comes, writes the report; 1 where a figure is over its limit."""
    parser = argparse.ArgumentParser("bench", description=__doc__)
    parser.add_argument(
        "--frames", type=int, default=2000, help="length of the live run after a warm-up (default: 2000, about 3.5 min)"
    )
    parser.add_argument("--pairs", type=int, default=5, help="fusion off and on so often, 30 s each pair (default: 5)")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="some of the parts (default: all)")
    parser.add_argument("--output", type=Path, default=Path("bench_output/live"), help="where the report goes")
    arguments = parser.parse_args(args)
    raise_on_signals()
    rows = []
    try:
        parts = {
            "messages": messages(),
            "exchange": exchange(_EXCHANGES),
            "live": live(arguments.frames),
            "fusion": mapping(arguments.pairs, _TURN_S),
        }
        for row in chain.from_iterable(parts[name] for name in _PARTS if name in arguments.only):
            name, value, limit, verdict, note = row.cells
            print(f"{name:50} {value:>12}  {verdict:6}  {f'limit {limit}' if limit else '':16} {note}", flush=True)
            rows.append(row)
        report, table = write_report(arguments.output, rows)
    except Stopped as stopped:
        return 128 + stopped.number
    except MonoDepthError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"written to {report} and {table}")
    return 1 if any(row.verdict in ("failed", "over") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
