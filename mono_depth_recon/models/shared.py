"""One model for several cameras: the images that wait while it runs become its next batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from ..errors import MonoDepthError
from ..frames import Prediction
from .base import DepthModel, Output, ScaledView, View, finishes, needs_prompt

# Runtimes on which a batch takes as long as its images one after another (`mono-depth-recon benchmark --only
# cameras-openvino`), so that it would only delay the first of them, and need another compiled copy of the network.
_ONE_BY_ONE = ("openvino",)
_SHAPES = 4  # that runtimes keep ready: batch sizes times image sizes


class SharedModel:
    """A DepthModel that threads may share, each for one of `cameras`.

    It runs in a thread of its own: runtimes keep threads and memory for each thread that calls them. Requests form a
    queue, first come, first served; nobody waits for company. The oldest one runs together with those that wait behind
    it and whose images have the same size. An error of such a batch is that of each image alone.
    """

    def __init__(self, model: DepthModel, cameras: int) -> None:
        self._model, self._cameras = model, cameras
        self._thread = ThreadPoolExecutor(1, "model")  # ends when this object is gone
        self._lock = threading.Lock()  # guards the rest
        self._waiting: list[_Request] = []
        self._sizes: set[tuple[int, int]] = set()  # of the images so far

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def output(self) -> Output:
        """Metres, or relative inverse depth."""
        return self._model.output

    @property
    def device(self) -> str:
        """The model's runtime, device and precision."""
        return self._model.device

    @property
    def prompted(self) -> bool:
        """Whether the model is given depth beside the image."""
        return needs_prompt(self._model)

    @property
    def finishes(self) -> bool:
        """Whether the model's device does filters and cloud."""
        return finishes(self._model)

    @property
    def largest_batch(self) -> int:
        """How many requests may run together: one camera less than there are, since one was running before."""
        if any(part.startswith(_ONE_BY_ONE) for part in self.device.split(" + ")):
            return 1
        return max(1, min(self._cameras - 1, _SHAPES // max(1, len(self._sizes))))

    def warm_up(self, view: View) -> None:
        """Runs every size of batch once, so that it is compiled. Raises ModelError."""
        for number in range(1, self.largest_batch + 1):
            self.predict([view] * number)
        self._sizes.clear()

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """As `DepthModel.predict`; any thread may call."""
        request = _Request(batch)
        with self._lock:
            self._sizes |= set(request.sizes)
            self._waiting.append(request)
            turn = self._thread.submit(self._run, request)
        turn.add_done_callback(request.settle)
        return request.outcome.result()

    def release_memory(self) -> None:
        """As `DepthModel.release_memory`, once the model is free."""
        self._thread.submit(self._model.release_memory).result()

    def _run(self, request: _Request) -> list[Prediction]:
        """The predictions of a request whose turn has come, unless it was in an earlier batch; ends those it takes."""
        if request.outcome.done():
            return []
        with self._lock:
            self._waiting.remove(request)
            like = [each for each in self._waiting if each.sizes == request.sizes and not each.alone]
        company = [] if request.alone else like[: self.largest_batch - 1]
        try:
            predictions = self._model.predict([view for each in (request, *company) for view in each.views])
        except MonoDepthError:
            if not company:
                raise
            for each in company:
                each.alone = True
            return self._model.predict(request.views)
        with self._lock:
            self._waiting = [each for each in self._waiting if each not in company]
        left = iter(predictions)
        own = list(islice(left, len(request.views)))
        for each in company:
            each.outcome.set_result(list(islice(left, len(each.views))))
        return own


class _Request:
    """Views of one thread and what becomes of them; `alone`: not in a batch, as one with it failed or it has run."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = list(views)
        self.sizes = tuple(camera.size for _, camera in views)
        self.alone = any(isinstance(view, ScaledView) for view in views)
        self.outcome: Future[list[Prediction]] = Future()

    def settle(self, turn: Future[list[Prediction]]) -> None:
        """Takes over the outcome of its own turn, unless it was in an earlier batch."""
        if self.outcome.done():
            return
        error = turn.exception()
        if error is None:
            self.outcome.set_result(turn.result())
        else:
            self.outcome.set_exception(error)
