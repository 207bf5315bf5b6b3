"""Warnings of a node: what is repeated waits, what differs does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mono_depth_recon.ros.throttled_log import ThrottledLog


def test_texts_that_differ_by_numbers_alone_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, logged = [100.0], list[str]()
    monkeypatch.setattr("mono_depth_recon.ros.throttled_log.time.monotonic", lambda: clock[0])
    node: Any = SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=logged.append))
    log = ThrottledLog(node)
    for age in ("2.1", "2.2", "12", "-3"):
        log.warn(f"no new scale for {age} s, depth is withheld")
    assert logged == ["no new scale for 2.1 s, depth is withheld"]
    for name in ("/cam_2/points", "/cam_3/points", "camera4", "camera5"):
        log.warn(f"nobody publishes {name}")
    assert len(logged) == 5, "numbers in names are no numbers"
    clock[0] += 6
    log.warn("no new scale for 8.3 s, depth is withheld")
    assert len(logged) == 6
