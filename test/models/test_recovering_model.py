"""A runtime that fails costs images, not the node: the model is loaded again, ever more rarely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from made_models import FakeModel, floor

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.models.recovering import RecoveringModel

VIEW = (np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60))


class Breaking(FakeModel):
    """Raises `failure` while it is set."""

    failure: Exception | None = None

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        if self.failure is not None:
            raise self.failure
        return super().predict(batch)


class Bench:
    """A recovering model with its clock, what it loaded and what it said.

    While `broken` loading fails; while `failing` what is loaded fails with every image.
    """

    def __init__(self) -> None:
        self.at, self.loaded, self.said, self.broken = 100.0, list[Breaking](), list[str](), False
        self.failing = False
        self.model = RecoveringModel(self._load, self.said.append, lambda: self.at)

    def _load(self) -> Breaking:
        if self.broken:
            raise RuntimeError("no device")
        self.loaded.append(Breaking(floor))
        self.loaded[-1].failure = RuntimeError("device lost") if self.failing else None
        return self.loaded[-1]

    def refused(self) -> str:
        """Breaks the model that is loaded, and returns what the next image says."""
        self.loaded[-1].failure = RuntimeError("device lost\nat kernel 7")
        with pytest.raises(ModelError) as caught:
            self.model.predict([VIEW])
        return str(caught.value)

    def works(self) -> bool:
        return self.model.predict([VIEW])[0].values.shape == (48, 64)


def test_a_failure_costs_one_image_and_the_next_is_of_a_new_model() -> None:
    bench = Bench()
    assert bench.works() and not bench.said
    said = bench.refused()
    assert "failed on this image: device lost" in said and "loaded again for the next image" in said
    assert "\n" not in said
    assert bench.works() and len(bench.loaded) == 2
    assert bench.said == [f"{bench.model.name} is loaded again, as its runtime failed (1 times since the start)"]


def test_it_is_loaded_ever_more_rarely_and_tried_meanwhile() -> None:
    bench, times = Bench(), []
    bench.failing, bench.loaded[-1].failure = True, RuntimeError("device lost")
    for _ in range(3000):  # ten images a second for five minutes, all of which fail
        before = len(bench.loaded)
        with pytest.raises(ModelError, match="loaded again"):
            bench.model.predict([VIEW])
        times += [bench.at] * (len(bench.loaded) > before)
        bench.at += 0.1
    waits = np.diff(times)
    assert np.all(np.diff(waits) > -0.3) and waits[0] < 1.5 and 55 < waits[-1] < 65 and len(times) < 12
    bench.loaded[-1].failure = None
    assert bench.works(), "without a reload"


def test_after_a_calm_minute_a_failure_is_the_first_again() -> None:
    bench = Bench()
    for _ in range(100):
        bench.refused() if bench.model._model is not None else bench.works()
        bench.at += 1.0
    bench.loaded[-1].failure = None
    bench.at += 200.0
    count = len(bench.loaded)
    assert "for the next image" in bench.refused()
    assert bench.works() and len(bench.loaded) == count + 1
    bench.at += 2.0
    assert "for the next image" in bench.refused()


def test_a_model_that_cannot_be_loaded_is_tried_again() -> None:
    bench = Bench()
    bench.refused()
    bench.broken = True
    for said in ("no device; next try in 1 s", "no device; next try in 1 s"):
        with pytest.raises(ModelError, match=f"could not be loaded again.*{said}"):
            bench.model.predict([VIEW])
    bench.broken, bench.at = False, bench.at + 1.0
    assert bench.works() and len(bench.loaded) == 2


def test_a_bug_is_not_a_failure_of_the_runtime() -> None:
    bench = Bench()
    bench.loaded[-1].failure = ZeroDivisionError("three of none")
    with pytest.raises(ZeroDivisionError):
        bench.model.predict([VIEW])
    assert len(bench.loaded) == 1


def test_the_first_load_raises_as_it_is() -> None:
    def load() -> Breaking:
        raise ModelError("weights are missing")

    with pytest.raises(ModelError, match="^weights are missing$"):
        RecoveringModel(load, print)
