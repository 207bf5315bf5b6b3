"""Services without arguments whose replies take seconds, without blocking the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_srvs.srv import Trigger

from ...errors import MonoDepthError


class TriggerServices:
    """Offers std_srvs/Trigger services by name while it lives; `make()` gives the text of the reply.

    Its MonoDepthError becomes a reply without success. One after another they run in a thread; the callbacks are
    coroutines that wait for it.
    """

    def __init__(self, node: LifecycleNode, services: Mapping[str, Callable[[], str]]) -> None:
        self._node = node
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="services")
        alone = (
            MutuallyExclusiveCallbackGroup()
        )  # in the node's default group a waiting coroutine would block everything else
        self._services = [
            node.create_service(Trigger, name, self._answer(make), callback_group=alone)
            for name, make in services.items()
        ]

    def close(self) -> None:
        """Ends the services, after the one that runs."""
        for service in self._services:
            self._node.destroy_service(service)
        self._thread.shutdown(wait=True)

    def _answer(self, make: Callable[[], str]) -> Callable[..., Any]:
        async def answer(_: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
            outcome = await self._in_thread(make)
            reply.success, reply.message = outcome or (False, "the node is stopping")
            if reply.success:
                self._node.get_logger().info(reply.message)
            else:
                self._node.get_logger().error(reply.message)
            return reply

        return answer

    def _in_thread(self, make: Callable[[], str]) -> Future[tuple[bool, str]]:
        executor = self._node.executor
        if executor is None:
            raise RuntimeError("services need a node that is spinning")
        done: Future[tuple[bool, str]] = Future(executor=executor)

        def work() -> None:
            try:
                outcome = True, make()
            except MonoDepthError as error:
                outcome = False, str(error)
            done.set_result(outcome)
            executor.wake()  # it polls its coroutines only when something happens

        self._thread.submit(work).add_done_callback(lambda finished: finished.result())
        return done
