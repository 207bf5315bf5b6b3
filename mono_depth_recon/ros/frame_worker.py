"""A worker thread for frames: when it cannot keep up, the newest frames win and the dropped ones are counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import MonoDepthError
from ..frames import Judgement, Scale

T = TypeVar("T")
_LOOK_S = 1.0


class Mailbox(Generic[T]):
    """A queue of `slots` items between two threads; when it is full, `put` displaces the oldest item."""

    def __init__(self, slots: int = 1) -> None:
        self._condition = threading.Condition()
        self._items: deque[T] = deque(maxlen=slots)
        self._closed = False

    def put(self, item: T) -> bool:
        """Adds `item`; True when it displaced one that had not been taken."""
        with self._condition:
            displaced = len(self._items) == self._items.maxlen
            self._items.append(item)
            self._condition.notify()
        return displaced

    def take(self, not_before: Callable[[], float] = lambda: 0.0) -> T | None:
        """Waits for the oldest item, and at least until `not_before()` (time.monotonic); None once closed.

        That is asked again every second: it may come earlier than it was.
        """
        with self._condition:
            while not self._closed:
                wait = not_before() - time.monotonic()
                if self._items and wait <= 0:
                    return self._items.popleft()
                self._condition.wait(min(wait, _LOOK_S) if wait > 0 else None)
        return None

    def close(self) -> None:
        """Ends every `take`, now and later."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


@dataclass
class FrameStats:
    """Counters and recent timings of the frame path, for /diagnostics; any thread may read them.

    `busy_since` is when the current frame was taken (time.monotonic), None between frames.
    """

    received: int = 0
    published: int = 0
    dropped: int = 0
    refused: int = 0
    without_metres: int = 0
    unwanted: int = 0
    busy_since: float | None = None
    scale: Scale | None = None
    compared: int = 0
    noticed: int = 0
    unreliable: int = 0
    withheld: int = 0
    last_error: str = ""
    _finished: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    _steps: deque[Mapping[str, float]] = field(default_factory=lambda: deque(maxlen=60))
    _worst: Judgement | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_received(self, replaced: bool) -> None:
        """A message arrived; `replaced` when it displaced one that was not processed."""
        with self._lock:
            self.received += 1
            self.dropped += replaced

    def count_refused(self, error: str) -> None:
        """A frame could not be processed."""
        with self._lock:
            self.refused += 1
            self.last_error = error

    def count_without_metres(self, error: str) -> None:
        """A frame of a relative model has no scale although a scale source is set."""
        with self._lock:
            self.without_metres += 1
            self.last_error = error

    def count_published(self, latency: float, steps: Mapping[str, float]) -> None:
        """A frame was published `latency` seconds after it arrived; `steps` are the seconds of each step."""
        with self._lock:
            self.published += 1
            self._finished.append(time.monotonic())
            self._latencies.append(latency)
            self._steps.append(steps)

    def count_judged(self, judgement: Judgement) -> None:
        """The guard judged a frame."""
        with self._lock:
            self.compared += judgement.compared
            self.noticed += judgement.level == "WARN"
            self.unreliable += judgement.level == "ERROR"
            self.withheld += judgement.withheld
            if self._worst is None or judgement.gravity >= self._worst.gravity:
                self._worst = judgement

    def worst_judgement(self) -> Judgement | None:
        """The worst since the last call, the newest of equals; None where no frame was judged since."""
        with self._lock:
            worst, self._worst = self._worst, None
            return worst

    def count_unwanted(self) -> None:
        """Nothing of a frame has a subscriber."""
        with self._lock:
            self.unwanted += 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """Sets `busy_since` for the time of the context."""
        self.busy_since = time.monotonic()
        try:
            yield
        finally:
            self.busy_since = None

    def rate_hz(self) -> float:
        """Published frames per second over the last two seconds; of slower ones, by the last interval or the wait."""
        now = time.monotonic()
        with self._lock:
            recent, last = sum(now - t <= 2.0 for t in self._finished), list(self._finished)[-2:]
        if recent > 2 or len(last) < 2:
            return recent / 2.0
        return 1 / max(last[1] - last[0], now - last[1])

    def latency_ms(self, quantile: float) -> float:
        """Quantile (0 to 1) of recent latencies from arrival to publication; NaN when there are none."""
        with self._lock:
            ordered = sorted(self._latencies)
        return 1e3 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else float("nan")

    def steps_ms(self) -> dict[str, float]:
        """Mean milliseconds of every step over the recent frames, in the order of the frame with the most steps."""
        with self._lock:
            recent = sorted(self._steps, key=len, reverse=True)
        names = dict.fromkeys(name for steps in recent for name in steps)
        return {n: 1e3 * sum(steps.get(n, 0.0) for steps in recent) / len(recent) for n in names}


class FrameWorker(Generic[T]):
    """Runs `process(item)` on the newest `slots` items in its own thread, at most `max_rate()` times a second.

    A MonoDepthError of `process` goes to `refuse` and the next item is taken. Anything else is a bug:
    the thread ends, and `failed` receives the exception.
    """

    def __init__(
        self,
        process: Callable[[T], None],
        refuse: Callable[[MonoDepthError], None],
        max_rate: Callable[[], float],
        failed: Callable[[BaseException], None],
        slots: int = 1,
    ) -> None:
        self._process, self._refuse, self._max_rate = process, refuse, max_rate
        self._mailbox: Mailbox[T] = Mailbox(slots)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="frame_worker")
        self._running = self._pool.submit(self._run)
        self._running.add_done_callback(lambda done: _report(done, failed))

    def put(self, item: T) -> bool:
        """Hands over the newest item; True when it displaced an unprocessed one."""
        return self._mailbox.put(item)

    def close(self) -> None:
        """Lets the current frame finish and ends the thread."""
        self._mailbox.close()
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        taken: float | None = None

        def not_before() -> float:
            rate = self._max_rate()
            return taken + 1 / rate if rate and taken is not None else 0.0

        while (item := self._mailbox.take(not_before)) is not None:
            taken = time.monotonic()
            try:
                self._process(item)
            except MonoDepthError as error:
                self._refuse(error)


def _report(done: Future[None], failed: Callable[[BaseException], None]) -> None:
    error = done.exception()
    if error is not None:
        failed(error)
