"""How long the node takes to publish again after a fault of the camera or of the runtime, printed as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from processes import ROOT, Processes
from ros_client import RosClient, TestCamera, ros_client
from sensor_msgs.msg import PointCloud2

from mono_depth_recon.camera import PinholeCamera

CAMERA = PinholeCamera.from_hfov(320, 240, 60)
RGB: NDArray[np.uint8] = np.full((240, 320, 3), 90, np.uint8)
TIMES = 5
LIMIT_S = 3.0


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def _status(client: RosClient) -> DiagnosticStatus | None:
    arrays = client.received["/diagnostics"]
    return arrays[-1].status[0] if arrays else None


def _until(client: RosClient, driver: TestCamera | None, level: bytes, what: str) -> None:
    def reached() -> bool:
        status = _status(client)
        return status is not None and status.level == level

    if driver is None:
        client.wait_until(reached, what)
    else:
        driver.stream(RGB, CAMERA, reached, what)


def _seconds_to_a_cloud(client: RosClient, driver: TestCamera) -> float:
    client.forget()
    start = time.monotonic()
    driver.stream(RGB, CAMERA, lambda: bool(client.received["points"]), "a cloud")
    return time.monotonic() - start


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_seconds_until_a_cloud_comes_again(client: RosClient, processes: Processes, tmp_path: Path) -> None:
    """The model is loaded again within the time that is measured; a camera is away until that is said."""
    broken = tmp_path / "broken"
    node = processes.python(ROOT / "test" / "support" / "toy_node.py", env={"TOY_BROKEN": str(broken)})
    node.wait_for("ready")
    client.listen(DiagnosticArray, "/diagnostics")
    client.listen(PointCloud2, "points")
    driver = client.camera()
    _seconds_to_a_cloud(client, driver)

    def runtime_fails() -> None:
        _until(client, driver, DiagnosticStatus.OK, "a good state")
        seen = node.output.count("device lost")
        broken.touch()
        driver.stream(RGB, CAMERA, lambda: node.output.count("device lost") > seen, "a failure")
        broken.unlink()

    def camera_is_away() -> None:
        _until(client, None, DiagnosticStatus.WARN, "a warning")

    faults: dict[str, Callable[[], None]] = {
        "the runtime fails on an image": runtime_fails,
        "the camera stops": camera_is_away,
    }
    for fault, happens in faults.items():
        seconds = []
        for _ in range(TIMES):
            happens()
            seconds.append(_seconds_to_a_cloud(client, driver))
        print(f"| {fault} | {TIMES} | {median(seconds):.2f} s | {max(seconds):.2f} s |")
        assert max(seconds) < LIMIT_S
