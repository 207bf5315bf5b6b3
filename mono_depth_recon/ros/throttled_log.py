"""Warnings that would flood the log: logged once, or every few seconds while their cause lasts."""

from __future__ import annotations

import threading
import time

from rclpy.node import Node

_REPEAT_S = 5.0
_AT_ONCE = 10  # different warnings within that time; further ones appear in /diagnostics only


class ThrottledLog:
    """Warnings of `node`; any thread may call."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._warned: dict[str, float] = {}
        self._logged: set[str] = set()

    def once(self, text: str) -> None:
        """Logs a text as a warning, the first time only."""
        with self._lock:
            known = text in self._logged
            self._logged.add(text)
        if not known:
            self._node.get_logger().warning(text)

    def warn(self, text: str, kind: str = "") -> None:
        """Logs a text immediately, then every few seconds while it is repeated.

        Texts that differ do not suppress each other, unless they are of one `kind` (numbers in them may change).
        """
        now, key = time.monotonic(), kind or text
        with self._lock:
            recent = {old: when for old, when in self._warned.items() if now - when < _REPEAT_S}
            self._warned = recent
            if key in recent or len(recent) >= _AT_ONCE:
                return
            recent[key] = now
        self._node.get_logger().warning(text)
