"""The services save_mesh and save_cloud: a snapshot of the newest frame, made in the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from geometry_msgs.msg import Point
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_msgs.msg import ColorRGBA, Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from ..config import Config
from ..errors import DataError, MonoDepthError
from ..frames import Frame
from ..mesh import Mesh
from ..pointcloud import back_project
from ..snapshot import CloudJob, MeshJob, SnapshotResult, SnapshotWorker, snapshot_folder
from .publications import Publications

NewestFrame = Callable[[], tuple[Frame, Header]]


class SnapshotServices:
    """Offers save_mesh and save_cloud (std_srvs/Trigger) while it lives.

    `newest()` gives the frame, or raises a MonoDepthError whose text becomes the reply. The executor stays free
    while a snapshot is made: the callbacks are coroutines that wait for a thread that waits for the worker process.
    """

    def __init__(
        self, node: LifecycleNode, publications: Publications, newest: NewestFrame, config: Callable[[], Config]
    ) -> None:
        self._node, self._publications, self._newest, self._config = node, publications, newest, config
        self._worker = SnapshotWorker()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        alone = MutuallyExclusiveCallbackGroup()  # in the node's own group a waiting coroutine would hold up all else
        self._services = [
            node.create_service(Trigger, "save_mesh", self._save_mesh, callback_group=alone),
            node.create_service(Trigger, "save_cloud", self._save_cloud, callback_group=alone),
        ]

    def stop_work(self) -> None:
        """Ends a snapshot that is being made, and the worker process; the next call starts a new one."""
        self._worker.close()
        self._worker = SnapshotWorker()

    def close(self) -> None:
        """Ends the services, the worker process and its thread."""
        for service in self._services:
            self._node.destroy_service(service)
        self._worker.close()
        self._thread.shutdown(wait=True)

    async def _save_mesh(self, _: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
        return await self._answer(self._make_mesh, reply)

    async def _save_cloud(self, _: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
        return await self._answer(self._make_cloud, reply)

    async def _answer(self, make: Callable[[], str], reply: Trigger.Response) -> Trigger.Response:
        outcome = await self._in_thread(make)
        reply.success, reply.message = outcome or (False, "the node is stopping")
        if reply.success:
            self._node.get_logger().info(reply.message)
        else:
            self._node.get_logger().error(reply.message)
        return reply

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

    def _make_mesh(self) -> str:
        settings = self._config().mesh
        path = snapshot_folder(settings) / f"mesh_{_file_stamp()}.{settings.format}"
        result, header = self._run(lambda: MeshJob(settings, path))
        if result.preview is not None:
            self._publications.mesh.publish(mesh_to_marker(result.preview, header))
        return (
            f"{result.path}: {result.vertices} vertices, {result.triangles} triangles, "
            f"{settings.method}, {result.seconds:.2f} s"
        )

    def _make_cloud(self) -> str:
        settings = self._config().mesh
        path = snapshot_folder(settings) / f"cloud_{_file_stamp()}.ply"
        result, _ = self._run(lambda: CloudJob(settings, path))
        return f"{result.path}: {result.vertices} points, {result.seconds:.2f} s"

    def _run(self, job: Callable[[], MeshJob | CloudJob]) -> tuple[SnapshotResult, Header]:
        frame, header = self._newest()
        if frame.depth is None:
            raise DataError(frame.no_metres)
        points = back_project(frame.depth, frame.camera, frame.rgb)
        return self._worker.submit(job(), points).result(), header


def mesh_to_marker(mesh: Mesh, header: Header) -> Marker:
    """A TRIANGLE_LIST in the frame of `header`, one colour per vertex; keep it small (10,000 triangles take 0.1 s)."""
    marker = Marker(header=header, ns="mono_depth_recon", id=0, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color.a = 1.0
    corners = [Point(x=x, y=y, z=z) for x, y, z in mesh.vertices.astype(np.float64).tolist()]
    colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (mesh.colors / 255.0).tolist()]
    order = mesh.triangles.ravel().tolist()
    marker.points = [corners[i] for i in order]
    marker.colors = [colors[i] for i in order]
    return marker


def _file_stamp() -> str:
    return time.strftime("%Y%m%d_%H%M%S")
