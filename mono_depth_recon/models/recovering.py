"""A model that outlives a failure of its runtime: it is loaded again, at once and then ever more rarely."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..errors import ModelError
from ..frames import Prediction
from ..printing import readable
from .base import DepthModel, Output, View, finishes, needs_prompt

_FIRST_S = 1.0  # between a reload and the next; doubled each time
_LONGEST_S = 60.0  # also how long the model must hold until a failure counts as the first again


class RecoveringModel:
    """What `load()` gives; after a failure it is loaded again for the next image.

    A runtime fails by a RuntimeError, MemoryError or ModelError: the image is given up by a ModelError that says what
    happens next. Between two reloads the model that is there is tried with every image. `note(text)` receives a line
    whenever it is loaded again. Any other error is a bug and raised as it is. `now` is the clock, in seconds.
    """

    def __init__(
        self,
        load: Callable[[], DepthModel],
        note: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._note, self._now = load, note, now
        self._model: DepthModel | None = load()
        self._name, self._output, self._device = self._model.name, self._model.output, self._model.device
        self.prompted, self.finishes = needs_prompt(self._model), finishes(self._model)
        self._failed_at, self._reload_at = -float("inf"), -float("inf")
        self._wait_s, self._reason = _FIRST_S, ""
        self.reloads = 0

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self._name

    @property
    def output(self) -> Output:
        """Metres, or relative inverse depth."""
        return self._output

    @property
    def device(self) -> str:
        """Runtime, device and precision as shown to the user."""
        return self._device

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """As `DepthModel.predict`."""
        model = self._model or self._reloaded()
        try:
            return model.predict(batch)
        except (ModelError, RuntimeError, MemoryError) as error:
            del model  # nor may the traceback hold it
            text = f"{self._name} failed on this image: {readable(str(error))}; {self._fail()}"
            raise ModelError(text) from error.with_traceback(None)

    def release_memory(self) -> None:
        """As `DepthModel.release_memory`."""
        if self._model is not None:
            self._model.release_memory()

    def _fail(self) -> str:
        """Gives the model up where it is time to load it again; returns what happens next."""
        at = self._now()
        if at - self._failed_at > _LONGEST_S:
            self._wait_s = _FIRST_S
        self._failed_at = at
        if at < self._reload_at:
            return f"it is loaded again in {self._reload_at - at:.0f} s if that goes on"
        self._model = None  # frees its memory before the next one needs it
        return "it is loaded again for the next image"

    def _reloaded(self) -> DepthModel:
        at = self._now()
        if at < self._reload_at:
            raise ModelError(self._not_loaded(at))
        self._reload_at, self._wait_s = at + self._wait_s, min(2 * self._wait_s, _LONGEST_S)
        self.reloads += 1
        self._note(f"{self._name} is loaded again, as its runtime failed ({self.reloads} times since the start)")
        try:
            self._model = self._load()
        except (ModelError, RuntimeError, MemoryError) as error:
            self._failed_at, self._reason = self._now(), readable(str(error))
            raise ModelError(self._not_loaded(self._failed_at)) from error
        return self._model

    def _not_loaded(self, at: float) -> str:
        wait = math.ceil(max(0.0, self._reload_at - at))
        return f"{self._name} could not be loaded again: {self._reason}; next try in {wait} s"
