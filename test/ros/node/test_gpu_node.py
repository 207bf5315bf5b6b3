"""The node with a model on a GPU, against the same model on the CPU of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from processes import Process, Processes
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image, PointCloud2

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.messages import depth_of
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.ros.conversions import points_from_msg

torch = pytest.importorskip("torch")
CAMERA = PinholeCamera.from_hfov(320, 240, 60)
NAME = "depth_anything_v2_metric_indoor_small"

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")]


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def _values(folder: Path, device: str) -> dict[str, Any]:
    """Parameters; random weights see farther than a room and edges everywhere."""
    model = {"name": NAME, "checkpoint": str(folder), "runtime": "torch", "device": device, "precision": "f32"}
    return {f"model.{name}": value for name, value in model.items()} | {
        "filter.max_range": 50.0,
        "filter.edge_threshold": 0.0,
    }


def _start(processes: Processes, values: dict[str, Any]) -> Process:
    words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    return processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words)


def test_depth_and_cloud_of_a_gpu_are_those_of_the_cpu(
    client: RosClient, processes: Processes, folder_of: Callable[[str], Path]
) -> None:
    """Also through deactivate, which gives the GPU's memory back, and activate."""
    rows, columns = np.mgrid[:240, :320]
    rgb = np.stack([rows, columns // 2, (rows + columns) // 3], axis=2).astype(np.uint8)
    folder = folder_of(NAME)
    expected = DepthReconstructor.from_config(with_values(Config(), _values(folder, "cpu"))).process(rgb, CAMERA)
    assert expected.depth is not None and expected.points is not None and np.isfinite(expected.depth).all()
    spread = float(np.ptp(np.percentile(expected.depth, (5, 95))))
    node = _start(processes, _values(folder, "cuda"))
    node.wait_for("ready")
    client.listen(Image, "depth/image_rect")
    client.listen(PointCloud2, "points")
    driver = client.camera()
    for _ in range(2):
        client.forget()
        topics = [client.received[topic] for topic in ("points", "depth/image_rect")]
        driver.stream(rgb, CAMERA, lambda: all(topics), "depth and cloud")  # noqa: B023
        depth = depth_of(client.received["depth/image_rect"][-1])
        cloud = points_from_msg(client.received["points"][-1])
        assert np.abs(depth - expected.depth).mean() < 0.02 * spread
        assert np.abs(cloud[..., :3] - expected.points[..., :3]).mean() < 0.02 * spread
        free = torch.cuda.mem_get_info()[0]
        assert client.change_state(Transition.TRANSITION_DEACTIVATE)
        assert torch.cuda.mem_get_info()[0] > free, "deactivate gives memory back"
        assert client.change_state(Transition.TRANSITION_ACTIVATE)
    assert f"torch {torch.cuda.get_device_name()} f32 graphs" in node.output
    assert node.stop() == 0 and "Traceback" not in node.output
