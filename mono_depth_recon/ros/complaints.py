"""What the node says in its log about trouble that lasts: at once, then now and then."""

from __future__ import annotations

import threading
import time

from rclpy.node import Node

_REPEAT_S = 5.0
_AT_ONCE = 10  # kinds of trouble within that time: more are left out of the log, not of /diagnostics


class Complaints:
    """Warnings of `node`; any thread may call."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._warned: dict[str, float] = {}
        self._remarked: set[str] = set()

    def remark(self, text: str) -> None:
        """Logs a text the first time."""
        with self._lock:
            known = text in self._remarked
            self._remarked.add(text)
        if not known:
            self._node.get_logger().warning(text)

    def warn(self, text: str, kind: str = "") -> None:
        """Logs a text at once, then every few seconds while it lasts; texts that differ do not hide each other.

        Those of one `kind` do: numbers in them may differ every time.
        """
        now, key = time.monotonic(), kind or text
        with self._lock:
            recent = {old: when for old, when in self._warned.items() if now - when < _REPEAT_S}
            self._warned = recent
            if key in recent or len(recent) >= _AT_ONCE:
                return
            recent[key] = now
        self._node.get_logger().warning(text)
