"""The thread between callbacks and work: which items it takes when it cannot keep up."""

from __future__ import annotations

import threading

import pytest
from processes import DEADLINE_S

from mono_depth_recon.ros.frame_worker import FrameWorker


@pytest.mark.parametrize("rate", [5e-324, 1e-11, 1e-3])
def test_a_rate_that_was_slow_is_fast_at_once(rate: float) -> None:
    """A wait of years neither overflows nor outlives the rate that it came from."""
    rates, seen, twice = [rate], [], threading.Event()

    def process(item: int) -> None:
        seen.append(item)
        if len(seen) == 2:
            twice.set()

    worker = FrameWorker(process, pytest.fail, lambda: rates[0], pytest.fail)
    worker.put(1)
    while not seen:
        assert not twice.wait(0.01)
    worker.put(2)
    rates[0] = 0.0
    assert twice.wait(DEADLINE_S)
    worker.close()
    assert seen == [1, 2]


@pytest.mark.parametrize(("slots", "taken", "displaced"), [(1, [0, 5], 4), (3, [0, 3, 4, 5], 2)])
def test_the_newest_items_are_kept_and_taken_in_order(slots: int, taken: list[int], displaced: int) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def process(item: int) -> None:
        seen.append(item)
        begun.set()
        assert go_on.wait(DEADLINE_S)
        if item == 5:
            ended.set()

    worker = FrameWorker(process, pytest.fail, lambda: 0.0, pytest.fail, slots)
    assert not worker.put(0)
    assert begun.wait(DEADLINE_S)
    lost = sum(worker.put(item) for item in range(1, 6))
    go_on.set()
    assert ended.wait(DEADLINE_S)
    worker.close()
    assert seen == taken
    assert lost == displaced
