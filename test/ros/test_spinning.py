"""A signal at any moment of the start ends the callbacks' thread: nothing waits for a spin that nobody ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rclpy.task import Future

from mono_depth_recon.ros import node_settings


class Spinning:
    """An executor that spins until it is told to end."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def spin_until_future_complete(self, end: Future[None]) -> None:
        end.add_done_callback(lambda _: self.ended.set())
        self.ended.wait(30)

    def shutdown(self, timeout_sec: float) -> None:
        """Nothing runs any more."""


class Interrupted(ThreadPoolExecutor):
    """A signal comes as soon as the thread runs."""

    def submit(self, *arguments: Any, **others: Any) -> Any:
        super().submit(*arguments, **others)
        raise KeyboardInterrupt


def test_a_signal_behind_the_start_of_the_thread_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_settings, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(node_settings, "_ignore_signals", lambda: None)
    executor: Any = Spinning()
    with pytest.raises(KeyboardInterrupt), node_settings._spinning(executor):
        pytest.fail("the body must not run")
    assert executor.ended.is_set()


def test_a_signal_while_it_serves_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_settings, "_ignore_signals", lambda: None)
    executor: Any = Spinning()
    with pytest.raises(KeyboardInterrupt), node_settings._spinning(executor):
        raise KeyboardInterrupt
    assert executor.ended.is_set()
