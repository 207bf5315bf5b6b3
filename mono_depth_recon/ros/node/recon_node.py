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

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer
from std_msgs.msg import Header

from ...config import Config
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...models import check_name
from ...pipeline import DepthReconstructor
from ..frame_worker import FrameStats
from ..mapping.mapping import Mapping
from ..node_settings import run_node, without_ros_arguments
from ..parameters import NodeParameters
from ..publications import Publications
from ..timers import steady_timer
from .diagnostics import Diagnosis
from .frame_line import FrameLine
from .settings_check import check_at_configure, check_places
from .snapshots import SnapshotServices

_DIAGNOSTICS_PERIOD_S = 1.0


@dataclass(frozen=True)
class _Configured:
    """What exists from configure to cleanup."""

    reconstructor: DepthReconstructor
    publications: Publications
    mapping: Mapping
    snapshots: SnapshotServices
    diagnosis: Diagnosis


class ReconNode(LifecycleNode):
    """The managed node. `failure` is the error that ended a transition or a worker, None otherwise."""

    def __init__(self) -> None:
        super().__init__("recon_node", automatically_declare_parameters_from_overrides=True)
        self.failure: BaseException | None = None
        self._starting = False
        self._ended = threading.Event()
        self._configured: _Configured | None = None
        self._line: FrameLine | None = None
        self._timer: Timer | None = None
        self._stats = FrameStats()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._settings = NodeParameters(self, self._apply, lambda: self._configured is not None)

    @property
    def config(self) -> Config:
        """The current parameters."""
        return self._settings.config

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
        self._ended.wait()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Ends threads and processes; safe in every state and after the context is shut down."""
        self._stop_line()
        if self._configured is not None:
            self._configured.mapping.close()
            self._configured.snapshots.close()
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
        reconstructor = DepthReconstructor.from_config(config)
        reconstructor.warm_up()  # before the node announces itself ready
        publications = Publications(self, config.qos.publish, reconstructor.model.output == "relative_disparity")
        mapping = Mapping(self, publications, lambda: self.config, self._worker_failed)
        snapshots = SnapshotServices(
            self, publications, self._newest_frame, mapping, lambda: self.config, self._worker_failed
        )
        model = reconstructor.model
        diagnosis = Diagnosis(self.get_fully_qualified_name(), model.device, model.name)
        self._configured = _Configured(reconstructor, publications, mapping, snapshots, diagnosis)
        self.get_logger().info(f"{model.name} on {model.device} loaded in {time.monotonic() - started:.1f} s")

    def _activate(self) -> None:
        if self._configured is None:
            return
        reconstructor, publications = self._configured.reconstructor, self._configured.publications
        mapping = self._configured.mapping
        mapping.activate(True)
        self._stats = FrameStats()
        self._line = FrameLine(
            self, reconstructor, publications, self._stats, mapping, self.config, self._worker_failed
        )
        self._timer = steady_timer(self, _DIAGNOSTICS_PERIOD_S, self._report)
        outputs = "depth/image_rect, points and mesh" if self._line.gives_metres else "disparity and depth/preview"
        self.get_logger().info(f"ready: {outputs} are computed while somebody subscribes")

    def _deactivate(self) -> None:
        self._stop_line()
        if self._configured is not None:
            self._configured.snapshots.stop_work()
            self._configured.reconstructor.release_memory()

    def _clean_up(self) -> None:
        configured = self._configured
        self.close()
        if configured is not None:
            configured.publications.destroy(self)

    def _stop_line(self) -> None:
        if self._configured is not None:
            self._configured.mapping.activate(False)
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _newest_frame(self) -> tuple[Frame, Header]:
        line = self._line
        if line is None:
            raise DataError("no frame: the node is not active; activate it first")
        return line.snapshot()

    def _apply(self, config: Config) -> None:
        check_places(config)
        if self._configured is None:
            check_name(config.model.name)
        else:
            self._configured.mapping.apply(config)
        if self._line is not None:
            self._line.apply(config)

    def _report(self) -> None:
        if self._configured is None or self._line is None:
            return
        self._line.warn_of_problems()
        stamp = self.get_clock().now().to_msg()
        mapping = self._configured.mapping
        report = self._configured.diagnosis.report(
            self._stats,
            stamp,
            self._line.idle_reason(),
            self._line.source,
            mapping.figures if mapping.running else None,
            self._line.evaluation,
        )
        self._diagnostics.publish(report)

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
