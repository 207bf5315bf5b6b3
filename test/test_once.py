"""Computed once, whoever calls: results, errors, threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mono_depth_recon.errors import DataError
from mono_depth_recon.once import Once


def test_threads_that_ask_together_get_the_one_result() -> None:
    made: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def make() -> list[int]:
        begun.set()
        assert go_on.wait(30)
        made.append(len(made))
        return made

    once = Once(make)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(once) for _ in range(4)]
        assert begun.wait(30)
        go_on.set()
        results = [each.result(30) for each in asked]
    assert made == [0] and all(result is made for result in results)


def test_its_error_stays_and_a_bug_does_not() -> None:
    outcomes: list[Exception] = [ValueError("a bug"), DataError("nothing there")]

    def fail() -> None:
        raise outcomes.pop(0)

    once = Once(fail)
    with pytest.raises(ValueError, match="a bug"):
        once()
    for _ in range(2):
        with pytest.raises(DataError, match="nothing there"):
            once()
    assert not outcomes
