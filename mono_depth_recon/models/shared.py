"""One model for several cameras: the images that wait while it runs become its next batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from ..errors import MonoDepthError
from ..frames import Prediction
from .base import DepthModel, Output, View

# Runtimes on which a batch takes as long as its images one after another (`mono-depth-recon benchmark --only cameras`),
# so that it would only delay the first of them, and need another compiled copy of the network.
_ONE_BY_ONE = ("openvino",)
_SHAPES = 4  # that runtimes keep ready: batch sizes times image sizes


class SharedModel:
    """A DepthModel that threads may share, each for one camera; `cameras` is their number.

    The thread that finds the model free runs it, nobody waits for company. Requests that come meanwhile form a queue:
    the oldest one runs next, together with the others whose images have the same size. An error of such a batch is
    that of each image alone.
    """

    def __init__(self, model: DepthModel, cameras: int = 1) -> None:
        self._model, self._cameras = model, cameras
        self._lock = threading.Lock()  # guards the rest
        self._running = False
        self._waiting: deque[_Request] = deque()
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
        self._wait_for_turn(request)
        if request.leads:
            self._run_with_company(request)
        return request.outcome()

    def release_memory(self) -> None:
        """As `DepthModel.release_memory`, once the model is free."""
        request = _Request([])
        self._wait_for_turn(request)
        try:
            self._model.release_memory()
        finally:
            self._hand_over()

    def _wait_for_turn(self, request: _Request) -> None:
        """Returns when the request `leads`, or another one has run it."""
        with self._lock:
            self._sizes |= set(request.sizes)
            if not self._running:
                self._running = request.leads = True
                return
            self._waiting.append(request)
        request.turn.wait()

    def _run_with_company(self, leader: _Request) -> None:
        with self._lock:
            like = [each for each in self._waiting if each.sizes == leader.sizes]
            group = [leader, *like[: self.largest_batch - 1]]
            for each in group[1:]:
                self._waiting.remove(each)
        try:
            self._run(group)
        finally:
            self._hand_over(group[1:])

    def _run(self, group: list[_Request]) -> None:
        try:
            predictions = self._model.predict([view for each in group for view in each.views])
        except MonoDepthError as error:
            if len(group) == 1:
                group[0].error, group[0].done = error, True
            else:
                for each in group:
                    self._run([each])
            return
        for each in group:
            each.predictions, each.done = predictions[: len(each.views)], True
            predictions = predictions[len(each.views) :]

    def _hand_over(self, company: Sequence[_Request] = ()) -> None:
        """Ends the company's wait and lets the oldest waiting request run next, first those that got no outcome."""
        with self._lock:
            self._waiting.extendleft(each for each in reversed(company) if not each.done)
            self._running = bool(self._waiting)
            following = [self._waiting.popleft()] if self._waiting else []
            for each in following:
                each.leads = True
        for each in (*following, *(each for each in company if each.done)):
            each.turn.set()


class _Request:
    """Views of one thread. `turn` is set when it `leads`, which means to run the model, or has its outcome."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = list(views)
        self.sizes = tuple(camera.size for _, camera in views)
        self.leads = False
        self.turn = threading.Event()
        self.predictions: list[Prediction] = []
        self.error: MonoDepthError | None = None
        self.done = False

    def outcome(self) -> list[Prediction]:
        """The predictions; raises what running the model raised."""
        if self.error is not None:
            raise self.error
        return self.predictions
