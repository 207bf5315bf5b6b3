"""Renders the loop of a synthetic room in a process of its own, which takes seconds and can be ended at any time.

The process (`python -m mono_depth_recon.ros.cameras.room_renderer`) has low priority and imports no ROS;
frames come by pipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from ...camera import PinholeCamera
from ...child_process import end_with_parent
from ...errors import MonoDepthError
from ...frames import Sample

_NICENESS = 10


class RoomRenderer:
    """The process that renders frames 0 to length - 1 of `RoomSequence(seed, camera, length, rate_hz, turn_deg)`.

    The camera has width x height square pixels and `hfov_deg` degrees horizontally. `close` ends the process.
    """

    def __init__(
        self,
        seed: int,
        width: int,
        height: int,
        hfov_deg: float,
        length: int,
        rate_hz: float,
        turn_deg: float = 0.0,
    ) -> None:
        self._frames, sending = Pipe(duplex=False)
        self._left = length
        numbers = [sending.fileno(), os.getpid(), seed, width, height, hfov_deg, length, rate_hz, turn_deg]
        # Ctrl-C reaches the whole terminal: the mask, which the child inherits, leaves its end to this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen([sys.executable, "-m", __name__, *(repr(n) for n in numbers)],
                                             pass_fds=[sending.fileno()], stdin=subprocess.DEVNULL)  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            sending.close()

    def receive(self) -> Sample:
        """The next frame, waited for. Raises the MonoDepthError of the renderer, or one where it died.

        With the last frame the process ends and is reaped: it would stay as a zombie for the life of this one.
        """
        try:
            frame = self._frames.recv()
        except (EOFError, OSError):
            self.close()
            raise MonoDepthError("the renderer ended before its loop was complete: see its messages above") from None
        self._left -= 1
        if isinstance(frame, MonoDepthError):
            self.close()
            raise frame
        if not self._left:
            self.close()
        sample: Sample = frame
        return sample

    def close(self) -> None:
        """Ends the process at once; every `receive` then fails."""
        self._process.kill()
        self._process.wait()


class FrameSource(Protocol):
    """Where the frames of a loop come from, one after another."""

    def receive(self) -> Sample:
        """The next frame, waited for."""

    def close(self) -> None:
        """Makes every `receive` fail, now and later."""


class GrowingLoop:
    """The frames of a closed path as they come, received in a thread; a context manager that closes `source`.

    `progress(done)` is called in that thread after every frame.
    """

    def __init__(self, source: FrameSource, length: int, progress: Callable[[int], None]) -> None:
        self._source, self._progress = source, progress
        self._pool = ThreadPoolExecutor(1, "receive")
        self._frames: list[Future[Sample]] = [self._pool.submit(self._next, i) for i in range(length)]
        self._finished = 0

    def __enter__(self) -> GrowingLoop:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def frame(self, i: int) -> Sample:
        """Frame i, waited for. Raises what receiving it raised."""
        return self._frames[i].result()

    def walk(self) -> Iterator[int]:
        """Endless indices along the path: to the last finished frame and back while it grows, then round and round."""
        i, step = 0, 1
        while True:
            yield i
            if self._count_finished() == len(self._frames):
                i = (i + 1) % len(self._frames)
                continue
            if not 0 <= i + step < max(1, self._finished):
                step = -step
            i = min(max(0, i + step), max(0, self._finished - 1))

    def _count_finished(self) -> int:
        while self._finished < len(self._frames) and self._frames[self._finished].done():
            self._finished += 1
        return self._finished

    def _next(self, i: int) -> Sample:
        sample = self._source.receive()
        self._progress(i + 1)
        return sample


def render(
    frames: Connection, seed: int, camera: PinholeCamera, length: int, rate_hz: float, turn_deg: float = 0.0
) -> None:
    """Sends every Sample of the loop, or the MonoDepthError that ends it."""
    from ...datasets.rooms.room import RoomSequence

    try:
        sequence = RoomSequence(seed, camera, length, rate_hz, turn_deg)
        for i in range(length):
            frames.send(sequence[i])
    except MonoDepthError as error:
        frames.send(error)


def main() -> None:
    """The process: file descriptor of the pipe, parent, seed, width, height, hfov, length, rate, turn."""
    pipe, parent, seed, width, height = map(int, sys.argv[1:6])
    end_with_parent(parent)
    os.nice(_NICENESS)
    camera = PinholeCamera.from_hfov(width, height, float(sys.argv[6]))
    with Connection(pipe, readable=False) as frames:
        render(frames, seed, camera, int(sys.argv[7]), float(sys.argv[8]), float(sys.argv[9]))


if __name__ == "__main__":
    main()
