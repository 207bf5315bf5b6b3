"""Live evaluation: the values in /diagnostics equal those computed here from the messages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from made_models import picture, pinhole
from processes import Processes
from ros_client import RosClient, ros_client
from sensor_msgs.msg import Image

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import LiveEvaluationConfig
from mono_depth_recon.errors import CalibrationError, DataError, ModelError, MonoDepthError
from mono_depth_recon.frames import Frame
from mono_depth_recon.messages import depth_of
from mono_depth_recon.ros.conversions import depth_to_msg
from mono_depth_recon.ros.node.live_evaluation import LiveEvaluation
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.reference import REFERENCE_DEPTH

CAMERA = PinholeCamera.from_hfov(320, 240, 60)


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def evaluation(client: RosClient) -> tuple[bytes, dict[str, str]]:
    """Level and values of the newest status of the evaluation, empty where there is none."""
    for message in reversed(client.received["/diagnostics"]):
        for status in message.status:
            if status.name.endswith(": evaluation"):
                return status.level, {pair.key: pair.value for pair in status.values}
    return DiagnosticStatus.STALE, {}


def test_depth_is_compared_with_a_camera_beside_it(client: RosClient, processes: Processes) -> None:
    """The same image again and again, against a slanted wall of half the resolution; then the depth camera stops."""
    node = processes.python(
        "-m",
        "mono_depth_recon.ros.node.recon_node",
        "--ros-args",
        "-p",
        "evaluation.enabled:=true",
        "-p",
        "evaluation.rate:=0.0",
        "-r",
        "reference_depth:=reference/image",
    )
    node.wait_for("ready")
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    wall = np.linspace(1.0, 3.0, 160, dtype=np.float32)[None].repeat(120, axis=0)
    references = client.node.create_publisher(Image, "reference/image", 5)
    driver = client.camera()
    rgb = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)

    def compared_some() -> bool:
        references.publish(depth_to_msg(wall, driver.header()))
        return int(evaluation(client)[1].get("frames_compared", 0)) >= 5

    driver.stream(rgb, CAMERA, compared_some, "a comparison")
    level, values = evaluation(client)
    assert level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    depth = depth_of(client.received["depth/image_rect"][-1])[1::2, 1::2]  # the pixels at the wall's centres
    known = np.isfinite(depth)
    ratio = np.maximum(depth / wall, wall / depth)[known]
    assert values["protocol"] == "metric"
    abs_rel = float(np.mean(np.abs(depth - wall)[known] / wall[known]))
    assert float(values["abs_rel"]) == pytest.approx(abs_rel, rel=0.02)
    assert float(values["delta1"]) == pytest.approx(float(np.mean(ratio < 1.25)), abs=0.02)
    scale, shift = np.polyfit(1 / depth[known], 1 / wall[known], 1)
    assert (float(values["scale"]), float(values["shift"])) == pytest.approx((scale, shift), abs=0.01)
    assert client.set_parameter("evaluation.enabled", False).successful
    reports = client.received["/diagnostics"]
    client.wait_until(
        lambda: not any(status.name.endswith(": evaluation") for status in reports[-1].status),
        "diagnostics without it",
    )


@pytest.mark.parametrize("error", [DataError("no depth"), CalibrationError("no camera"), ModelError("no model")])
def test_what_cannot_be_compared_costs_no_frame(error: MonoDepthError) -> None:
    """The reason is in /diagnostics; the frame is good whatever the reference is."""

    def reference() -> None:
        raise error

    live = LiveEvaluation()
    live.apply(LiveEvaluationConfig(enabled=True, rate=0.0))
    camera = pinhole(64, 48)
    live.offer(Evidence({REFERENCE_DEPTH: reference}), lambda: Frame(picture(camera), camera), lambda: camera)
    assert live.values() == {"frames_compared": "0", "frames_not_compared": "1", "last_reason": str(error)}


def test_a_missing_depth_camera_is_reported(client: RosClient, processes: Processes) -> None:
    node = processes.python(
        "-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", "-p", "evaluation.enabled:=true"
    )
    node.wait_for("ready")
    client.listen(DiagnosticArray, "/diagnostics")
    rgb = np.zeros((240, 320, 3), np.uint8)
    client.camera().stream(rgb, CAMERA, lambda: bool(evaluation(client)[1].get("last_reason")), "a reason")
    level, values = evaluation(client)
    assert level == DiagnosticStatus.WARN
    assert "no reference depth on /reference_depth yet: nobody publishes it" in values["last_reason"]
