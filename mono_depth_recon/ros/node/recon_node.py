"""recon_node: camera image in, metric depth, coloured cloud and mesh out (a managed node).

configure loads the model, activate starts, deactivate stops computing and frees memory, cleanup unloads the model.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer
from std_msgs.msg import Header

from ...config import Config, NodeConfig
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...models import check_name
from ...pipeline import DepthReconstructor
from ..mapping.mapping import Mapping
from ..node_settings import run_node, without_ros_arguments
from ..parameters import NodeParameters
from ..publications import SharedPublications
from ..throttled_log import ThrottledLog
from ..timers import steady_timer
from .camera import Camera, Shared
from .diagnostics import MapDiagnosis
from .missing_inputs import NodeProblems
from .missing_tf import missing_tf
from .points_all import PointsAll
from .replies import repeat_lost_replies
from .settings_check import check_at_configure, check_places
from .snapshots import SnapshotServices

_LOOK_S = 0.5
_DIAGNOSTICS_PERIOD_S = 1.0


@dataclass(frozen=True)
class _Configured:
    """What exists from configure to cleanup; `snapshots` are the services of the map beside several cameras."""

    cameras: list[Camera]
    shared: Shared
    snapshots: SnapshotServices | None
    diagnosis: MapDiagnosis

    def close(self) -> None:
        """Ends threads and processes."""
        self.shared.mapping.close()  # first: a service may wait for it
        if self.shared.points_all is not None:
            self.shared.points_all.close()
        for camera in self.cameras:
            camera.close()
        if self.snapshots is not None:
            self.snapshots.close()

    def destroy(self, node: LifecycleNode) -> None:
        """Ends all publishers."""
        for camera in self.cameras:
            camera.destroy()
        self.shared.publications.destroy(node)


class ReconNode(LifecycleNode):
    """The managed node. `failure` is the error that ended a transition or a worker, None otherwise."""

    def __init__(self) -> None:
        super().__init__(
            "recon_node", automatically_declare_parameters_from_overrides=True, allow_undeclared_parameters=True
        )
        self.failure: BaseException | None = None
        self._starting = False
        self._ended = threading.Event()
        self._configured: _Configured | None = None
        self._timer: Timer | None = None
        self._log = ThrottledLog(self)
        self._problems: NodeProblems | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._settings = NodeParameters(self, self._apply, lambda: self._configured is not None)
        for service in self.services:  # of parameters and lifecycle; those of the snapshots come with them
            repeat_lost_replies(service, self.get_logger())

    @property
    def config(self) -> Config:
        """The current parameters; those that cameras have of their own are left out."""
        return self._settings.config.general

    def start(self) -> None:
        """With `autostart`: configures and activates. Raises the error of a transition that failed."""
        if not self.config.autostart:
            return
        self._starting = True
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                break
        self._starting = False
        if self.failure is not None:
            raise self.failure

    def wait(self) -> None:
        """Blocks until a worker fails, and raises its error."""
        while not self._ended.wait(_LOOK_S):  # the kernel may give a signal to another thread, which wakes nobody
            pass
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Ends threads and processes; safe in every state and after the context is shut down."""
        self._stop()
        if self._configured is not None:
            self._configured.close()
            self._configured = None

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model, creates topics and services; a wrong setting is logged in one line and gives FAILURE."""
        return self._attempt(self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes and computes."""
        super().on_activate(state)
        return self._attempt(self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops computing, aborts a snapshot in progress, frees working memory."""
        super().on_deactivate(state)
        return self._attempt(self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unloads the model, removes topics and services."""
        return self._attempt(self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends everything, from any state."""
        return self._attempt(self._clean_up)

    def _attempt(self, change: Callable[[], None]) -> TransitionCallbackReturn:
        self.failure = None
        try:
            change()
        except MonoDepthError as error:
            self.failure = error
            if not self._starting:  # during the start it becomes the last line of the process
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        finally:
            raised = sys.exc_info()[1]
            if isinstance(raised, Exception) and not isinstance(raised, MonoDepthError):
                self.failure = raised  # rclpy swallows other errors with their traceback
                traceback.print_exc()
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        config, started = self.config, time.monotonic()
        check_at_configure(self, config)
        weights = f" from {config.model.checkpoint}" if config.model.checkpoint else ""
        self.get_logger().info(f"loading {config.model.name}{weights}")
        configs = self._settings.config.cameras
        for line in missing_tf(config, configs):
            self._log.once(line)
        reconstructors = DepthReconstructor.for_cameras(
            config, list(configs.values()), lambda text: self._log.warn(text, "reload")
        )
        shared = self._shared(config, list(configs))
        cameras = [
            Camera(self, name, reconstructor, shared, partial(self._config_of, name))
            for name, reconstructor in zip(configs, reconstructors, strict=True)
        ]
        snapshots = None if "" in configs else self._map_services(shared, list(configs))
        model = reconstructors[0].model
        diagnosis = MapDiagnosis(f"{self.get_fully_qualified_name()}: map", model.device)
        self._configured = _Configured(cameras, shared, snapshots, diagnosis)
        self.get_logger().info(f"{model.name} on {model.device} loaded in {time.monotonic() - started:.1f} s")

    def _shared(self, config: Config, names: list[str]) -> Shared:
        topics = SharedPublications(self, config.qos.publish, config.points_all.enabled)
        mapping = Mapping(self, topics, lambda: self.config, self._worker_failed, names)
        points_all = None
        if topics.points_all is not None:
            points_all = PointsAll(self, topics.points_all, lambda: self.config, self._worker_failed)
        return Shared(topics, mapping, points_all, self._worker_failed)

    def _map_services(self, shared: Shared, names: list[str]) -> SnapshotServices:
        """Those of the map, where each camera has its own for frames."""

        def no_frame() -> tuple[Frame, Header]:
            services = ", ".join(f"{name}/save_mesh" for name in names)
            raise DataError(
                "of several cameras the node itself saves the map only (set fusion.enabled, and mesh.source to auto or "
                f"fused); for a frame call the service of its camera ({services}; likewise save_cloud)"
            )

        return SnapshotServices(
            self, shared.publications.mesh, no_frame, shared.mapping, lambda: self.config, self._worker_failed
        )

    def _config_of(self, camera: str) -> Config:
        return self._settings.config.cameras[camera]

    def _activate(self) -> None:
        if self._configured is None:
            return
        cameras = self._configured.cameras
        try:
            self._configured.shared.mapping.activate(True)
            for camera in cameras:
                camera.activate()
        except MonoDepthError:  # none runs where one cannot
            self._stop()
            raise
        self._problems = NodeProblems(self, self._log)
        self._timer = steady_timer(self, _DIAGNOSTICS_PERIOD_S, self._report)
        metres = any(camera.gives_metres for camera in cameras)
        outputs = "depth/image_rect, points and mesh" if metres else "disparity and depth/preview"
        of = "" if cameras[0].name == "" else f" of {', '.join(camera.name for camera in cameras)}"
        self.get_logger().info(f"ready: {outputs}{of} are computed while somebody subscribes")

    def _deactivate(self) -> None:
        self._stop()
        if self._configured is not None:
            for camera in self._configured.cameras:
                camera.release()
            if self._configured.snapshots is not None:
                self._configured.snapshots.stop_work()

    def _clean_up(self) -> None:
        configured = self._configured
        self.close()
        if configured is not None:
            configured.destroy(self)

    def _stop(self) -> None:
        """Ends what is active."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._configured is not None:
            self._configured.shared.mapping.activate(False)
            for camera in self._configured.cameras:
                camera.stop()
            if self._configured.shared.points_all is not None:
                self._configured.shared.points_all.rest()

    def _apply(self, config: NodeConfig) -> None:
        check_places(config.general)
        if self._configured is None:
            check_name(config.general.model.name)
            return
        self._configured.shared.mapping.apply(config.general)
        for camera in self._configured.cameras:
            camera.apply()

    def _report(self) -> None:
        if self._configured is None or self._problems is None:
            return
        self._problems.check()
        cameras, shared = self._configured.cameras, self._configured.shared
        if shared.points_all is not None:
            shared.points_all.look()
        self._warn_of_equal_frames(cameras)
        array = DiagnosticArray()
        array.header.stamp = stamp = self.get_clock().now().to_msg()
        statuses = [camera.look_after(stamp) for camera in cameras]
        if shared.mapping.running:
            snapshots = self._configured.snapshots
            overdue = "" if snapshots is None else snapshots.overdue()
            statuses[0].insert(1, self._configured.diagnosis.status(shared.mapping.figures, overdue))
        array.status = [status for of_camera in statuses for status in of_camera]
        self._diagnostics.publish(array)

    def _warn_of_equal_frames(self, cameras: Sequence[Camera]) -> None:
        """Two cameras cannot be in one frame: TF, and with it the map and points_all, would take them for one."""
        by_frame: dict[str, list[str]] = {}
        for camera in cameras:
            by_frame.setdefault(camera.frame_id, []).append(camera.name)
        for frame, names in by_frame.items():
            if frame and len(names) > 1:
                self._log.once(
                    f"the images of {' and '.join(names)} have one frame_id, '{frame}': TF, the map and points_all "
                    "take them for one camera; let the drivers set a frame for each"
                )

    def _worker_failed(self, error: BaseException) -> None:
        """Without its worker the node is useless: it ends, so that a supervisor restarts it."""
        self.failure = error
        self._ended.set()


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; 1 if it cannot start or a worker failed."""
    arguments = list(sys.argv if args is None else args)
    parser = argparse.ArgumentParser(
        "recon_node",
        description=__doc__,
        epilog="Parameters: --ros-args -p group.name:=value, or --params-file config/recon.yaml; "
        "mono-depth-recon parameters lists them.",
    )
    try:
        parser.parse_args(without_ros_arguments(arguments)[1:])
    except RuntimeError as error:  # rclpy's class for this has no public name
        parser.error(str(error).splitlines()[0])
    return run_node("recon_node", ReconNode.wait, arguments, ReconNode, ReconNode.start)


if __name__ == "__main__":
    sys.exit(main())
