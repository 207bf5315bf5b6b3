"""Several threads on one model: who waits for whom, what runs together, whose error it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from made_models import FakeModel, pinhole, wall
from processes import DEADLINE_S

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models.base import View
from mono_depth_recon.models.shared import SharedModel

LARGE, SMALL = pinhole(), pinhole(160, 120)


class GatedModel(FakeModel):
    """Every run waits until it is let go; `runs` holds the first values of its images."""

    def __init__(self, device: str = "torch CPU f32") -> None:
        super().__init__(wall)
        self.device = device
        self.runs: list[list[int]] = []
        self.threads: list[int] = []
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.inside = threading.Lock()
        self.fails: Callable[[list[int]], Exception | None] = lambda values: None

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        values = [int(rgb[0, 0, 0]) for rgb, _ in batch]
        assert self.inside.acquire(blocking=False), "the model runs twice at once"
        self.runs.append(values)
        self.threads.append(threading.get_ident())
        self.entered.release()
        assert self.go.acquire(timeout=DEADLINE_S)
        self.inside.release()
        if error := self.fails(values):
            raise error
        return [
            Prediction(depth=np.full((camera.height, camera.width), value, np.float32))
            for value, (_, camera) in zip(values, batch, strict=True)
        ]


class Callers:
    """Threads that ask a SharedModel; `ask` returns once the request is queued or the model runs it."""

    def __init__(self, model: GatedModel, cameras: int) -> None:
        self.model, self.shared = model, SharedModel(model, cameras)
        self._pool = ThreadPoolExecutor(8)

    def ask(self, value: int, camera: PinholeCamera = LARGE) -> Future[list[Prediction]]:
        before, busy = len(self.shared._waiting), self.model.inside.locked()
        rgb = np.full((camera.height, camera.width, 3), value, np.uint8)
        future = self._pool.submit(self.shared.predict, [(rgb, camera)])
        if busy:
            wait_until(lambda: len(self.shared._waiting) == before + 1)
        else:
            assert self.model.entered.acquire(timeout=DEADLINE_S)
        return future

    def next_run(self) -> list[int]:
        """Lets the present run end; the images of the next."""
        self.model.go.release()
        assert self.model.entered.acquire(timeout=DEADLINE_S)
        return self.model.runs[-1]

    def close(self) -> None:
        for _ in range(20):
            self.model.go.release()
        self._pool.shutdown(wait=True)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    pytest.fail("the request was not queued")


@pytest.fixture
def callers(request: pytest.FixtureRequest) -> Iterator[Callers]:
    made = Callers(GatedModel(), getattr(request, "param", 5))
    yield made
    made.close()


def depth(future: Future[list[Prediction]]) -> tuple[float, tuple[int, ...]]:
    """The value and shape of the only prediction."""
    (prediction,) = future.result(DEADLINE_S)
    assert prediction.depth is not None and (prediction.depth == prediction.depth[0, 0]).all()
    return float(prediction.depth[0, 0]), prediction.depth.shape


def test_what_waits_runs_together_and_everybody_gets_his_own(callers: Callers) -> None:
    asked = [callers.ask(1), callers.ask(2), callers.ask(3, SMALL), callers.ask(4)]
    assert callers.model.runs == [[1]], "the first waits for nobody"
    assert callers.next_run() == [2, 4], "those of the oldest one's size"
    assert callers.next_run() == [3]
    callers.model.go.release()
    assert [depth(each) for each in asked] == [
        (1.0, (240, 320)),
        (2.0, (240, 320)),
        (3.0, (120, 160)),
        (4.0, (240, 320)),
    ]


def test_a_camera_that_asks_again_and_again_never_holds_up_another(callers: Callers) -> None:
    """The queue is first come, first served, whichever thread wakes up first."""
    first, other = callers.ask(1), callers.ask(2, SMALL)
    again = callers.ask(3)
    assert callers.next_run() == [2]
    assert depth(first)[0] == 1 and not other.done() and not again.done()
    callers.ask(4)
    assert callers.next_run() == [3, 4]
    assert depth(other)[0] == 2


@pytest.mark.parametrize("callers", [2, 3, 4], indirect=True)
def test_a_batch_has_at_most_one_image_of_each_camera_that_did_not_run_before(callers: Callers) -> None:
    for value in range(1, 6):
        callers.ask(value)
    most = callers.shared.largest_batch
    assert callers.next_run() == [2, 3, 4][:most] and most == callers.shared._cameras - 1


def test_cameras_of_many_sizes_do_not_use_up_the_compiled_shapes(callers: Callers) -> None:
    assert callers.shared.largest_batch == 4
    asked = [callers.ask(1), callers.ask(2, SMALL)]
    assert callers.shared.largest_batch == 2, "two sizes, each alone and in pairs: four shapes"
    asked += [callers.ask(value, pinhole(64, 16 * value)) for value in (3, 4)]
    assert callers.shared.largest_batch == 1


def test_where_a_batch_does_not_pay_images_run_one_by_one() -> None:
    assert SharedModel(GatedModel("openvino CPU f32"), 4).largest_batch == 1
    assert SharedModel(GatedModel("torch CPU f32 + openvino CPU f32"), 4).largest_batch == 1
    assert SharedModel(GatedModel("torch NVIDIA H200 f16 graphs"), 3).largest_batch == 2


def test_an_error_belongs_to_the_image_that_causes_it(callers: Callers) -> None:
    callers.model.fails = lambda values: ModelError(f"cannot take {values}") if 2 in values else None
    asked = [callers.ask(value) for value in (1, 2, 3)]
    assert callers.next_run() == [2, 3]
    assert callers.next_run() == [2] and callers.next_run() == [3], "found out one by one"
    callers.model.go.release()
    assert depth(asked[0])[0] == 1 and depth(asked[2])[0] == 3
    with pytest.raises(ModelError, match=r"cannot take \[2\]"):
        asked[1].result(DEADLINE_S)


def test_a_bug_in_the_model_ends_every_thread_that_meets_it_and_blocks_none(callers: Callers) -> None:
    callers.model.fails = lambda values: ZeroDivisionError() if 1 not in values else None
    asked = [callers.ask(value) for value in (1, 2, 3)]
    assert callers.next_run() == [2, 3]
    assert callers.next_run() == [3], "the other one has its own turn"
    callers.model.go.release()
    assert depth(asked[0])[0] == 1
    for each in asked[1:]:
        assert isinstance(each.exception(DEADLINE_S), ZeroDivisionError)
    callers.model.fails = lambda values: None
    again = callers.ask(4)
    callers.model.go.release()
    assert depth(again)[0] == 4, "the model is free"


def test_who_was_in_a_batch_does_not_wait_for_those_before_him_in_the_queue(callers: Callers) -> None:
    callers.ask(1)
    first, other, last = callers.ask(2), callers.ask(3, SMALL), callers.ask(4)
    assert callers.next_run() == [2, 4]
    assert callers.next_run() == [3]
    assert depth(first)[0] == 2 and depth(last)[0] == 4 and not other.done()


def test_the_model_runs_in_one_thread_whoever_asks(callers: Callers) -> None:
    """Runtimes keep threads for each thread that calls them, which then hinder each other."""
    for value in range(1, 5):
        callers.ask(value, pinhole(64, 16 * value))
    for _ in range(3):
        callers.next_run()
    assert len(set(callers.model.threads)) == 1 and threading.get_ident() not in callers.model.threads


def test_memory_is_released_when_the_model_is_free(callers: Callers) -> None:
    released = threading.Event()
    callers.model.release_memory = released.set
    asked = callers.ask(1)
    releasing = threading.Thread(target=callers.shared.release_memory)
    releasing.start()
    wait_until(lambda: callers.shared._thread._work_queue.qsize() == 1)
    assert not released.is_set()
    callers.model.go.release()
    releasing.join(DEADLINE_S)
    assert released.is_set() and depth(asked)[0] == 1


def test_every_size_of_batch_is_compiled_at_the_start() -> None:
    model = GatedModel()
    for _ in range(3):
        model.go.release()
    shared = SharedModel(model, 4)
    shared.warm_up((np.full((240, 320, 3), 7, np.uint8), LARGE))
    assert [len(run) for run in model.runs] == [1, 2, 3] and shared.largest_batch == 3
