"""An hour under load (SOAK_SECONDS=600: ten minutes): 4K images at three times the rate that the node manages.

Meanwhile subscribers come and go, services are called side by side, parameters change, and something else keeps both
cores busy. What is published is fresh, and memory, threads and open files stay what they are.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from processes import ROOT, Process, Processes
from rclpy.qos import QoSProfile
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
SIZE = ("3840", "2160")
BUSY = "while True: pass"
GROWTH = 0.02  # of memory
PARALLEL_CALLS = 100


def _of_node(client: RosClient, key: str) -> float:
    status = client.received["/diagnostics"][-1].status[0]
    return float(next(pair.value for pair in status.values if pair.key == key))


def _footprint(pid: int) -> tuple[float, int, int]:
    """Resident MiB, threads and open files of a process."""
    proc = Path(f"/proc/{pid}")
    resident = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident, len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir()))


@contextmanager
def _ages(client: RosClient) -> Iterator[list[float]]:
    """Ages (s) of the depth images that arrive, by their stamps."""
    ages: list[float] = []

    def note(msg: Image) -> None:
        ages.append(time.time() - msg.header.stamp.sec - msg.header.stamp.nanosec / 1e9)

    subscription = client.node.create_subscription(Image, "depth/image_rect", note, 1)
    yield ages
    client.node.destroy_subscription(subscription)


def _unloaded_s(client: RosClient, processes: Processes) -> float:
    """Seconds from image to depth of a camera that the node easily follows."""
    camera = processes.python(ROOT / "test" / "support" / "flood.py", *SIZE, "0.5")
    with _ages(client) as ages:
        client.wait_until(lambda: len(ages) >= 8, "depth of a slow camera")
    camera.kill_all()
    return statistics.median(ages[2:])


def _calls(client: RosClient, name: str, times: int) -> list[Any]:
    service: Any = client.node.create_client(Trigger, name, qos_profile=QoSProfile(depth=2 * times))
    assert service.wait_for_service(60)
    return [service.call_async(Trigger.Request()) for _ in range(times)]


class _Disturbance:
    """A parameter changes; a process full of subscribers is killed in the middle, and another one comes."""

    def __init__(self, client: RosClient, processes: Processes) -> None:
        self._client, self._processes = client, processes
        self._ranges, self._others, self._left = cycle((8.0, 10.0, 12.0)), list[Process](), 0

    def __call__(self) -> None:
        assert self._client.set_parameter("filter.max_range", next(self._ranges)).successful
        if self._left == 0:
            for process in self._others:
                process.kill_all()
            self._others = [self._processes.python(ROOT / "test" / "support" / "passing.py", "4")]
            self._left = random.randint(8, 14)
        self._left -= 1


def _steady(
    node: Process, client: RosClient, seconds: float, disturb: Callable[[], None]
) -> list[tuple[float, int, int]]:
    """Footprints, one about every 5 s."""
    end, footprints = time.monotonic() + seconds, []
    while time.monotonic() < end:
        disturb()
        client.received["/diagnostics"].clear()
        client.wait_for("/diagnostics", 5)
        footprints.append(_footprint(node.pid))
        assert node.running
    return footprints


@pytest.mark.soak
@pytest.mark.timeout(3 * SECONDS + 1200)
def test_the_node_under_load(ros_domain: int, processes: Processes, tmp_path: Path) -> None:
    words = [word for parameter in (f"mesh.directory:={tmp_path}",) for word in ("-p", parameter)]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words)
    node.wait_for("ready")
    with ros_client() as client:
        client.listen(DiagnosticArray, "/diagnostics")
        alone_s = _unloaded_s(client, processes)
        processes.python(ROOT / "test" / "support" / "flood.py", *SIZE, f"{3 / alone_s:.2f}")
        with _ages(client) as ages:
            client.wait_until(lambda: len(ages) >= 30, "depth under load")
            loaded = list(ages[10:])
        for _ in range(2):
            processes.start([sys.executable, "-c", BUSY])
        replies = _calls(client, "save_mesh", PARALLEL_CALLS)
        before = _of_node(client, "frames_published")
        footprints = _steady(node, client, SECONDS, _Disturbance(client, processes))
        client.wait_until(lambda: all(reply.done() for reply in replies), f"{PARALLEL_CALLS} replies", 600)
        answered = [reply.result() for reply in replies]
        received, published = (_of_node(client, key) for key in ("frames_received", "frames_published"))
    kept = np.array(footprints[len(footprints) // 4 :], float)
    tenth = max(1, len(kept) // 10)
    early, late = np.median(kept[:tenth], axis=0), np.median(kept[-tenth:], axis=0)
    print(
        f"| 4K at 3 times the rate, {SECONDS / 60:g} min | {received:.0f} in, {published:.0f} out | "
        f"age {statistics.median(loaded):.2f} s, alone {alone_s:.2f} s | "
        f"{early[0]:.0f} -> {late[0]:.0f} MiB, {early[1]:.0f} -> {late[1]:.0f} threads, "
        f"{early[2]:.0f} -> {late[2]:.0f} files | {len(answered)} of {PARALLEL_CALLS} calls answered |"
    )
    assert published > before
    assert len(answered) == PARALLEL_CALLS and all(reply.success for reply in answered)
    assert statistics.median(loaded) < 2 * alone_s
    assert late[0] < (1 + GROWTH) * early[0] and late[1] <= early[1] and late[2] <= early[2]
