"""points_all: which clouds are joined, where they are, which stamp they get, and who is not waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from processes import DEADLINE_S
from std_msgs.msg import Header
from tf_standin import TfNode, stamped, tf_message

from mono_depth_recon.arrays import Matrix
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Frame
from mono_depth_recon.ros.conversions import points_from_msg
from mono_depth_recon.ros.node import points_all
from mono_depth_recon.ros.node.points_all import PointsAll

CAMERA = PinholeCamera.from_hfov(8, 6, 60.0)
AHEAD = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1]], np.float64)
ASIDE = np.array([[1, 0, 0, 0], [0, 0, 1, 0.1], [0, -1, 0, 0.4], [0, 0, 0, 1]], np.float64)
CONFIG = with_values(Config(), {"points_all.rate": 1000.0, "points_all.max_age": 0.2})


class Joined:
    """A PointsAll with its TF, its topic and its log at hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, self.sent, self.failures = TfNode(tf_message(monkeypatch)), list[Any](), list[BaseException]()
        self.said, self.subscribers = list[str](), 1
        warn: Any = SimpleNamespace(warning=self.said.append)
        self.node.get_logger = lambda: warn  # type: ignore[attr-defined]
        topic: Any = SimpleNamespace(publish=self.sent.append, get_subscription_count=lambda: self.subscribers)
        node: Any = self.node
        self.joined = PointsAll(node, topic, lambda: CONFIG, self.failures.append)
        self.inputs = {camera: self.joined.input_of(camera) for camera in ("front", "left")}

    def place(self, camera: str, T: Matrix) -> None:
        self.node.send(0.0, "base_link", f"{camera}_lens", T, fixed=True)

    def see(self, camera: str, second: float, metres: float = 2.0, config: Config = CONFIG) -> None:
        depth = np.full((6, 8), metres, np.float32)
        depth[0] = np.nan, *[np.inf] * 7
        frame = Frame(np.full((6, 8, 3), 9, np.uint8), CAMERA, depth)
        self.inputs[camera](Header(stamp=stamped(second), frame_id=f"{camera}_lens"), frame, config)

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not until():
            assert not self.failures and time.monotonic() < end
            time.sleep(0.002)

    def next(self, camera: str, second: float, **more: Any) -> Any:
        """The message that a frame causes."""
        before = len(self.sent)
        self.see(camera, second, **more)
        self.wait(lambda: len(self.sent) > before)
        return self.sent[-1]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Joined]:
    made = Joined(monkeypatch)
    yield made
    made.joined.close()
    assert not made.failures and not made.node.subscribed


def test_clouds_are_placed_in_the_base_frame_with_the_latest_stamp(rig: Joined) -> None:
    rig.place("front", AHEAD)
    rig.place("left", ASIDE)
    alone = rig.next("left", 10.1)
    assert (alone.header.frame_id, alone.header.stamp, alone.width) == ("base_link", stamped(10.1), 40)
    both = rig.next("front", 10.0, metres=3.0)
    assert both.header.stamp == stamped(10.1) and both.width == 80 and both.height == 1 and both.is_dense
    left, front = np.split(points_from_msg(both)[0, :, :3], 2)
    np.testing.assert_allclose(left[:, 1], 2.1, atol=1e-5)  # 2 m along the base's y, from where the camera is
    np.testing.assert_allclose(front[:, 0], 3.2, atol=1e-5)
    x, y = (rays[1:] if number else rays for number, rays in enumerate(CAMERA.rays))
    np.testing.assert_allclose(left[:8, 0], 2 * x, atol=1e-5)
    np.testing.assert_allclose(front[::8, 2], 0.5 - 3 * y, atol=1e-5)


def test_a_cloud_that_is_too_old_or_of_another_run_is_left_out(rig: Joined) -> None:
    rig.place("front", AHEAD)
    rig.place("left", ASIDE)
    rig.next("left", 10.0)
    assert rig.next("front", 10.19).width == 80
    assert rig.next("front", 10.21).width == 40, "left has not come for longer than points_all.max_age"
    assert rig.next("front", 3.0).width == 40, "time went back: what is later is of another run"
    assert rig.next("left", 3.1).width == 80


def test_a_camera_without_a_transform_is_said_and_not_waited_for_again(
    rig: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, float]]()
    awaited = points_all.awaited

    def noted(lookup: Any, changed: Any, patience_s: float, ended: Any) -> Matrix:
        asked.append(("", patience_s))
        return awaited(lookup, changed, 0.0, ended)

    monkeypatch.setattr(points_all, "awaited", noted)
    rig.place("front", AHEAD)
    rig.see("left", 10.0)
    rig.wait(lambda: bool(rig.said))
    assert rig.said[0].startswith("points_all is without left: ") and "let TF lead from safe.base_frame" in rig.said[0]
    assert rig.next("front", 10.1).width == 40
    assert sorted(patience for _, patience in asked) == [0.0, points_all._PATIENCE_S, points_all._PATIENCE_S]
    rig.place("left", ASIDE)
    assert rig.next("front", 10.15).width == 80
    rig.next("front", 10.16)
    assert asked[-1][1] == points_all._PATIENCE_S == asked[-2][1], "it is there again"


def test_the_cloud_is_as_thin_as_points(rig: Joined) -> None:
    rig.place("front", AHEAD)
    assert (
        rig.next("front", 1.0, config=with_values(CONFIG, {"cloud.stride": 2})).width == 8
    )  # of 3 rows the first has none
    assert rig.next("front", 1.1, config=with_values(CONFIG, {"cloud.voxel_size": 1.0})).width < 20


def test_while_nobody_subscribes_nothing_is_kept(rig: Joined) -> None:
    rig.place("front", AHEAD)
    rig.next("front", 1.0)
    rig.subscribers = 0
    rig.joined.look()
    assert not rig.node.subscribed
    rig.see("front", 1.1)
    rig.subscribers = 1
    rig.joined.look()
    rig.joined.rest()
    rig.joined.look()
    rig.place("front", AHEAD)
    rig.place("left", ASIDE)
    assert rig.next("left", 1.1).width == 40, "the cloud from before the rest is gone"
