"""Services without arguments whose replies take seconds, without blocking the executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_srvs.srv import Trigger

from ...errors import MonoDepthError
from .replies import repeat_lost_replies

_WAITING_CALLS = 200  # of a service, while the executor is busy
_LONG_S = 60.0  # of a call that is reported, far above what a mesh takes
_LINGER_S = 3.0  # between a bug and the end of the node: its reply may take two seconds (`replies.py`)


class SharedCalls:
    """Runs calls one after another in a thread; the same call that waits already is not queued again.

    Its outcome is that of a run which begins after it was asked for, so that it answers every caller: of many meshes
    that are asked for at once, each of which takes seconds, two are made.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="services")
        self._lock = threading.Lock()
        self._waiting: dict[Callable[[], str], ThreadFuture[str]] = {}
        self.running: tuple[Callable[[], str], float] | None = None  # what runs, and since when (monotonic clock)

    def submit(self, make: Callable[[], str]) -> ThreadFuture[str]:
        """The outcome of the next run of `make`."""
        with self._lock:
            if make not in self._waiting:
                self._waiting[make] = self._thread.submit(self._run, make)
            return self._waiting[make]

    def _run(self, make: Callable[[], str]) -> str:
        with self._lock:
            del self._waiting[make]
        self.running = make, time.monotonic()
        try:
            return make()
        finally:
            self.running = None

    def close(self) -> None:
        """Waits for the calls."""
        self._thread.shutdown(wait=True)


class TriggerServices:
    """Offers std_srvs/Trigger services by name while it lives; `make()` gives the text of the reply.

    An error becomes a reply without success; one that is no MonoDepthError is a bug, which `failed` receives after the
    reply. The calls are `SharedCalls`; the callbacks are coroutines that wait for them.
    """

    def __init__(
        self, node: LifecycleNode, services: Mapping[str, Callable[[], str]], failed: Callable[[BaseException], None]
    ) -> None:
        self._node, self._failed = node, failed
        self._names = {make: name for name, make in services.items()}
        self._calls = SharedCalls()
        # A group whose callbacks exclude each other takes no call while one waits: none would share its run, and all
        # but the last ten of a burst, the usual depth, would be lost.
        calls, deep = ReentrantCallbackGroup(), QoSProfile(depth=_WAITING_CALLS)
        self._services = [
            node.create_service(Trigger, name, self._answer(make), qos_profile=deep, callback_group=calls)
            for name, make in services.items()
        ]
        for service in self._services:
            repeat_lost_replies(service, node.get_logger())

    def overdue(self) -> str:
        """'save_mesh has been running for 83 s' where a call takes unusually long, else empty."""
        if (running := self._calls.running) is None:
            return ""
        make, since = running
        seconds = time.monotonic() - since
        return f"{self._names[make]} has been running for {seconds:.0f} s" if seconds > _LONG_S else ""

    def close(self) -> None:
        """Ends the services, after the one that runs."""
        for service in self._services:
            self._node.destroy_service(service)
        self._calls.close()

    def _answer(self, make: Callable[[], str]) -> Callable[..., Any]:
        async def answer(_: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
            outcome = await self._in_thread(make)
            reply.success, reply.message = self._reply(outcome)
            if reply.success:
                self._node.get_logger().info(reply.message)
            else:
                self._node.get_logger().error(reply.message)
            return reply

        return answer

    def _reply(self, outcome: ThreadFuture[str] | None) -> tuple[bool, str]:
        if outcome is None:
            return False, "the node is stopping"
        error = outcome.exception()
        if error is None:
            return True, outcome.result()
        if isinstance(error, MonoDepthError):
            return False, str(error)
        self._fail_later(error)
        return False, f"unexpected {type(error).__name__}: {error}; the node ends, its output has the traceback"

    def _fail_later(self, error: BaseException) -> None:
        timer = threading.Timer(_LINGER_S, self._failed, [error])
        timer.daemon = True
        timer.start()

    def _in_thread(self, make: Callable[[], str]) -> Future[ThreadFuture[str]]:
        executor = self._executor
        done: Future[ThreadFuture[str]] = Future(executor=executor)

        def finish(outcome: ThreadFuture[str]) -> None:
            done.set_result(outcome)
            executor.wake()  # it polls its coroutines only when something happens

        self._calls.submit(make).add_done_callback(finish)
        return done

    @property
    def _executor(self) -> Executor:
        executor = self._node.executor
        if executor is None:
            raise RuntimeError("services need a node that is spinning")
        return executor
