"""The map's process as seen by the node: submits jobs and notices when the process dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from numpy.typing import NDArray

from ...errors import DataError, MonoDepthError
from ...workers.map import MapState, MapWorker
from ...workers.process import Job
from .figures import MapFigures

_STOPPING = "the node is stopping"


class MapProcess:
    """Starts with the first `start` and lives until `close`; if it dies the map is lost, which `figures` count.

    `active()` tests whether the node is active, for the message when there is no map.
    """

    def __init__(self, figures: MapFigures, active: Callable[[], bool]) -> None:
        self._figures, self._active = figures, active
        self._worker: MapWorker | None = None

    def start(self) -> None:
        """Starts the process, once."""
        if self._worker is None:
            self._worker = MapWorker()
            self._worker.start()

    def close(self) -> None:
        """Ends the process and every wait for it."""
        if self._worker is not None:
            self._worker.close()

    def forget(self) -> None:
        """After `close`, once no other thread uses it: there is no map."""
        self._worker = None

    def ask(self, job: Job) -> Any:
        """Waits for the result. Raises MonoDepthError: that of the job, or if the process died or there is no map."""
        try:
            return self._running().submit(job).result()
        finally:
            self.notice_death()

    def check(self) -> None:
        """Raises DataError if there is no map."""
        self._running()

    def _running(self) -> MapWorker:
        if self._worker is None:
            raise DataError(
                "there is no map: set fusion.enabled" + ("" if self._active() else " and activate the node")
            )
        return self._worker

    def ask_until(self, ended: Future[None], job: Job, *arrays: NDArray[Any]) -> Any:
        """As `ask`, with arrays; raises MonoDepthError at once when `ended` is done."""
        if self._worker is None:
            raise MonoDepthError(_STOPPING)
        answer = self._worker.submit(job, *arrays)
        wait([answer, ended], return_when=FIRST_COMPLETED)
        if not answer.done():
            raise MonoDepthError(_STOPPING)
        return answer.result()

    def notice_death(self) -> None:
        """Counts processes that died; a new map begins with the next one."""
        if self._worker is not None and self._worker.deaths > self._figures.worker_restarts:
            self._figures.worker_restarts = self._worker.deaths
            self._figures.begin_map(MapState())
