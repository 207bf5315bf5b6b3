"""points_safe and scan of the node: which frames, which stamps, and what is said where TF is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from processes import DEADLINE_S
from std_msgs.msg import Header
from tf_standin import TfNode, stamped, tf_message
from turned import pose_at

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.obstacles import planar_scan, safe_points, surroundings
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Frame
from mono_depth_recon.ros.mapping import tf
from mono_depth_recon.ros.node import navigation
from mono_depth_recon.ros.node.navigation import Navigation
from mono_depth_recon.trusted import trusted_depth

CAMERA = PinholeCamera.from_hfov(80, 60, 70.0)
LEVEL = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1]], np.float64)
CONFIG = with_values(Config(), {"safe.stride": 1, "safe.ground": "keep"})


class Topics:
    """points_safe and scan with that many subscribers each."""

    def __init__(self) -> None:
        self.subscribed = (True, True)
        self.clouds, self.scans = list[Any](), list[Any]()
        self.points_safe = SimpleNamespace(publish=self.clouds.append)
        self.scan = SimpleNamespace(publish=self.scans.append)

    def wants_navigation(self) -> tuple[bool, bool]:
        return self.subscribed


class Fed:
    """A Navigation whose TF, topics and log are at hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, subscribed: tuple[bool, bool] = (True, True)) -> None:
        self.node, self.topics = TfNode(tf_message(monkeypatch)), Topics()
        self.topics.subscribed = subscribed
        self.said, self.failures = list[str](), list[BaseException]()
        log: Any = SimpleNamespace(
            warn=lambda text, kind: self.said.append(text),
            rarely=lambda text, kind: self.said.append(text),
            once=self.said.append,
        )
        node: Any = self.node
        topics: Any = self.topics
        self.navigation = Navigation(node, topics, log, self.failures.append)

    def offer(self, second: float, depth: NDArray[np.float32], config: Config = CONFIG, frame: str = "lens") -> None:
        self.navigation.offer(Header(stamp=stamped(second), frame_id=frame), frame_of(depth), config)

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not until():
            assert not self.failures and time.monotonic() < end
            time.sleep(0.005)


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fed]:
    made = Fed(monkeypatch)
    yield made
    made.navigation.close()
    assert not made.failures


def frame_of(depth: NDArray[np.float32], **maps: Any) -> Frame:
    return Frame(np.zeros((60, 80, 3), np.uint8), CAMERA, depth, **maps)


def wall(distance: float = 2.0) -> NDArray[np.float32]:
    return np.full((60, 80), distance, np.float32)


def test_the_cloud_is_in_the_camera_and_the_scan_in_the_base_at_the_stamp_of_the_image(fed: Fed) -> None:
    turning: list[Matrix] = [pose_at(0.0, 0.0) @ LEVEL, pose_at(0.4, 0.0) @ LEVEL]
    for second, T in zip((1000.0, 1000.4), turning, strict=True):
        fed.node.send(second, "base_link", "lens", T)
    for second in (1000.1, 1000.3):
        fed.offer(second, wall())
        fed.wait(lambda s=second: bool(fed.topics.scans) and fed.topics.scans[-1].header.stamp == stamped(s))  # type: ignore[misc]
    T = pose_at(0.3, 0.0) @ LEVEL
    seen = surroundings(wall(), CAMERA, T, CONFIG.safe)
    cloud, scan = fed.topics.clouds[-1], fed.topics.scans[-1]
    assert cloud.header == Header(stamp=stamped(1000.3), frame_id="lens")
    assert [field.name for field in cloud.fields] == ["x", "y", "z"] and cloud.is_dense and cloud.height == 1
    assert (cloud.point_step, cloud.row_step) == (12, 12 * cloud.width) and len(cloud.data) == cloud.row_step
    np.testing.assert_allclose(np.frombuffer(cloud.data, np.float32).reshape(-1, 3), safe_points(seen, 0.05), atol=1e-5)
    expected = planar_scan(seen, 0.1, CONFIG.safe)
    assert scan.header == Header(stamp=stamped(1000.3), frame_id="base_link")
    np.testing.assert_allclose(scan.ranges, expected.ranges, atol=1e-5)
    assert np.isfinite(scan.ranges).sum() > 50
    assert scan.angle_max == pytest.approx(scan.angle_min + (len(scan.ranges) - 1) * scan.angle_increment)
    assert (scan.range_min, scan.range_max, scan.time_increment) == (pytest.approx(0.1), 5.0, 0.0)
    assert [one.scan_time for one in fed.topics.scans] == [0.0, pytest.approx(0.2)]
    assert not fed.said


def test_a_transform_that_is_late_is_waited_for(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(navigation, "_PATIENCE_S", DEADLINE_S)
    fed.node.send(1000.0, "base_link", "lens", LEVEL)
    fed.offer(1000.2, wall())
    time.sleep(0.05)
    assert not fed.topics.scans
    fed.node.send(1000.4, "base_link", "lens", LEVEL)
    fed.wait(lambda: bool(fed.topics.scans))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("lens", "no transform names the frame 'base_link': none has come yet; let TF lead from safe.base_frame"),
        ("base_link", "safe.base_frame 'base_link' is the frame of the images: name the robot's base, with z up"),
    ],
)
def test_without_a_transform_nothing_is_published_and_why_is_said(
    fed: Fed, monkeypatch: pytest.MonkeyPatch, frame: str, said: str
) -> None:
    monkeypatch.setattr(navigation, "_GRACE_S", 0.0)
    fed.offer(1000.0, wall(), frame=frame)
    fed.wait(lambda: bool(fed.said))
    assert fed.said[0].startswith(f"points_safe and scan are not published: {said}") and "\n" not in fed.said[0]
    assert not fed.topics.clouds and not fed.topics.scans
    fed.node.send(0.0, "base_link", "lens", LEVEL, fixed=True)
    fed.offer(1000.1, wall())
    fed.wait(lambda: bool(fed.topics.clouds))


def test_at_the_start_transforms_may_come_later(fed: Fed) -> None:
    fed.offer(1000.0, wall())
    fed.wait(lambda: fed.navigation._failing_since is not None)
    assert not fed.said


def test_tf_is_received_only_while_somebody_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed(monkeypatch, (False, False))
    assert not fed.node.subscribed
    for subscribed, clouds, scans in (((False, True), 0, 1), ((True, False), 1, 1), ((False, False), 1, 1)):
        fed.topics.subscribed = subscribed
        fed.navigation.look()
        assert bool(fed.node.subscribed) == any(subscribed)
        if any(subscribed):
            fed.node.send(0.0, "base_link", "lens", LEVEL, fixed=True)
        fed.offer(1000.0, wall())
        fed.wait(lambda c=clouds, s=scans: (len(fed.topics.clouds), len(fed.topics.scans)) == (c, s))  # type: ignore[misc]
    fed.navigation.close()
    assert not fed.failures and not fed.said


def test_tf_that_is_not_installed_is_said_once_and_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf, "transform_source", lambda *_: None)
    fed = Fed(monkeypatch)
    fed.offer(1000.0, wall())
    fed.navigation.close()
    assert len(fed.said) == 1 and "TF needs tf2_msgs, which is not installed" in fed.said[0]
    assert not fed.topics.clouds


def test_nothing_is_free_beyond_the_range_of_the_depth(fed: Fed) -> None:
    """A wall at 2 m, of which only is known that it is beyond 1.5 m."""
    fed.node.send(0.0, "base_link", "lens", LEVEL, fixed=True)
    beyond = np.full((60, 80), np.inf, np.float32)
    fed.offer(1000.0, beyond, with_values(CONFIG, {"filter.max_range": 1.5}))
    fed.wait(lambda: bool(fed.topics.scans))
    assert fed.topics.scans[0].range_max == 1.5 and np.isposinf(fed.topics.scans[0].ranges).any()
    assert fed.topics.clouds[0].width == 0 and len(fed.topics.clouds[0].data) == 0


def test_edges_sigma_and_confidence_are_judged() -> None:
    step = wall()
    step[:, 40:], step[:10] = 3.0, np.inf
    on_edge = np.zeros((60, 80), bool)
    on_edge[:, 39:41], on_edge[10] = True, True
    on_edge[:10] = False
    for own, ours, dropped in ((0.0, 0.3, True), (0.5, 0.3, True), (0.2, 0.3, False), (0.0, 0.0, False)):
        config = with_values(Config(), {"filter.edge_threshold": own, "safe.edge_threshold": ours / 8})
        config = with_values(config, {"filter.edge_threshold": own / 8})
        got = trusted_depth(frame_of(step), config)
        np.testing.assert_array_equal(got, np.where(on_edge, np.nan, step) if dropped else step)
    sigma = np.full_like(step, 0.5)
    sigma[:, :5] = sigma[:10] = np.nan
    config = with_values(Config(), {"safe.edge_threshold": 0.0, "safe.max_sigma": 0.2})
    doubtful = np.zeros_like(on_edge)
    doubtful[10:, :40] = True  # 0.5 is a quarter of 2 m, and a sixth of 3 m
    np.testing.assert_array_equal(trusted_depth(frame_of(step, sigma=sigma), config), np.where(doubtful, np.nan, step))
    confidence = np.linspace(0, 1, 80, dtype=np.float32)[None].repeat(60, axis=0)
    config = with_values(config, {"safe.min_confidence": 0.5})
    got = trusted_depth(frame_of(step, confidence=confidence), config)
    np.testing.assert_array_equal(got, np.where(confidence < 0.5, np.nan, step))
    assert np.isfinite(step[20:]).all(), "the depth of others is unchanged"
