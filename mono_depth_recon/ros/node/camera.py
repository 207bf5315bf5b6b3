"""One camera of the node: what belongs to it alone, from configure to cleanup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from ...config import Config
from ...errors import DataError
from ...frames import Frame
from ...pipeline import DepthReconstructor
from ..frame_worker import FrameStats
from ..mapping.mapping import Mapping
from ..publications import Publications, SharedPublications, mesh_publisher
from ..sub_node import sub_node
from .diagnostics import Diagnosis
from .frame_line import FrameLine
from .points_all import PointsAll
from .snapshots import SnapshotServices


@dataclass(frozen=True)
class Shared:
    """What the cameras of a node share beside the model. `failed(error)` receives an unexpected error of a worker."""

    publications: SharedPublications
    mapping: Mapping
    points_all: PointsAll | None
    failed: Callable[[BaseException], None]


class Camera:
    """Topics, services, figures and, while active, the frames of the camera `name`.

    Without a name it is the only one: its topics are the node's, and so are save_mesh and save_cloud, of the map too.
    `config()` is its current configuration.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        reconstructor: DepthReconstructor,
        shared: Shared,
        config: Callable[[], Config],
    ) -> None:
        self.name = name
        self._whole, self._node = node, sub_node(node, name)
        self._reconstructor, self._shared, self._config = reconstructor, shared, config
        model, topics = reconstructor.model, shared.publications
        self._publications = Publications(
            self._node, config().qos.publish, model.output == "relative_disparity", [topics.points_all]
        )
        self._marker = mesh_publisher(self._node) if name else topics.mesh
        self._snapshots = SnapshotServices(
            self._node, self._marker, self.newest_frame, None if name else shared.mapping, config, shared.failed
        )
        full_name = node.get_fully_qualified_name() + (f": {name}" if name else "")
        self._diagnosis = Diagnosis(full_name, model.device, model.name)
        self._stats = FrameStats()
        self._line: FrameLine | None = None

    @property
    def gives_metres(self) -> bool:
        """Whether its frames can have metres, while it is active."""
        return self._line is not None and self._line.gives_metres

    @property
    def frame_id(self) -> str:
        """The frame of its newest image; empty before the first."""
        return "" if self._line is None else self._line.frame_id

    def activate(self) -> None:
        """Subscribes and computes."""
        points_all, self._stats = self._shared.points_all, FrameStats()
        self._line = FrameLine(
            self._node,
            self._reconstructor,
            self._publications,
            self._stats,
            self._shared.mapping.input_of(self.name),
            _nothing if points_all is None else points_all.input_of(self.name),
            self._config(),
            self._shared.failed,
        )

    def stop(self) -> None:
        """Ends subscriptions and worker, after the current frame."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def release(self) -> None:
        """Aborts a snapshot in progress and frees working memory."""
        self._snapshots.stop_work()
        self._reconstructor.release_memory()

    def close(self) -> None:
        """Ends threads, processes and services; safe after the context is shut down."""
        self.stop()
        self._snapshots.close()

    def destroy(self) -> None:
        """Ends the publishers."""
        self._publications.destroy(self._whole)
        if self.name:
            self._whole.destroy_lifecycle_publisher(self._marker)

    def apply(self) -> None:
        """Applies changed parameters; call it from the thread that runs callbacks."""
        if self._line is not None:
            self._line.apply(self._config())

    def newest_frame(self) -> tuple[Frame, Header]:
        """The newest image with depth, and its header. Raises DataError."""
        line = self._line
        if line is None:
            raise DataError("no frame: the node is not active; activate it first")
        return line.snapshot()

    def look_after(self, stamp: Time) -> list[DiagnosticStatus]:
        """Warns of what is missing, and returns what is to be reported; called about every second while active."""
        line = self._line
        if line is None:
            return []
        line.look()
        report = self._diagnosis.report(
            self._stats,
            stamp,
            line.idle_reason(),
            line.source,
            self._shared.mapping.running,
            line.evaluation,
            line.guess,
            self._snapshots.overdue(),
        )
        return list(report.status)


def _nothing(header: Header, frame: Frame, config: Config) -> None:
    """For frames that are needed nowhere else."""
