"""Services asked for many times at once: one run answers all who asked before it began."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from processes import DEADLINE_S

from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.node import trigger_services
from mono_depth_recon.ros.node.trigger_services import SharedCalls, TriggerServices


@pytest.fixture
def calls() -> Iterator[SharedCalls]:
    shared = SharedCalls()
    yield shared
    shared.close()


def test_calls_that_wait_share_one_run_which_begins_after_them(calls: SharedCalls) -> None:
    begun, go, made = threading.Event(), threading.Event(), []

    def mesh() -> str:
        made.append(len(made))
        begun.set()
        assert go.wait(DEADLINE_S)
        return f"mesh {len(made)}"

    first = calls.submit(mesh)
    assert begun.wait(DEADLINE_S)
    assert calls.running is not None and calls.running[0] is mesh and calls.running[1] <= time.monotonic()
    others = [calls.submit(mesh) for _ in range(23)]
    cloud = calls.submit(lambda: "cloud")
    go.set()
    assert first.result(DEADLINE_S) == "mesh 1"  # begun before the others were asked for: no answer to them
    assert {each.result(DEADLINE_S) for each in others} == {"mesh 2"} and made == [0, 1]
    assert cloud.result(DEADLINE_S) == "cloud"
    assert calls.submit(mesh).result(DEADLINE_S) == "mesh 3"
    calls.close()
    assert calls.running is None


def test_a_call_that_takes_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    go, made = threading.Event(), list[str]()
    service = SimpleNamespace()
    node = SimpleNamespace(
        create_service=lambda *_, **__: service, destroy_service=lambda _: None, get_logger=lambda: None
    )

    def mesh() -> str:
        made.append(services.overdue())
        monkeypatch.setattr(trigger_services, "_LONG_S", -1.0)
        made.append(services.overdue())
        go.set()
        return ""

    services = TriggerServices(cast(Any, node), {"save_mesh": mesh}, lambda _: None)
    services._calls.submit(mesh)
    assert go.wait(DEADLINE_S)
    services.close()
    assert made[0] == "" and re.fullmatch(r"save_mesh has been running for \d+ s", made[1])
    assert services.overdue() == ""


def test_an_error_is_that_of_all_who_share_it(calls: SharedCalls) -> None:
    go = threading.Event()

    def refused() -> str:
        raise DataError("no frame yet")

    calls.submit(lambda: str(go.wait(DEADLINE_S)))
    both = [calls.submit(refused) for _ in range(2)]
    go.set()
    for each in both:
        assert str(each.exception(DEADLINE_S)) == "no frame yet"
