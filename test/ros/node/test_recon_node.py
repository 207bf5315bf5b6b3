"""The node from outside: a real process over DDS, compared with the same frame computed here."""

from __future__ import annotations

import itertools
import re
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from draco_packages import with_draco
from numpy.typing import NDArray
from policy import allowed
from processes import Process, Processes
from ros_client import RosClient, TestCamera, ros_client
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Frame
from mono_depth_recon.messages import depth_of
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.ros.conversions import image_from_msg, info_to_msg, points_from_msg, rgb_to_msg

CAMERA = PinholeCamera.from_hfov(320, 240, 60)
RUNTIME = "openvino"  # auto measures, and two processes may choose two
OUTPUTS = {
    "depth/image_rect": Image,
    "depth/image_rect/compressedDepth": CompressedImage,
    "depth/camera_info": CameraInfo,
    "depth/preview": Image,
    "rgb/image_rect": Image,
    "rgb/image_rect/compressed": CompressedImage,
    "rgb/camera_info": CameraInfo,
    "points": PointCloud2,
    "points/draco": PointCloud2,  # as the stand-in sends it
}


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    """A smooth colourful picture, so that resampling is well behaved."""
    noise = np.random.default_rng(7).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(noise, CAMERA.size, interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def client(ros_domain: int) -> Iterator[RosClient]:
    with ros_client() as made:
        yield made


def start(
    processes: Processes,
    *parameters: str,
    remap: Sequence[str] = (),
    ready: bool = True,
    env: Mapping[str, str] | None = None,
) -> Process:
    """recon_node with `name:=value` parameters and `from:=to` remappings."""
    pinned = [] if any(p.startswith("model.runtime") for p in parameters) else [f"model.runtime:={RUNTIME}"]
    words = [w for p in (*parameters, *pinned) for w in ("-p", p)] + [w for r in remap for w in ("-r", r)]
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words, env=env)
    if ready:
        node.wait_for("ready")
    return node


def expected(rgb: NDArray[np.uint8], camera: PinholeCamera, **values: object) -> Frame:
    """The frame as this process computes it."""
    config = with_values(Config(), {"model.runtime": RUNTIME, **values})
    return DepthReconstructor.from_config(config).process(rgb, camera)


def diagnosis(client: RosClient, key: str) -> str:
    """A value of the newest diagnostics."""
    status = client.wait_for("/diagnostics") and client.received["/diagnostics"][-1].status[0]
    return str(next(pair.value for pair in status.values if pair.key == key))


def newest_message(client: RosClient) -> str:
    """That of the newest diagnostics."""
    reports = client.received["/diagnostics"]
    return str(reports[-1].status[0].message) if reports else ""


def test_one_frame_comes_out_on_every_topic(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    start(processes, "compression.depth:=rvl", "compression.rgb:=png", env=with_draco())
    for topic, kind in OUTPUTS.items():
        client.listen(kind, topic)
    driver = client.camera()

    def whole() -> set[int]:
        """Stamps that have come on every topic."""
        return set.intersection(*({m.header.stamp.nanosec for m in client.received[t]} for t in OUTPUTS))

    driver.stream(rgb, CAMERA, lambda: bool(whole()), "a frame on every topic")
    stamp = max(whole())
    parts = {t: next(m for m in client.received[t] if m.header.stamp.nanosec == stamp) for t in OUTPUTS}
    assert {m.header.frame_id for m in parts.values()} == {"camera_optical_frame"}
    frame = expected(rgb, CAMERA)
    assert frame.depth is not None and frame.points is not None
    np.testing.assert_allclose(depth_of(parts["depth/image_rect"]), frame.depth, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(points_from_msg(parts["points"])[..., :3], frame.points[..., :3], rtol=1e-4, atol=1e-4)
    known = points_from_msg(parts["points"])
    known = known[np.isfinite(known[..., 2])]
    assert np.array_equal(points_from_msg(parts["points/draco"])[0], known) and parts["points/draco"].height == 1
    compressed = parts["depth/image_rect/compressedDepth"]
    np.testing.assert_allclose(depth_of(compressed), frame.depth, rtol=2e-3)
    assert compressed.format == "32FC1; compressedDepth rvl"
    for topic in ("rgb/image_rect", "rgb/image_rect/compressed"):
        assert np.array_equal(image_from_msg(parts[topic]), rgb)
    assert parts["depth/preview"].encoding == "rgb8" and parts["depth/preview"].width == 320
    for topic in ("depth/camera_info", "rgb/camera_info"):
        assert np.array_equal(np.reshape(parts[topic].k, (3, 3)), CAMERA.K)
    the_policy_allows_what_it_uses(client)
    for largest in (4000, 900):  # one scale for the stream: 900 alone would count as 10 bits
        pixels = np.full((CAMERA.height, CAMERA.width), largest, np.uint16)
        pixels[0, 0] = 160
        header = driver.header()
        driver.send_info(info_to_msg(CAMERA, header))
        driver.send(
            Image(
                header=header,
                height=CAMERA.height,
                width=CAMERA.width,
                encoding="mono16",
                step=2 * CAMERA.width,
                data=array("B", pixels.tobytes()),
            )
        )
        client.wait_until(lambda s=header.stamp: client.received["rgb/image_rect"][-1].header.stamp == s, "mono16")
        assert image_from_msg(client.received["rgb/image_rect"][-1])[0, 0].tolist() == [10, 10, 10]


def the_policy_allows_what_it_uses(client: RosClient) -> None:
    """Every name of the node's graph stands in config/sros2_policy.xml."""
    graph = (
        ("topics", "publish", client.node.get_publisher_names_and_types_by_node),
        ("topics", "subscribe", client.node.get_subscriber_names_and_types_by_node),
        ("services", "reply", client.node.get_service_names_and_types_by_node),
    )
    for kind, way, used in graph:
        names = {name for name, _ in used("recon_node", "/")}
        assert names and names <= allowed(kind, way), (kind, way)


def test_lens_size_and_encoding_may_change_in_mid_stream(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    """The next frame follows: the embedded model's metres go with the focal length, the grid with the image."""
    start(processes)
    client.listen(Image, "depth/image_rect")
    driver = client.camera(depth=1)
    driver.stream(rgb, CAMERA, lambda: len(client.received["depth/image_rect"]) >= 2, "depth")
    small = np.ascontiguousarray(rgb[::2, ::2])
    for image, camera, encoding in (
        (rgb, PinholeCamera.from_hfov(320, 240, 90), "rgb8"),
        (small, PinholeCamera.from_hfov(160, 120, 60), "bgr8"),
        (rgb, CAMERA, "rgb8"),
    ):
        header = driver.header()
        driver.send_info(info_to_msg(camera, header), acknowledged=True)
        msg = rgb_to_msg(np.ascontiguousarray(image[..., ::-1]) if encoding == "bgr8" else image, header)
        msg.encoding = encoding
        driver.send(msg)
        client.wait_until(
            lambda s=header.stamp: client.received["depth/image_rect"][-1].header.stamp == s, "the changed frame"
        )
        frame = expected(image, camera)
        assert frame.depth is not None
        got = depth_of(client.received["depth/image_rect"][-1])
        np.testing.assert_allclose(got, frame.depth, rtol=1e-4, atol=1e-4)


def test_a_camera_info_after_its_image_still_counts(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    """A driver that zooms and sends the image first: every frame has the intrinsics of its own stamp."""
    start(processes)
    client.listen(CameraInfo, "depth/camera_info")
    driver = client.camera()
    driver.stream(rgb, CAMERA, lambda: len(client.received["depth/camera_info"]) >= 2, "frames")
    lenses = itertools.cycle([CAMERA, PinholeCamera.from_hfov(320, 240, 90)])
    sent: dict[int, float] = {}

    def send() -> None:
        header, lens = driver.header(), next(lenses)
        sent[header.stamp.nanosec] = lens.fx
        driver.send(rgb_to_msg(rgb, header))
        time.sleep(0.01)
        driver.send_info(info_to_msg(lens, header))
        stamp = header.stamp
        client.wait_until(lambda: client.received["depth/camera_info"][-1].header.stamp == stamp, "the frame")

    def right() -> list[float]:
        infos = client.received["depth/camera_info"]
        return [m.k[0] for m in infos if sent.get(m.header.stamp.nanosec) == m.k[0]]

    # The node waits a little and no longer: a busy machine may send later than that. With the lens of the frame before
    # none would be right.
    client.repeat(send, lambda: len(right()) >= 20, "twenty frames with the intrinsics of their stamp", 100)
    assert len(set(right())) == 2


def test_distorted_raw_image_is_rectified(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    start(processes)
    client.listen(Image, "rgb/image_rect")
    client.listen(CameraInfo, "depth/camera_info")
    client.listen(Image, "depth/image_rect")
    distorted = PinholeCamera(320, 240, CAMERA.K, (0.2, -0.3, 0.001, -0.002, 0.1))
    client.camera().stream(
        rgb,
        distorted,
        lambda: bool(
            client.received["depth/camera_info"]
            and client.received["rgb/image_rect"]
            and client.received["depth/image_rect"]
        ),
        "rectified frames",
    )
    assert np.array_equal(image_from_msg(client.received["rgb/image_rect"][-1]), distorted.rectify(rgb))
    assert not any(client.received["depth/camera_info"][-1].d)
    depth = depth_of(client.received["depth/image_rect"][-1])
    valid = distorted.rectified_valid
    assert valid is not None and np.isnan(depth[~valid]).all(), "what the raw image does not cover has no depth"


def test_image_rect_uses_p_and_is_not_rectified_again(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    """image_proc publishes image_rect with the raw camera's camera_info: D and K are the past, P is the image."""
    start(processes, remap=["image:=/cam/image_rect", "camera_info:=/cam/camera_info"])
    client.listen(Image, "rgb/image_rect")
    client.listen(CameraInfo, "rgb/camera_info")
    info = PinholeCamera(320, 240, CAMERA.K * [[0.9], [0.9], [1]], (0.3, -0.2, 0, 0, 0), P=CAMERA.K)
    driver = client.camera("/cam/image_rect", "/cam/camera_info")
    driver.stream(
        rgb, info, lambda: bool(client.received["rgb/camera_info"] and client.received["rgb/image_rect"]), "rgb"
    )
    assert np.array_equal(image_from_msg(client.received["rgb/image_rect"][-1]), rgb)
    assert np.array_equal(np.reshape(client.received["rgb/camera_info"][-1].k, (3, 3)), CAMERA.K)


def test_compressed_transport(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    start(processes, "image_transport:=compressed", remap=["image:=/cam/image", "camera_info:=/cam/camera_info"])
    client.listen(Image, "rgb/image_rect")
    publisher = client.node.create_publisher(CompressedImage, "/cam/image/compressed", 5)
    driver = client.camera("/cam/unused", "/cam/camera_info")
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def send() -> None:
        header = driver.header()
        driver.send_info(info_to_msg(CAMERA, header))
        publisher.publish(CompressedImage(header=header, format="png", data=array("B", png.tobytes())))

    client.repeat(send, lambda: bool(client.received["rgb/image_rect"]), "a rectified image")
    assert np.array_equal(image_from_msg(client.received["rgb/image_rect"][0]), rgb)


def test_a_best_effort_camera_is_received(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """The subscription is reliable where it can be and follows publishers that are not."""
    start(processes)
    client.listen(Image, "depth/image_rect")
    small = np.ascontiguousarray(rgb[::2, ::2])
    driver = client.camera(reliable=False)
    driver.stream(small, CAMERA.resized(160, 120), lambda: len(client.received["depth/image_rect"]) >= 3, "depth")


def test_the_first_camera_info_is_waited_for(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    node = start(processes)
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera()
    client.wait_until(lambda: bool(client.received["/diagnostics"]), "diagnostics")
    headers: list[Header] = []

    def send() -> None:
        headers.append(driver.header())
        driver.send(rgb_to_msg(rgb, headers[-1]))

    client.repeat(
        send, lambda: "images come, but no camera_info: /camera_info is published, but" in node.output, "the warning"
    )
    assert not client.received["depth/image_rect"]
    assert "without a calibration set camera.hfov" in node.output
    client.listen(CameraInfo, "depth/camera_info")
    assert client.set_parameter("camera.hfov", 90.0).successful
    guessed = client.wait_for("depth/camera_info")  # of the image that waits
    assert guessed.header.stamp == headers[-1].stamp
    assert guessed.k[0] == guessed.k[4] == pytest.approx(CAMERA.width / 2) and guessed.k[2] == (CAMERA.width - 1) / 2
    client.wait_until(
        lambda: diagnosis(client, "calibration") == "guessed from camera.hfov=90", "the guess in diagnostics"
    )
    assert client.set_parameter("camera.hfov", 0.0).successful
    client.forget()
    send()
    client.wait_until(lambda: "no camera_info on" in newest_message(client), "an image that waits")
    assert diagnosis(client, "calibration") == "camera_info" and not client.received["depth/image_rect"]
    driver.send_info(info_to_msg(CAMERA, headers[-1]))
    assert client.wait_for("depth/image_rect").header.stamp == headers[-1].stamp
    assert client.wait_for("depth/camera_info").k[0] == pytest.approx(CAMERA.fx)


def test_bad_frames_are_dropped_and_counted_and_the_next_good_one_works(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    node = start(processes)
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera(depth=1)
    driver.stream(rgb, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    bad = [rgb_to_msg(rgb, driver.header()) for _ in range(3)]
    bad[0].data = bad[0].data[:1000]
    bad[1].encoding = "32SC4"
    bad[2].step = 5
    for count, msg in enumerate(bad, 1):
        driver.send(msg)
        client.wait_until(lambda n=count: diagnosis(client, "frames_refused") == str(n), f"{count} refused frames")
    assert diagnosis(client, "last_error") == "step of a 320 pixels wide rgb8 image must be at least 960 bytes, got 5"
    zero = info_to_msg(CAMERA, driver.header())
    zero.k, zero.p = np.zeros(9), np.zeros(12)
    driver.send_info(zero, acknowledged=True)
    driver.send(rgb_to_msg(rgb, zero.header))
    client.wait_until(
        lambda: "not calibrated" in diagnosis(client, "last_error"), "the complaint about zero intrinsics"
    )
    assert "camera.hfov" in diagnosis(client, "last_error")
    assert client.set_parameter("camera.hfov", 50.0).successful

    def again(info: CameraInfo) -> None:
        info.header = driver.header()
        driver.send_info(info)
        driver.send(rgb_to_msg(rgb, info.header))

    by_guess = "the camera is guessed from camera.hfov=50; calibrate it: mono-depth-recon calibrate"
    client.repeat(lambda: again(zero), lambda: newest_message(client) == by_guess, "depth by a guess")
    warning = "camera_info has no calibration: the camera is guessed from camera.hfov=50, and its metres with it"
    assert node.output.count(warning) == 1 and diagnosis(client, "calibration") == "guessed from camera.hfov=50"
    client.repeat(
        lambda: again(info_to_msg(CAMERA, zero.header)), lambda: " Hz, " in newest_message(client), "a calibration"
    )
    assert diagnosis(client, "calibration") == "camera_info"
    assert node.output.count("camera_info has a calibration now, which takes the place of camera.hfov") == 1
    other = info_to_msg(CAMERA.resized(640, 480), driver.header())
    driver.send_info(other, acknowledged=True)
    driver.send(rgb_to_msg(rgb, other.header))
    client.wait_until(
        lambda: diagnosis(client, "last_error").startswith("camera_info is for 640x480 pixels, the image has 320x240"),
        "the complaint about the size",
    )
    client.received["depth/image_rect"].clear()
    stamp = driver.publish(rgb, CAMERA, acknowledged=True).stamp
    client.wait_until(lambda: any(m.header.stamp == stamp for m in client.received["depth/image_rect"]), "a good frame")
    assert "Traceback" not in node.output


def test_camera_info_of_another_frame_is_reported(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8]
) -> None:
    node = start(processes)
    client.listen(Image, "depth/image_rect")
    driver = client.camera()

    def send() -> None:
        header = driver.header()
        info = info_to_msg(CAMERA, header)
        info.header = Header(stamp=header.stamp, frame_id="somewhere_else")
        driver.send_info(info)
        driver.send(rgb_to_msg(rgb, header))

    client.repeat(send, lambda: bool(client.received["depth/image_rect"]), "depth")
    assert client.received["depth/image_rect"][0].header.frame_id == "camera_optical_frame"
    node.wait_for("camera_info has frame_id")


def test_parameters_change_while_running(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    node = start(processes, "max_rate:=15")  # a whole number is a float too
    client.listen(Image, "depth/image_rect")
    driver = client.camera()
    driver.stream(rgb, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    assert client.set_parameter("depth.encoding", "16UC1").successful
    driver.stream(rgb, CAMERA, lambda: client.received["depth/image_rect"][-1].encoding == "16UC1", "16UC1")
    refused = client.set_parameter("mesh.method", "posson")
    assert not refused.successful and "did you mean 'poisson'?" in refused.reason
    refused = client.set_parameter("filter.min_range", 50.0)
    assert not refused.successful and "must be below filter.max_range" in refused.reason
    refused = client.set_parameter("mesh.texture", True)
    assert not refused.successful and "mesh.texture needs mesh.format obj or glb, got ply" in refused.reason
    assert client.set_parameter("mesh.format", "glb").successful
    assert client.set_parameter("mesh.texture", True).successful
    refused = client.set_parameter("mesh.source", "fused")
    assert not refused.successful and "mesh.texture is for one frame" in refused.reason
    refused = client.set_parameter("fusion.enabled", True)  # whose map mesh.source auto selects
    assert not refused.successful and "the map has none: set mesh.source to frame" in refused.reason
    refused = client.set_parameter("model.name", "other")
    assert not refused.successful and "restart" in refused.reason
    described = client.describe_parameter("filter.max_range")
    assert described.description and described.floating_point_range[0].to_value == 1000.0
    check_guard(client, node, driver)


def check_guard(client: RosClient, node: Process, driver: TestCamera) -> None:
    """A black image is marked; by parameter its depth is withheld. Both are said in scale, /diagnostics and the log."""
    black = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    client.listen(DiagnosticArray, "/diagnostics")
    client.listen(DiagnosticArray, "scale")

    def stamps(topic: str) -> list[int]:
        return [message.header.stamp.nanosec for message in client.received[topic]]

    def reported(withheld: str) -> bool:
        statuses = [s for m in client.received["/diagnostics"] for s in m.status if s.name.endswith(": guard")]
        values = [{pair.key: pair.value for pair in status.values} for status in statuses]
        return any(
            s.level == DiagnosticStatus.ERROR and s.message.startswith("dark image") and v["withheld"] == withheld
            for s, v in zip(statuses, values, strict=True)
        )

    driver.stream(black, CAMERA, lambda: reported("false"), "a report of the dark image")
    stamp = driver.publish(black, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps("depth/image_rect") and stamp in stamps("scale"), "depth, marked")
    assert [status.name for status in client.received["scale"][-1].status] == ["guard"]
    assert client.set_parameter("guard.on_unreliable", "withhold").successful
    stamp = driver.publish(black, CAMERA).stamp.nanosec
    client.wait_until(lambda: stamp in stamps("scale"), "its judgement")
    driver.stream(black, CAMERA, lambda: reported("true"), "a report of frames that are withheld")
    assert stamp not in stamps("depth/image_rect")
    node.wait_for("unreliable frame: dark image: 95 % of it is at most 0 % of white")
    node.wait_for("frame withheld: dark image")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mesh.metod:=grid"], "unknown parameter 'mesh.metod'; did you mean 'mesh.method'?"),
        (["filter.max_range:=-1.0"], "filter.max_range must be 0.01 to 1000 m, got -1.0"),
        (["mesh.texture:=true"], "mesh.texture needs mesh.format obj or glb, got ply"),
        (["max_rate:=fast"], "max_rate must be of type float, got 'fast'"),
        (["model.name:=unetpp_mobil"], "did you mean 'unetpp_mobile'?"),
        (["model.checkpoint:=/nowhere/card.json"], "/nowhere/card.json cannot be read"),
        (["camera.mask:=/nowhere.png"], "camera.mask: /nowhere.png cannot be read"),
    ],
)
def test_refuses_to_start_with_one_line(ros_domain: int, processes: Processes, arguments: list[str], said: str) -> None:
    node = start(processes, *arguments, ready=False)
    assert node.wait() == 1
    assert said in node.output and "Traceback" not in node.output


@pytest.mark.parametrize("words", [["--bogus"], ["--params-file", "/nowhere.yaml"]])
def test_wrong_ros_arguments_are_reported(ros_domain: int, processes: Processes, words: list[str]) -> None:
    node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words)
    assert node.wait() == 2
    assert words[-1] in node.output and "Traceback" not in node.output


def test_a_frame_without_any_depth_is_said(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    node = start(processes, "filter.border:=1000")
    client.listen(Image, "depth/image_rect")
    client.camera().stream(rgb, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    node.wait_for("no pixel of the frame has depth")


def test_refuses_truncated_weights(ros_domain: int, processes: Processes, tmp_path: Path) -> None:
    from mono_depth_recon.models.table import EMBEDDED

    for suffix in (".json", ".onnx", ".safetensors"):
        data = (EMBEDDED / f"unetpp_mobile{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(data if suffix == ".json" else data[: len(data) // 2])
    for runtime in ("openvino", "torch"):
        node = start(processes, f"model.checkpoint:={tmp_path}/cut.json", f"model.runtime:={runtime}", ready=False)
        assert node.wait() == 1
        assert re.search(r"cut\.(onnx|safetensors)", node.output) and "Traceback" not in node.output


def test_the_newest_frame_wins(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """A camera faster than max_rate: the rate is kept, drops are counted, and what comes out is recent."""
    start(processes, "max_rate:=5.0")
    begin = time.monotonic()
    client.listen(Image, "depth/image_rect")
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera()

    def enough() -> bool:
        return len(client.received["depth/image_rect"]) >= 15 and int(diagnosis(client, "frames_dropped")) > 30

    driver.stream(rgb, CAMERA, enough, "depth, and drops in /diagnostics", rate_hz=40)
    times = client.times["depth/image_rect"]
    assert len(times) <= 1 + 5.1 * (times[-1] - begin), "however late a message comes here, it left after the begin"
    stamps = [m.header.stamp.nanosec for m in client.received["depth/image_rect"]]
    assert stamps == sorted(stamps) and max(np.diff(stamps)) > 1e6, "frames in between are left out"


def test_nothing_is_computed_for_nobody(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    start(processes)
    client.listen(DiagnosticArray, "/diagnostics")
    driver = client.camera()
    message = "nobody subscribes: nothing is computed"
    driver.stream(
        rgb, CAMERA, lambda: any(m.status[0].message == message for m in client.received["/diagnostics"]), message
    )
    assert diagnosis(client, "frames_published") == "0" and int(diagnosis(client, "frames_received")) > 0
    client.listen(Image, "rgb/image_rect")
    driver.stream(rgb, CAMERA, lambda: len(client.received["rgb/image_rect"]) > 3, "colour alone")
    client.wait_until(lambda: diagnosis(client, "frames_published") != "0", "published frames")
    status = client.received["/diagnostics"][-1].status[0]
    assert not any(pair.key == "step_model_ms" for pair in status.values), "colour alone needs no model"


def test_body_mask_and_zero_for_invalid(
    client: RosClient, processes: Processes, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    mask = np.full((240, 320), 255, np.uint8)
    mask[180:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    start(processes, f"camera.mask:={tmp_path}/mask.png", "depth.invalid:=zero")
    client.listen(Image, "depth/image_rect")
    client.camera().stream(rgb, CAMERA, lambda: bool(client.received["depth/image_rect"]), "depth")
    values = np.frombuffer(client.received["depth/image_rect"][-1].data, np.float32).reshape(240, 320)
    assert not values[180:].any() and values[:170].any() and np.isfinite(values).all()


def test_the_voxel_grid_of_the_cloud(client: RosClient, processes: Processes, rgb: NDArray[np.uint8]) -> None:
    """One point for each cube, and the organised cloud again while the node runs."""
    start(processes, "cloud.voxel_size:=0.1")
    client.listen(PointCloud2, "points")
    driver = client.camera()
    driver.stream(rgb, CAMERA, lambda: bool(client.received["points"]), "points")
    thin = expected(rgb, CAMERA, **{"cloud.voxel_size": 0.1}).points
    msg = client.received["points"][-1]
    assert thin is not None and msg.height == 1 and abs(msg.width - thin.shape[1]) <= 0.01 * thin.shape[1]
    assert np.isfinite(points_from_msg(msg)[..., :3]).all()
    assert client.set_parameter("cloud.voxel_size", 0.0).successful
    driver.stream(rgb, CAMERA, lambda: client.received["points"][-1].height == 240, "an organised cloud")
