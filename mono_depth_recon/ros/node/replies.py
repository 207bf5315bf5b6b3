"""Replies of services that reach callers which DDS has not met yet."""

from __future__ import annotations

import re
import warnings
from typing import Any

_TRIES = 20  # each of which rmw waits 0.1 s for the caller's reader


def repeat_lost_replies(service: Any, log: Any) -> None:
    """Lets an rclpy `Service` send a reply again that its caller could not receive yet.

    A caller may know the service before the service knows the caller's reader: discovery goes both ways apart. rmw
    waits 0.1 s for it and then drops the reply, of which rclpy makes a warning, and the caller waits for ever
    (`rmw_response.cpp` of rmw_fastrtps: "client will not receive response"). A machine under load shows it where a
    reply takes no time. A reply that nobody can receive within two seconds, in which
    the executor runs nothing else, is said on `log`.
    """
    # The text is rclpy's; the module is the one of the line that calls it, so that all other services are as they were.
    warnings.filterwarnings("error", "failed to send response", RuntimeWarning, re.escape(__name__) + r"\Z")

    def send(response: Any, header: Any) -> None:
        request = getattr(header, "request_id", header)
        for _ in range(_TRIES):
            try:
                with service.handle:
                    service.handle.service_send_response(response, request)
                return
            except (RuntimeWarning, SystemError) as error:  # the latter as rclpy's function ends all the same
                if not isinstance(error.__cause__ or error, RuntimeWarning):
                    raise
        log.warning(f"{service.srv_name}: its caller never became reachable for the reply; call it again")

    service.send_response = send
