"""rooms_camera: a camera in a synthetic room: colour, calibration, exact depth and pose as ROS 2 topics."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from rclpy.node import Node

from ..camera import PinholeCamera
from ..config import Value
from ..datasets.rooms import RoomSequence
from ..frames import Sample
from .camera_source import CameraTopics, Cue, Player
from .node_settings import declare_settings, parse_flags, run_node, setting

_NICENESS = 10  # of the rendering thread: publishing and the other nodes go first
_PROGRESS_STEPS = 5


@dataclass(frozen=True)
class RoomsCameraSettings:
    """Which room, and what camera moves through it."""

    seed: int = setting(1, "which room; equal seeds give equal frames", low=0, high=2**31 - 1)
    length: int = setting(60, "frames of the loop, rendered once at start", low=1, high=100000)
    rate: float = setting(15.0, "frames per second", unit="Hz", low=0.1, high=1000.0)
    width: int = setting(640, "image width", unit="px", low=16, high=8192)
    height: int = setting(480, "image height", unit="px", low=16, high=8192)
    hfov: float = setting(62.0, "horizontal field of view", unit="deg", low=1.0, high=170.0)
    frame_id: str = setting("camera_optical_frame", "frame of the images")
    reference_encoding: str = setting(
        "32FC1", "reference depth: 32FC1 metres or 16UC1 millimetres", choices=("32FC1", "16UC1")
    )


class RenderedLoop:
    """The frames of a closed path, rendered one after another in a thread of low priority; a context manager.

    `prepare()` gives the function that renders frame i; `progress(done)` is called after every frame, in that thread.
    """

    def __init__(
        self, prepare: Callable[[], Callable[[int], Sample]], length: int, progress: Callable[[int], None]
    ) -> None:
        self._pool = ThreadPoolExecutor(1, "render", initializer=_lower_priority)
        self._renderer = self._pool.submit(prepare)
        self._progress = progress
        self._frames: list[Future[Sample]] = [self._pool.submit(self._render, i) for i in range(length)]
        self._finished = 0

    def __enter__(self) -> RenderedLoop:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def frame(self, i: int) -> Sample:
        """Frame i, waited for. Raises what rendering it raised."""
        return self._frames[i].result()

    def walk(self) -> Iterator[int]:
        """Endless indices along the path: to the last finished frame and back while it grows, then round and round."""
        i, step = 0, 1
        while True:
            yield i
            if self._count_finished() == len(self._frames):
                i = (i + step) % len(self._frames)
                continue
            if not 0 <= i + step < max(1, self._finished):
                step = -step
            i = min(max(0, i + step), max(0, self._finished - 1))

    def _count_finished(self) -> int:
        while self._finished < len(self._frames) and self._frames[self._finished].done():
            self._finished += 1
        return self._finished

    def _render(self, i: int) -> Sample:
        sample = self._renderer.result()(i)
        self._progress(i + 1)
        return sample


def _lower_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # Linux: a thread has its own


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Publishes until the program is stopped."""
    settings = declare_settings(node, RoomsCameraSettings, flags)
    topics = CameraTopics(node, settings.frame_id, settings.reference_encoding)
    camera = PinholeCamera.from_hfov(settings.width, settings.height, settings.hfov)

    def progress(done: int) -> None:
        if done == settings.length:
            node.get_logger().info(f"ready: {done} frames rendered, {settings.rate:g} Hz on {topics.image.topic_name}")
        elif done == 1 or done * _PROGRESS_STEPS % settings.length < _PROGRESS_STEPS:
            node.get_logger().info(f"{done} of {settings.length} frames rendered")

    def prepare() -> Callable[[int], Sample]:
        return RoomSequence(settings.seed, camera, settings.length, settings.rate).__getitem__

    with RenderedLoop(prepare, settings.length, progress) as loop:
        Player(node, topics).play(_cues(loop, settings.rate))


def _cues(loop: RenderedLoop, rate_hz: float) -> Iterator[Cue]:
    """The walk along the loop at a fixed rate."""
    for k, i in zip(count(), loop.walk()):
        yield Cue(k / rate_hz, k / rate_hz, lambda i=i: loop.frame(i))  # type: ignore[misc]


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; 1 where it cannot start."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("rooms_camera", __doc__ or "", RoomsCameraSettings, arguments)
    return run_node("rooms_camera", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())
