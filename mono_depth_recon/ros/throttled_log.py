"""Warnings that would flood the log: logged once, or every few seconds while their cause lasts."""

from __future__ import annotations

import re
import threading
import time

from rclpy.node import Node

from ..printing import printable, readable

_REPEAT_S, _RARELY_S = 5.0, 60.0
_NUMBER = re.compile(r"(?<![\w/])-?\d[\d.]*(?![\w/])")  # not those in names and topics
_AT_ONCE = 10  # different warnings within that time; further ones appear in /diagnostics only


class ThrottledLog:
    """Warnings of `node`; any thread may call."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._silent_until: dict[str, float] = {}
        self._logged: set[str] = set()

    def once(self, text: str) -> None:
        """Logs a text as a warning, the first time only."""
        with self._lock:
            known = text in self._logged
            self._logged.add(text)
        if not known:
            self._node.get_logger().warning(printable(readable(text)))

    def warn(self, text: str, kind: str = "") -> None:
        """Logs a text immediately, then every few seconds while it is repeated.

        Texts that differ do not suppress each other, unless by numbers alone or they are of one `kind`.
        """
        self._warn(text, kind or _NUMBER.sub("#", text), _REPEAT_S)

    def rarely(self, text: str, kind: str) -> None:
        """As `warn`, repeated every minute only."""
        self._warn(text, kind, _RARELY_S)

    def _warn(self, text: str, key: str, repeat_s: float) -> None:
        now = time.monotonic()
        with self._lock:
            recent = {old: until for old, until in self._silent_until.items() if now < until}
            self._silent_until = recent
            if key in recent or len(recent) >= _AT_ONCE:
                return
            recent[key] = now + repeat_s
        self._node.get_logger().warning(printable(readable(text)))
