"""The node's map of many frames: starts and ends its parts, and forwards requests.

feeding.py adds frames, map_process.py holds the map in its own process, map_files.py saves and loads it, display.py
publishes it, figures.py counts, poses.py supplies the camera's poses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from ...config import Config
from ...frames import Frame
from ...workers.snapshot import SnapshotResult
from ..publications import SharedPublications
from ..throttled_log import ThrottledLog
from .display import MapDisplay
from .feeding import VISUAL_FRAME, Feeding
from .figures import MapFigures
from .map_files import MapFiles
from .map_process import MapProcess
from .poses import Poses

_VISUAL = "RGB-D odometry on the predicted depth, which drifts"
_OWN_POSES = (
    f"fusion: poses come from {_VISUAL}, in the frame '{VISUAL_FRAME}'; for better ones set "
    "fusion.world_frame (TF) or fusion.poses (a topic)"
)


class Mapping:
    """Fuses the offered frames of `cameras` while active and `fusion.enabled`; the map lives until `close`.

    `failed(error)` receives an unexpected error of a thread.
    """

    def __init__(
        self,
        node: LifecycleNode,
        publications: SharedPublications,
        config: Callable[[], Config],
        failed: Callable[[BaseException], None],
        cameras: Sequence[str] = ("",),
    ) -> None:
        self._node, self._config, self._failed, self._cameras = node, config, failed, cameras
        self._log = ThrottledLog(node)
        self._active = False
        self._feeding: Feeding | None = None
        self.figures = MapFigures()
        self._process = MapProcess(self.figures, lambda: self._active)
        self._display = MapDisplay(publications, self.figures)
        self._files = MapFiles(self._process, self.figures, config)

    @property
    def services(self) -> dict[str, Callable[[], str]]:
        """The map's services, by name."""
        return {"reset_map": self._files.reset, "save_map": self._files.save, "load_map": self._files.load}

    @property
    def running(self) -> bool:
        """Whether frames are fused."""
        return self._feeding is not None

    def activate(self, active: bool) -> None:
        """Starts or stops taking frames. Raises ConfigError if the configured source of poses is unavailable."""
        self._active = active
        self.apply(self._config())

    def apply(self, config: Config) -> None:
        """Applies `fusion.enabled`; call it from the thread that runs callbacks. Raises ConfigError as `activate`."""
        wanted = self._active and config.fusion.enabled
        if wanted and self._feeding is None:
            self._begin(config)
        elif not wanted:
            self._end()

    def input_of(self, camera: str) -> Callable[[Header, Callable[[], Frame]], None]:
        """A function that offers a frame of a camera; `make()` returns it with depth, called if the map takes it."""

        def offer(header: Header, make: Callable[[], Frame]) -> None:
            feeding = self._feeding
            if feeding is not None:
                feeding.offer(header, make, camera)

        return offer

    def close(self) -> None:
        """Ends thread, process and map."""
        self._process.close()
        self._end()
        self._process.forget()

    def save_mesh(self, path: Path) -> tuple[SnapshotResult, Header]:
        """The mesh of the map as a file, and the header of its marker. Raises MonoDepthError."""
        return self._files.save_mesh(path)

    def save_cloud(self, path: Path) -> SnapshotResult:
        """The points of the map as a file. Raises MonoDepthError."""
        return self._files.save_cloud(path)

    def _begin(self, config: Config) -> None:
        settings, poses = config.fusion, None
        if settings.world_frame or settings.poses:
            several = len(self._cameras) > 1
            poses = Poses(
                self._node, settings, config.qos.subscribe, lambda text: self._log.warn(text, "pose"), several
            )
            self._node.get_logger().info(f"fusion: poses come from {poses.text}")
        else:
            self._log.once(_OWN_POSES)
        self.figures.poses = _VISUAL if poses is None else poses.text
        self._process.start()
        self._feeding = Feeding(
            self._process, self._display, poses, self.figures, self._log, self._config, self._failed, self._cameras
        )

    def _end(self) -> None:
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            feeding.close()
