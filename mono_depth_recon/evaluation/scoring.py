"""Scores a few frames at a time, in this process or in others parallel to inference, with the same result."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ..arrays import Depth
from ..errors import DataError
from ..frames import Prediction
from ..metrics.protocols import PROTOCOLS, FrameScorer, InapplicableError
from ..metrics.sequence import SequenceMeter

CHUNK = 8  # frames per job of a process


@dataclass(frozen=True)
class FrameRow:
    """One frame of one model under one protocol; `reason` is empty unless it has no figures. Times in ms.

    `frame` is its name in the data set (`Dataset.frame_names`). `applies` is False if the protocol is not meant for
    this kind of model. `model_ms` is the time of the prediction when it was made, 0 for baselines.
    """

    recording: str
    model: str
    protocol: str
    frame: str
    figures: dict[str, float]
    coverage: float = 0.0
    model_ms: float = 0.0
    score_ms: float = 0.0
    reason: str = ""
    applies: bool = True


@dataclass(frozen=True, eq=False)
class UnscoredFrame:
    """A frame to score: its name, prediction and truth (H, W) metres, or the `reason` why there is none.

    `stamp` in seconds is None if the frames are not a sequence.
    """

    frame: str
    stamp: float | None
    prediction: Prediction | None = None
    truth: Depth | None = None
    model_ms: float = 0.0
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive frames of one model on one recording; `flat` as in FrameScorer."""

    recording: str
    model: str
    protocols: Sequence[str]
    frames: Sequence[UnscoredFrame]
    flat: bool = False


@dataclass(frozen=True, eq=False)
class ChunkScores:
    """The rows of a chunk, and the meters of its sequence by protocol."""

    recording: str
    model: str
    rows: list[FrameRow] = field(default_factory=list)
    meters: dict[str, SequenceMeter] = field(default_factory=dict)


def score_chunk(chunk: Chunk) -> ChunkScores:
    """Scores every frame under every protocol."""
    timed = [name for name in chunk.protocols if name != "paper" and chunk.frames[0].stamp is not None]
    made = ChunkScores(chunk.recording, chunk.model, meters={name: SequenceMeter() for name in timed})
    for frame in chunk.frames:
        made.rows.extend(_rows(chunk, frame, made.meters))
    return made


def _rows(chunk: Chunk, frame: UnscoredFrame, meters: dict[str, SequenceMeter]) -> Iterator[FrameRow]:
    def row(protocol: str, figures: dict[str, float], **rest: Any) -> FrameRow:
        return FrameRow(chunk.recording, chunk.model, protocol, frame.frame, figures, **rest)

    if frame.prediction is None or frame.truth is None:
        yield from (row(protocol, {}, reason=frame.reason) for protocol in chunk.protocols)
        return
    try:
        scorer = FrameScorer(frame.prediction, frame.truth, chunk.flat)
    except DataError as error:
        yield from (row(protocol, {}, reason=str(error)) for protocol in chunk.protocols)
        return
    for protocol in chunk.protocols:
        begin = time.perf_counter()
        try:
            made = scorer.score(PROTOCOLS[protocol])
        except DataError as error:
            yield row(
                protocol,
                {},
                model_ms=frame.model_ms,
                reason=str(error),
                applies=not isinstance(error, InapplicableError),
            )
            continue
        if made.log_errors is not None and frame.stamp is not None:
            meters[protocol].add_log_errors(made.log_errors, made.mask, frame.stamp)
        yield row(
            protocol,
            made.figures,
            coverage=made.coverage,
            model_ms=frame.model_ms,
            score_ms=1e3 * (time.perf_counter() - begin),
        )


class OrderedPool:
    """Runs jobs in `workers` spawned processes, or in this one if that is 1; results keep the order of the jobs.

    At most two jobs per process wait, so that memory does not grow with the number of jobs.
    """

    def __init__(self, workers: int) -> None:
        self._limit = 2 * workers
        self._pool = _processes(workers) if workers > 1 else None
        self._pending: deque[Future[Any]] = deque()

    def __enter__(self) -> OrderedPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def submit(self, function: Callable[[Any], Any], job: Any) -> list[Any]:
        """Starts function(job) and returns the results that are due, possibly none."""
        if self._pool is None:
            return [function(job)]
        try:
            self._pending.append(self._pool.submit(function, job))
        except BrokenProcessPool as error:
            raise _broken_pool() from error
        return [self._next() for _ in range(len(self._pending) - self._limit)]

    def finish(self) -> list[Any]:
        """All remaining results."""
        return [self._next() for _ in range(len(self._pending))]

    def _next(self) -> Any:
        try:
            return self._pending.popleft().result()
        except BrokenProcessPool as error:
            raise _broken_pool() from error


def _broken_pool() -> DataError:
    return DataError("a scoring process was killed (out of memory?): run again with fewer workers")


def _processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_prepare_process)


def _prepare_process() -> None:
    """One thread each, Ctrl-C is left to the parent, and the process ends with it."""
    import cv2

    cv2.setNumThreads(1)  # parallel processes gain nothing from their own threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent is gone; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process of a pool has a parent"
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
