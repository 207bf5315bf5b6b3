"""What needs TF says so when the node is configured, not when somebody misses it."""

from __future__ import annotations

import pytest

from mono_depth_recon.config import Config, with_values
from mono_depth_recon.ros.node import missing_tf

MISSING = "TF needs tf2_msgs, which is not installed: sudo apt install ros-$ROS_DISTRO-tf2-ros"


@pytest.fixture(autouse=True)
def no_tf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_tf, "tf_is_installed", lambda: False)


def lines(values: dict[str, object], names: tuple[str, ...] = ("",), **of_left: object) -> list[str]:
    config = with_values(Config(), values)
    cameras = dict.fromkeys(names, config)
    if of_left:
        cameras["left"] = with_values(config, {name.replace("__", "."): value for name, value in of_left.items()})
    return missing_tf.missing_tf(config, cameras)


def test_nothing_is_said_of_what_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines({}) == lines({"fusion.poses": "odom"}) == lines({"scale.source": "marker"}, ("a", "b")) == []
    asked = {"points_all.enabled": True, "fusion.poses": "odom", "scale.source": "odometry"}
    assert len(lines(asked, ("front", "left"))) == 4
    monkeypatch.setattr(missing_tf, "tf_is_installed", lambda: True)
    assert lines(asked, ("front", "left")) == []


def test_clouds_of_all_cameras_and_poses_of_several() -> None:
    assert lines({"points_all.enabled": True}) == [f"points_all is not published: {MISSING}"]
    assert lines({"fusion.poses": "wheels"}, ("front", "left")) == [
        "fusion.poses: only the camera whose frame the topic wheels names is in the map, the others are left out of "
        "it: " + MISSING
    ]


def test_scale_sources_of_one_camera() -> None:
    names, said = ("front", "left"), "left: scale.source {} cannot be fitted: {}, or {}"
    assert lines({}, names, scale__source="odometry") == [
        said.format("odometry", MISSING, "choose another scale.source")
    ]
    assert lines({}, names, scale__source="ground_plane") == [
        said.format("ground_plane", MISSING, "set scale.gravity to level or imu")
    ]
    for gravity in ("level", "imu"):
        assert lines({}, names, scale__source="ground_plane", scale__gravity=gravity) == []
