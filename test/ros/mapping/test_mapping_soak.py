"""Ten minutes of fusion in the node: memory of node and map stays what it is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from processes import Processes, map_worker
from ros_client import RosClient, ros_client
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker

SECONDS = 600.0
WARM_UP_S = 120.0
BLOCKS = 500  # fewer than the room has: blocks leave all the time
GROWTH_MIB = 20.0


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def of_the_map(client: RosClient, key: str) -> int:
    status = next(s for s in client.received["/diagnostics"][-1].status if s.name.endswith(": map"))
    return int(next(pair.value for pair in status.values if pair.key == key))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_memory_is_bounded(ros_domain: int, processes: Processes) -> None:
    """Every frame fused, every block replaced many times, map and marker shown meanwhile."""
    camera = processes.python("-m", "mono_depth_recon.ros.cameras.rooms_camera", "--rate", "10")
    parameters = [
        "fusion.enabled:=true",
        "fusion.poses:=odometry",
        f"fusion.max_blocks:={BLOCKS}",
        "fusion.mesh_rate:=1.0",
        "fusion.keyframe_distance:=0.0",
        "fusion.keyframe_angle:=0.0",
    ]
    words = [word for parameter in parameters for word in ("-p", parameter)]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words)
    node.wait_for("ready")
    camera.wait_for("ready")
    samples: list[tuple[float, float]] = []
    with ros_client() as client:
        client.listen(PointCloud2, "map_points")
        client.listen(Marker, "mesh", latched=True)
        client.listen(DiagnosticArray, "/diagnostics")
        client.wait_for("map_points", 1)
        worker, end = map_worker(node.pid), time.monotonic() + SECONDS
        fused = evicted = 0
        while time.monotonic() < end or fused <= SECONDS or evicted <= 10 * BLOCKS:  # a slow machine goes on for longer
            client.forget()
            client.wait_for("/diagnostics", 2)
            assert of_the_map(client, "blocks") <= BLOCKS and of_the_map(client, "worker_restarts") == 0
            samples.append((resident_mib(node.pid), resident_mib(worker)))
            fused, evicted = of_the_map(client, "frames_integrated"), of_the_map(client, "blocks_evicted")
    kept = np.array(samples)[round(len(samples) * WARM_UP_S / SECONDS) :]
    tenth = len(kept) // 10
    early, late = np.median(kept[:tenth], axis=0), np.median(kept[-tenth:], axis=0)
    print(
        f"{fused} frames fused, {evicted} blocks left; MiB of node and map: {early.round()} -> {late.round()}, "
        f"at most {kept.max(axis=0).round()}"
    )
    assert (late - early < GROWTH_MIB).all()
