"""Replies whose callers DDS meets late."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from mono_depth_recon.ros.node.replies import repeat_lost_replies


class LateHandle(nullcontext[None]):
    """In place of rclpy's: it warns as rclpy does until the `late`-th call, then keeps what is sent."""

    def __init__(self, late: int, *, ends_all_the_same: bool) -> None:
        super().__init__()
        self.sent: list[tuple[Any, Any]] = []
        self.calls, self._late, self._odd = 0, late, ends_all_the_same

    def service_send_response(self, response: Any, request: Any) -> None:
        self.calls += 1
        if self.calls >= self._late:
            self.sent.append((response, request))
            return
        try:
            warnings.warn("failed to send response (timeout): client will not", RuntimeWarning, stacklevel=2)
        except RuntimeWarning as error:
            if self._odd:
                raise SystemError("returned a result with an exception set") from error
            raise


class Service:
    """As much of rclpy's as sends replies."""

    def __init__(self, handle: LateHandle) -> None:
        self.handle, self.srv_name, self.send_response = handle, "save_mesh", print


class Log(list[str]):
    """The warnings."""

    warning = list.append


@pytest.fixture(autouse=True)
def filters_of_their_own() -> Iterator[None]:
    with warnings.catch_warnings():
        yield


@pytest.mark.parametrize("odd", [False, True])
def test_a_reply_is_sent_once_its_caller_is_there(odd: bool) -> None:
    service, log = Service(LateHandle(4, ends_all_the_same=odd)), Log()
    repeat_lost_replies(service, log)
    service.send_response("reply", "request")
    assert service.handle.sent == [("reply", "request")] and service.handle.calls == 4 and not log


def test_a_caller_that_never_comes_is_said_and_does_not_end_the_node() -> None:
    service, log = Service(LateHandle(10**9, ends_all_the_same=True)), Log()
    repeat_lost_replies(service, log)
    service.send_response("reply", "request")
    assert log == ["save_mesh: its caller never became reachable for the reply; call it again"]


def test_other_errors_pass() -> None:
    service = Service(LateHandle(0, ends_all_the_same=False))
    repeat_lost_replies(service, Log())

    def broken(*_: Any) -> None:
        raise SystemError("no memory")

    service.handle.service_send_response = broken  # type: ignore[method-assign]
    with pytest.raises(SystemError, match="no memory"):
        service.send_response("reply", "request")
