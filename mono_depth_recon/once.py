"""Values computed on first use, only once, and shared between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from .errors import MonoDepthError

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `make` at the first call; every call returns its result or raises its MonoDepthError.

    A concurrent call waits for the first one. Any other error is a bug: it propagates and is not kept.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._outcome: Future[T] = Future()

    def __call__(self) -> T:
        """The result of `make`."""
        with self._lock:
            if not self._outcome.done():
                try:
                    self._outcome.set_result(self._make())
                except MonoDepthError as error:
                    self._outcome.set_exception(error)
        return self._outcome.result()
