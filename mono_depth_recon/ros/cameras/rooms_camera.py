"""rooms_camera: a camera in a synthetic room: colour, calibration, exact depth and pose as ROS 2 topics."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from rclpy.node import Node

from ...config import Value
from ...transforms import frame_name
from ..node_settings import declare_settings, parse_flags, run_node, setting
from .player import CameraTopics, Player, ScheduledFrame
from .room_renderer import GrowingLoop, RoomRenderer

_PROGRESS_STEPS = 5


@dataclass(frozen=True)
class RoomsCameraSettings:
    """Which room, and what camera moves through it."""

    seed: int = setting(8, "which room; equal seeds give equal frames", low=0, high=2**31 - 1)
    length: int = setting(60, "frames of the loop, rendered once at start", low=1, high=100000)
    rate: float = setting(15.0, "frames per second", unit="Hz", low=0.1, high=1000.0)
    width: int = setting(640, "image width", unit="px", low=16, high=8192)
    height: int = setting(480, "image height", unit="px", low=16, high=8192)
    hfov: float = setting(62.0, "horizontal field of view", unit="deg", low=1.0, high=170.0)
    turn: float = setting(
        0.0, "turned to the left by this angle: several cameras on one rig", unit="deg", low=-180.0, high=180.0
    )
    frame_id: str = setting("camera_optical_frame", "frame of the images")
    reference_encoding: str = setting(
        "32FC1", "reference depth: 32FC1 metres or 16UC1 millimetres", choices=("32FC1", "16UC1")
    )


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Publishes until the program is stopped."""
    settings = declare_settings(node, RoomsCameraSettings, flags)
    topics = CameraTopics(node, frame_name(settings.frame_id), settings.reference_encoding)
    node.get_logger().info(topics.poses_text)

    def progress(done: int) -> None:
        if done == settings.length:
            node.get_logger().info(f"ready: {done} frames rendered, {settings.rate:g} Hz on {topics.image.topic_name}")
        elif done == 1 or done * _PROGRESS_STEPS % settings.length < _PROGRESS_STEPS:
            node.get_logger().info(f"{done} of {settings.length} frames rendered")

    renderer = RoomRenderer(
        settings.seed,
        settings.width,
        settings.height,
        settings.hfov,
        settings.length,
        settings.rate,
        settings.turn,
    )
    with GrowingLoop(renderer, settings.length, progress) as loop:
        loop.frame(0)
        Player(node, topics).play(_schedule(loop, settings.rate))


def _schedule(loop: GrowingLoop, rate_hz: float) -> Iterator[ScheduledFrame]:
    """The walk along the loop at a fixed rate."""
    for k, i in zip(count(), loop.walk()):
        yield ScheduledFrame(k / rate_hz, k / rate_hz, lambda i=i: loop.frame(i))  # type: ignore[misc]


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; 1 where it cannot start."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("rooms_camera", __doc__ or "", RoomsCameraSettings, arguments)
    return run_node("rooms_camera", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())
