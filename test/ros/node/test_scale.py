"""A relative model in the node, from outside: disparity alone, metres by a given or a fitted scale; and sigma.

The model is of the true architecture (Depth Anything V2), shrunk, with random weights: what it sees means nothing, but
its disparity is as relative as any, and metres are made up from it here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from made_onnx import card_of, write_card, write_shifted
from numpy.typing import NDArray
from processes import Process, Processes
from ros_client import RosClient, TestCamera, ros_client
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf_standin import tf_message, with_tf

from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Frame
from mono_depth_recon.messages import depth_of
from mono_depth_recon.models.transformers.checkpoint import CONFIGS
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.registration import register_depth
from mono_depth_recon.ros.conversions import depth_to_msg, image_from_msg, info_to_msg, points_from_msg, points_to_msg
from mono_depth_recon.ros.tf_messages import tf_qos, transform_to_msg
from mono_depth_recon.scale.ground_plane import fit_floor

CAMERA = PinholeCamera.from_hfov(320, 240, 60)
SCALE, SHIFT = 0.05, 0.1  # of the metres that the tests give to the model's disparity
METRIC_TOPICS = ("depth/image_rect", "points", "depth/camera_info")

pytestmark = [pytest.mark.torch, pytest.mark.timeout(1800)]  # a fit is held for 30 frames, each may take a second


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    noise = np.random.default_rng(7).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(noise, CAMERA.size, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def relative_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Parameters that name a shrunk Depth Anything V2, written by transformers; its disparity is about 5."""
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    folder = tmp_path_factory.mktemp("relative_model")
    backbone = {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 14,
        "image_size": 70,
        "reshape_hidden_states": False,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    torch.manual_seed(0)
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=32,
            neck_hidden_sizes=[8, 16, 32, 32],
            fusion_hidden_size=16,
            head_hidden_size=8,
            patch_size=14,
        )
    ).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim == 4 and name.startswith(("neck", "head")):
                torch.nn.init.kaiming_normal_(values)
        model.head.conv3.bias.fill_(5.0)
        model.head.conv3.weight.mul_(0.3 / model(torch.randn(1, 3, 112, 154)).predicted_depth.std())
    model.save_pretrained(folder)
    processor = json.loads((CONFIGS / "depth_anything_v2_small.json").read_text(encoding="utf-8"))["preprocessor"]
    processor["size"] = {"height": 112, "width": 112}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return {"model.name": f"hf:{folder}", "model.output": "relative_disparity", "model.runtime": "torch"}


@pytest.fixture(scope="module")
def disparity(relative_model: dict[str, str], rgb: NDArray[np.uint8]) -> Depth:
    """The model's answer as this process computes it."""
    found = expected(rgb, **relative_model).disparity
    assert found is not None and np.percentile(found, 95) - np.percentile(found, 5) > 0.5
    return found


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def expected(rgb: NDArray[np.uint8], **values: object) -> Frame:
    return DepthReconstructor.from_config(with_values(Config(), values)).process(rgb, CAMERA)


def start(processes: Processes, env: dict[str, str] | None = None, **parameters: object) -> Process:
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words, env=env)
    node.wait_for("ready")
    return node


def diagnosis(client: RosClient) -> tuple[bytes, dict[str, str]]:
    """Level and values of the newest diagnostics."""
    status = client.wait_for("/diagnostics") and client.received["/diagnostics"][-1].status[0]
    return status.level, {pair.key: pair.value for pair in status.values}


def stamps(client: RosClient, topic: str) -> list[int]:
    return [message.header.stamp.nanosec for message in client.received[topic]]


def made_depth(disparity: Depth) -> Depth:
    return (1 / (SCALE * disparity.astype(np.float64) + SHIFT)).astype(np.float32)


def spoilt_reference(disparity: Depth) -> Depth:
    """Half the rows and columns of the metres, 30 % of them wrong, a fifth unknown."""
    small = cv2.resize(made_depth(disparity), (160, 120), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(3)
    wrong = rng.random(small.shape) < 0.3
    small[wrong] = rng.uniform(0.3, 9.0, int(wrong.sum()))
    small[rng.random(small.shape) < 0.2] = np.nan
    return small


class DepthCamera:
    """Colour and reference depth of equal stamps, as a depth camera publishes them."""

    def __init__(self, client: RosClient, rgb: NDArray[np.uint8]) -> None:
        self._client, self._rgb = client, rgb
        self.encoding = "16UC1"
        self.driver: TestCamera = client.camera()
        self._publisher = client.node.create_publisher(Image, "reference_depth", 5)

    def publish(self, depth: Depth | None, seconds_off: int = 0) -> Header:
        header = self.driver.publish(self._rgb, CAMERA)
        if depth is not None:
            stamped = Header(frame_id=header.frame_id, stamp=header.stamp)
            stamped.stamp = type(header.stamp)(sec=header.stamp.sec + seconds_off, nanosec=header.stamp.nanosec)
            self._publisher.publish(depth_to_msg(depth, stamped, self.encoding))
        return header

    def stream(self, depth: Depth | None, until: Callable[[], bool], what: str, seconds_off: int = 0) -> None:
        self._client.repeat(lambda: self.publish(depth, seconds_off), until, what)


def test_without_a_scale_there_is_disparity_and_never_depth(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], relative_model: dict[str, str], disparity: Depth
) -> None:
    node = start(processes, **relative_model)
    assert node.output.count("gives relative disparity, which has no metres: set scale.source=fixed") == 1
    assert "ready: disparity and depth/preview" in node.output
    for topic in ("disparity", "depth/preview", "depth/image_rect"):
        client.listen(Image, topic)
    client.listen(PointCloud2, "points")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera()
    driver.stream(
        rgb,
        CAMERA,
        lambda: min(map(len, (client.received["disparity"], client.received["depth/preview"]))) >= 5,
        "disparity and preview",
    )
    message = client.received["disparity"][-1]
    assert (message.encoding, message.header.frame_id) == ("32FC1", "camera_optical_frame")
    published = np.frombuffer(message.data, np.float32).reshape(240, 320)
    np.testing.assert_allclose(published, disparity, rtol=1e-4, atol=1e-4)
    preview = image_from_msg(client.received["depth/preview"][-1]).astype(int)
    near, far = (
        preview[index].mean(axis=0)
        for index in (disparity >= np.quantile(disparity, 0.95), disparity <= np.quantile(disparity, 0.05))
    )
    assert near[2] > near[0] and far[0] > far[2], "near is blue and far is yellow, as in the preview of depth"
    assert not client.received["depth/image_rect"] and not client.received["points"]
    for service in ("save_mesh", "save_cloud"):
        reply = client.trigger(service)
        assert not reply.success and "which has no metres: set scale.source=fixed" in reply.message
    # Without images for a while they warn.
    driver.stream(rgb, CAMERA, lambda: diagnosis(client)[0] == DiagnosticStatus.OK, "a good state in the diagnostics")
    _, values = diagnosis(client)
    assert (values["scale_source"], values["frames_without_metres"]) == ("none", "0")
    assert node.output.count("which has no metres") == 3, "said once, and in the two replies"


def test_a_given_scale_is_live(
    client: RosClient,
    processes: Processes,
    rgb: NDArray[np.uint8],
    disparity: Depth,
    relative_model: dict[str, str],
    tmp_path: Path,
) -> None:
    start(processes, **relative_model, **{"mesh.directory": tmp_path, "mesh.method": "grid", "mesh.edge_ratio": 1.0})
    client.listen(Image, "disparity")
    client.listen(Image, "depth/image_rect")
    client.listen(PointCloud2, "points")
    driver = client.camera()
    driver.stream(rgb, CAMERA, lambda: bool(client.received["disparity"]), "disparity")
    for name, value in (("scale.scale", SCALE), ("scale.shift", SHIFT), ("scale.source", "fixed")):
        assert client.set_parameter(name, value).successful
    stamp = driver.publish(rgb, CAMERA).stamp.nanosec
    for topic in ("depth/image_rect", "points"):
        client.wait_until(lambda topic=topic: stamp in stamps(client, topic), f"{topic} of the very next frame")
    depth = depth_of(client.received["depth/image_rect"][-1])
    known = np.isfinite(depth)
    assert known.mean() > 0.3
    np.testing.assert_allclose(depth[known], made_depth(disparity)[known], rtol=1e-3)
    points = points_from_msg(client.received["points"][-1])
    np.testing.assert_array_equal(points[..., 2][known], depth[known])
    assert client.trigger("save_mesh").success
    assert client.set_parameter("scale.scale", 2 * SCALE).successful
    stamp = driver.publish(rgb, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps(client, "depth/image_rect"), "the next frame")
    depth = depth_of(client.received["depth/image_rect"][-1])
    known = np.isfinite(depth)
    np.testing.assert_allclose(depth[known], 1 / (2 * SCALE * disparity[known] + SHIFT), rtol=1e-3)
    check_jump(client, driver, rgb)
    assert client.set_parameter("scale.source", "none").successful
    count = len(client.received["depth/image_rect"])
    stamp = driver.publish(rgb, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps(client, "disparity"), "disparity of the next frame")
    assert len(client.received["depth/image_rect"]) == count
    assert "no metres" in client.trigger("save_cloud").message


def check_jump(client: RosClient, driver: TestCamera, rgb: NDArray[np.uint8]) -> None:
    """A scale that jumps while nothing moves: by parameter two frames are withheld, then it counts."""
    client.listen(DiagnosticArray, "scale")
    driver.stream(rgb, CAMERA, lambda: len(client.received["scale"]) >= 4, "frames of a steady scale")
    for name, value in (
        ("guard.max_blur", 13.0),  # the picture is smooth
        ("guard.max_gap", 0.0),
        ("guard.on_unreliable", "withhold"),
        ("scale.scale", SCALE),
    ):
        assert client.set_parameter(name, value).successful
    made = []
    for _ in range(3):
        made.append(driver.publish(rgb, CAMERA).stamp.nanosec)
        client.wait_until(lambda: made[-1] in stamps(client, "scale"), "its scale")
    client.wait_until(lambda: made[2] in stamps(client, "depth/image_rect"), "the third frame")
    assert not {*made[:2]} & {*stamps(client, "depth/image_rect")}
    guard = client.received["scale"][stamps(client, "scale").index(made[0])].status[1]
    assert guard.name == "guard" and guard.level == DiagnosticStatus.ERROR and "scale jumped" in guard.message


def test_metres_are_fitted_to_the_depth_beside_the_image(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], relative_model: dict[str, str], disparity: Depth
) -> None:
    node = start(processes, **relative_model, **{"scale.source": "reference"})
    client.listen(Image, "depth/image_rect")
    client.listen(Image, "disparity")
    client.listen(DiagnosticArray, "/diagnostics")
    camera = DepthCamera(client, rgb)
    for camera.encoding in ("16UC1", "32FC1"):
        count = len(client.received["depth/image_rect"])
        camera.stream(
            spoilt_reference(disparity),
            lambda before=count: len(client.received["depth/image_rect"]) >= before + 3,
            camera.encoding,
        )
        depth = depth_of(client.received["depth/image_rect"][-1])
        known = np.isfinite(depth)
        assert known.mean() > 0.3
        np.testing.assert_allclose(depth[known], made_depth(disparity)[known], rtol=0.01)

    def fitted() -> bool:
        return "scale_inliers" in diagnosis(client)[1]

    camera.stream(spoilt_reference(disparity), fitted, "a fit in the diagnostics")
    _, values = diagnosis(client)
    assert float(values["scale"]) == pytest.approx(SCALE, rel=0.01)
    assert float(values["shift"]) == pytest.approx(SHIFT, abs=0.003)
    assert 0.5 < float(values["scale_inliers"]) < 0.8 and values["scale_source"] == "reference"
    assert "Traceback" not in node.output


def test_missing_references_are_counted_held_over_and_said(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], relative_model: dict[str, str], disparity: Depth
) -> None:
    """None at all, too old, too few pixels, the first good one, then none for a while, then none for too long."""
    node = start(processes, **relative_model, **{"scale.source": "reference", "scale.timeout": 1e3})
    for topic in ("depth/image_rect", "disparity"):
        client.listen(Image, topic)
    client.listen(DiagnosticArray, "/diagnostics")
    client.listen(DiagnosticArray, "scale")
    camera, good = DepthCamera(client, rgb), spoilt_reference(disparity)
    few = np.full_like(good, np.nan)
    few[:4, :10] = good[:4, :10]
    for depth, seconds_off, said in (
        (None, 0, "frame without metres: no reference depth on /reference_depth yet"),
        (good, -2, "frame without metres: reference depth must be stamped within 0.5 s of the image, the nearest on"),
        (few, 0, "frame without metres: expected at least 50 pixels with reference depth and disparity"),
    ):
        camera.stream(depth, lambda text=said: text in node.output, said, seconds_off)
    assert not client.received["depth/image_rect"] and client.received["disparity"]
    client.wait_until(lambda: int(diagnosis(client)[1].get("frames_without_metres", 0)) >= 3, "they are counted")
    assert "scale" not in diagnosis(client)[1]
    client.wait_until(lambda: diagnosis(client)[0] == DiagnosticStatus.WARN, "a warning in the diagnostics")
    assert not (reply := client.trigger("save_cloud")).success and "at least 50 pixels" in reply.message
    camera.stream(good, lambda: bool(client.received["depth/image_rect"]), "depth")
    camera.stream(few, lambda: diagnosis(client)[1].get("scale_held_frames", "0") != "0", "a fit that is held")
    count = len(client.received["depth/image_rect"])
    camera.stream(few, lambda: len(client.received["depth/image_rect"]) > count, "depth by the fit that is held")
    assert client.set_parameter("scale.timeout", 0.1).successful
    counted = int(diagnosis(client)[1]["frames_without_metres"])
    camera.stream(few, lambda: int(diagnosis(client)[1]["frames_without_metres"]) > counted, "the fit is given up")
    assert "depth is withheld: expected at least 50 pixels" in node.output
    assert client.set_parameter("scale.on_timeout", "stale").successful
    camera.stream(few, lambda: "depth is stale: expected at least 50" in node.output, "stale depth")

    def levels() -> set[bytes]:
        return {message.status[0].level for message in client.received["scale"]}

    camera.stream(few, lambda: DiagnosticStatus.STALE in levels(), "a stale scale")
    assert levels() == {DiagnosticStatus.ERROR, DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.STALE}
    assert client.received["scale"][-1].header.frame_id == "camera_optical_frame"
    assert client.set_parameter("scale.source", "fixed").successful
    client.wait_until(lambda: client.node.count_subscribers("reference_depth") == 0, "the subscription ends")
    assert "Traceback" not in node.output


def test_sigma_and_confidence_are_published_and_gate_depth(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Of an ONNX file: sigma is put into the cloud, too."""
    write_shifted(tmp_path / "made.onnx")
    rule = {"width": 320, "height": 240, "fit": "stretch"}
    write_card(tmp_path / "made.json", card_of(input=rule, outputs={"confidence": {"kind": "confidence"}}))
    model = {
        "model.name": f"onnx:{tmp_path / 'made.onnx'}",
        "model.uncertainty": "flip",
        "model.runtime": "openvino",  # auto may choose another
    }
    start(processes, **model)
    client.listen(Image, "depth/sigma")
    client.listen(Image, "depth/confidence")
    client.listen(Image, "depth/image_rect")
    client.listen(PointCloud2, "points")
    driver = client.camera()
    driver.stream(
        rgb,
        CAMERA,
        lambda: all(client.received[t] for t in ("depth/sigma", "depth/confidence", "depth/image_rect", "points")),
        "sigma, confidence, depth and cloud",
    )
    assert client.received["points"][-1].point_step == 16
    frame = expected(rgb, **model)
    assert frame.depth is not None and frame.sigma is not None
    message = client.received["depth/sigma"][-1]
    sigma = np.frombuffer(message.data, np.float32).reshape(240, 320)
    assert (message.encoding, message.header.frame_id) == ("32FC1", "camera_optical_frame")
    np.testing.assert_allclose(sigma, frame.sigma, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(np.isnan(sigma), ~np.isfinite(frame.depth))
    message = client.received["depth/confidence"][-1]
    confidence = np.frombuffer(message.data, np.float32).reshape(240, 320)
    assert (message.encoding, message.header.frame_id) == ("32FC1", "camera_optical_frame")
    assert frame.confidence is not None
    np.testing.assert_allclose(confidence, frame.confidence, atol=1e-6)
    assert client.set_parameter("cloud.sigma", True).successful
    driver.stream(rgb, CAMERA, lambda: client.received["points"][-1].point_step == 20, "a cloud with sigma")
    cloud = client.received["points"][-1]
    assert [(f.name, f.offset) for f in cloud.fields][3:] == [("rgb", 12), ("sigma", 16)]
    np.testing.assert_allclose(points_from_msg(cloud)[..., 4], frame.sigma, rtol=1e-3, atol=1e-3)
    limit = float(np.nanmedian(frame.sigma))
    assert client.set_parameter("filter.max_sigma", limit).successful
    stamp = driver.publish(rgb, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps(client, "depth/image_rect"), "the next frame")
    gated = np.isfinite(depth_of(client.received["depth/image_rect"][-1]))
    clearly = np.abs(frame.sigma - limit) > 1e-3
    np.testing.assert_array_equal(gated[clearly], (np.isfinite(frame.depth) & (frame.sigma < limit))[clearly])
    assert client.set_parameter("filter.max_sigma", 0.0).successful
    limit = float(np.median(confidence)) + 1e-3
    assert client.set_parameter("filter.min_confidence", limit).successful
    stamp = driver.publish(rgb, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps(client, "depth/image_rect"), "the next frame")
    gated = np.isfinite(depth_of(client.received["depth/image_rect"][-1]))
    np.testing.assert_array_equal(gated, np.isfinite(frame.depth) & (confidence >= limit))


def test_what_has_no_effect_is_said_once(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """A scale source for a metric model, sigma and confidence of a model that has none, a field without anchors."""
    node = start(processes, **{"scale.source": "reference", "scale.varying": "true", "cloud.sigma": "true"})
    client.listen(PointCloud2, "points")
    client.listen(Image, "depth/confidence")
    client.camera().stream(rgb, CAMERA, lambda: len(client.received["points"]) >= 5, "clouds")
    assert np.isnan(points_from_msg(client.received["points"][-1])[..., 4]).all()
    assert client.node.count_subscribers("reference_depth") == 0 and client.node.count_publishers("disparity") == 0
    assert node.output.count("scale.source=reference is for models of relative disparity, unetpp_lite predicts") == 1
    assert node.output.count("model unetpp_lite has no sigma") == 1
    assert node.output.count("model unetpp_lite has no confidence") == 1
    assert "scale.varying has no effect" not in node.output, "with this source it would have one"
    assert client.set_parameter("scale.source", "marker").successful
    assert client.set_parameter("scale.marker_size", 0.2).successful
    idle = "scale.varying has no effect with scale.source=marker"
    client.wait_until(lambda: idle in node.output, "the line about scale.varying")
    assert node.output.count(idle) == 1


def test_reference_depth_of_another_camera_is_registered_by_tf(
    client: RosClient,
    processes: Processes,
    rgb: NDArray[np.uint8],
    relative_model: dict[str, str],
    disparity: Depth,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another frame and K: refused with the reason while its camera_info or the transform is missing."""
    other, T = PinholeCamera.from_intrinsics(280, 200, 230.0, 232.0, 141.0, 99.0), np.eye(4)
    T[:3, 3] = -0.08, 0.01, 0.02  # of the depth camera in the colour camera
    depth = register_depth(made_depth(disparity), CAMERA, other, np.linalg.inv(T))
    node = start(processes, with_tf(), **relative_model, **{"scale.source": "reference"})
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    images = client.node.create_publisher(Image, "reference_depth", 5)
    infos = client.node.create_publisher(CameraInfo, "reference_camera_info", 5)
    fixed = client.node.create_publisher(tf_message(monkeypatch), "/tf_static", tf_qos(True))
    driver, info = client.camera(), info_to_msg(other, Header(frame_id="depth_optical"))

    def publish() -> None:
        header = driver.publish(rgb, CAMERA)
        images.publish(depth_to_msg(depth, Header(frame_id="depth_optical", stamp=header.stamp), "32FC1"))

    def refused(why: str) -> Callable[[], bool]:
        return lambda: why in node.output

    client.repeat(publish, refused("nothing comes on /reference_camera_info"), "no camera_info")
    infos.publish(info)
    client.repeat(lambda: (infos.publish(info), publish()), refused("no transform names the frame"), "no transform")
    assert not client.received["depth/image_rect"]
    mount = driver.publish(rgb, CAMERA)
    fixed.publish(tf_message(monkeypatch)(transforms=[transform_to_msg(T, mount, "depth_optical")]))
    client.repeat(publish, lambda: len(client.received["depth/image_rect"]) >= 3, "metres")
    metres = depth_of(client.received["depth/image_rect"][-1])
    known = np.isfinite(metres)
    assert known.mean() > 0.3
    np.testing.assert_allclose(metres[known], made_depth(disparity)[known], rtol=0.03)
    check_points(client, node, driver, rgb, disparity)
    check_sources_by_tf(client, node, driver, rgb, disparity, monkeypatch)
    assert "Traceback" not in node.output


def check_sources_by_tf(
    client: RosClient,
    node: Process,
    driver: TestCamera,
    rgb: NDArray[np.uint8],
    disparity: Depth,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ground_plane and odometry get height, gravity and poses by TF: noise has a floor at some scale, but no motion."""
    moving = client.node.create_publisher(tf_message(monkeypatch), "/tf", tf_qos(False))
    T_base_camera = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 1.37], [0, 0, 0, 1]], np.float64)

    def publish() -> None:
        header = driver.publish(rgb, CAMERA)
        for parent, child, T in (
            ("odom", "base_footprint", np.eye(4)),
            ("base_footprint", header.frame_id, T_base_camera),
        ):
            stamped = Header(frame_id=parent, stamp=header.stamp)
            moving.publish(tf_message(monkeypatch)(transforms=[transform_to_msg(T, stamped, child)]))

    assert client.set_parameter("scale.source", "ground_plane").successful
    silent = "frame without metres: no transform names the frame 'base_footprint'"
    client.repeat(lambda: driver.publish(rgb, CAMERA), lambda: silent in node.output, silent)
    fit = fit_floor(disparity, CAMERA, -T_base_camera[2, :3], 1.37)

    def scale() -> float:
        values = diagnosis(client)[1]
        return float(values["scale"]) if values.get("scale_source") == "ground_plane" and "scale" in values else 0.0

    client.repeat(publish, lambda: abs(scale() / fit.scale - 1) < 0.05, "the scale of a floor 1.37 m below")
    assert client.set_parameter("scale.source", "odometry").successful
    still = "frame without metres: no points yet by odometry"
    client.repeat(publish, lambda: still in node.output, still)


def check_points(
    client: RosClient, node: Process, driver: TestCamera, rgb: NDArray[np.uint8], disparity: Depth
) -> None:
    """scale.source=points on the node that runs, from the same frame and through the same transform."""
    client.listen(DiagnosticArray, "/diagnostics")
    assert client.set_parameter("scale.source", "points").successful
    client.repeat(lambda: driver.publish(rgb, CAMERA), lambda: "no reference points on" in node.output, "no cloud")
    depth, cloud = made_depth(disparity), np.full((48, 64, 4), np.nan, np.float32)
    x, y = CAMERA.rays
    cloud[..., 0], cloud[..., 1], cloud[..., 2] = (
        (part * depth)[::5, ::5] for part in (x[None, :], y[:, None], np.float32(1))
    )
    cloud[..., :3] -= np.float32((-0.08, 0.01, 0.02))  # where the transform puts the other frame
    cloud[:, :5, 2] *= 3
    clouds = client.node.create_publisher(PointCloud2, "reference_points", 5)

    def publish() -> None:
        header = driver.publish(rgb, CAMERA)
        clouds.publish(points_to_msg(cloud, Header(frame_id="depth_optical", stamp=header.stamp)))

    client.repeat(
        publish,
        lambda: diagnosis(client)[1].get("scale_source") == "points",
        "its source",
    )
    client.repeat(publish, lambda: float(diagnosis(client)[1].get("scale_inliers", 0)) > 0.8, "a good fit")
    _, values = diagnosis(client)
    assert float(values["scale"]) == pytest.approx(SCALE, rel=0.02)
    assert float(values["shift"]) == pytest.approx(SHIFT, abs=0.005)
