"""The services: save_mesh and save_cloud of the newest frame or of the map, and those of the map itself."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from std_msgs.msg import Header

from ...cloud.back_projection import back_project
from ...config import Config
from ...errors import DataError
from ...frames import Frame
from ...workers.snapshot import CloudJob, MeshJob, SnapshotResult, SnapshotWorker, file_stamp, snapshot_folder
from ..conversions import mesh_to_marker
from ..mapping.mapping import Mapping
from .trigger_services import TriggerServices

NewestFrame = Callable[[], tuple[Frame, Header]]


class SnapshotServices:
    """Offers save_mesh and save_cloud (std_srvs/Trigger) and the services of `mapping` until `close`.

    `newest()` returns the frame, or raises a MonoDepthError whose text becomes the reply; `failed` receives bugs.
    Saved meshes are shown on `marker`. Without `mapping` it is always the frame that is saved.
    """

    def __init__(
        self,
        node: LifecycleNode,
        marker: LifecyclePublisher,
        newest: NewestFrame,
        mapping: Mapping | None,
        config: Callable[[], Config],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._marker, self._newest, self._mapping, self._config = marker, newest, mapping, config
        self._worker = SnapshotWorker()
        services = {"save_mesh": self._make_mesh, "save_cloud": self._make_cloud}
        services |= {} if mapping is None else mapping.services
        self._services = TriggerServices(node, services, failed)

    def overdue(self) -> str:
        """Which service takes unusually long, and how long, for diagnostics; empty where none does."""
        return self._services.overdue()

    def stop_work(self) -> None:
        """Aborts a snapshot in progress with its worker process; the next call starts a new one."""
        self._worker.close()
        self._worker = SnapshotWorker()

    def close(self) -> None:
        """Ends the services, the worker process and its thread."""
        self._worker.close()
        self._services.close()

    def _make_mesh(self) -> str:
        config = self._config()
        settings = config.mesh
        path = snapshot_folder(settings) / f"mesh_{file_stamp()}.{settings.format}"
        if config.mesh_of_map and self._mapping is not None:
            (result, header), method = self._mapping.save_mesh(path), "fused"
        else:
            (result, header), method = self._run(lambda: MeshJob(settings, path)), settings.method
        if result.preview is not None:
            self._marker.publish(mesh_to_marker(result.preview, header))
        return f"{result.path}: {result.vertices} vertices, {result.quality}, {method}, {result.seconds:.2f} s"

    def _make_cloud(self) -> str:
        config = self._config()
        settings = config.mesh
        path = snapshot_folder(settings) / f"cloud_{file_stamp()}.ply"
        if config.mesh_of_map and self._mapping is not None:
            result = self._mapping.save_cloud(path)
        else:
            result, _ = self._run(lambda: CloudJob(settings, path))
        return f"{result.path}: {result.vertices} points, {result.seconds:.2f} s"

    def _run(self, job: Callable[[], MeshJob | CloudJob]) -> tuple[SnapshotResult, Header]:
        frame, header = self._newest()
        if frame.depth is None:
            raise DataError(frame.no_metres)
        points = back_project(frame.depth, frame.camera, frame.rgb)
        return self._worker.submit(job(), points).result(), header
