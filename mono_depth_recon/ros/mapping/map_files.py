"""The map as files: the work of its services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from std_msgs.msg import Header

from ...atomic import unused_path, writable_folder
from ...config import MAP_SUFFIX, Config
from ...errors import DataError
from ...paths import expanded
from ...workers.map import LoadMapJob, MapCloudJob, MapMeshJob, MapState, ResetJob, SaveMapJob
from ...workers.snapshot import SnapshotResult, file_stamp, snapshot_folder
from .figures import MapFigures
from .map_process import MapProcess


class MapFiles:
    """Saves, loads and empties the map; every method may raise a MonoDepthError, whose text becomes the reply."""

    def __init__(self, process: MapProcess, figures: MapFigures, config: Callable[[], Config]) -> None:
        self._process, self._figures, self._config = process, figures, config
        self._known: tuple[Path, int, int] | None = None  # the file that was loaded or saved last

    def save_mesh(self, path: Path) -> tuple[SnapshotResult, Header]:
        """The mesh of the map as a file, and the header of its marker."""
        config = self._config()
        return self._write(MapMeshJob(config.fusion, path, config.mesh)), self._figures.header

    def save_cloud(self, path: Path) -> SnapshotResult:
        """The points of the map as a file."""
        return self._write(MapCloudJob(self._config().fusion, path))

    def reset(self) -> str:
        """Starts an empty map."""
        self._figures.begin_map(self._process.ask(ResetJob(self._config().fusion)))
        return "the map is empty"

    def save(self) -> str:
        """Writes the map to `fusion.map_file`, or to a new file in `mesh.directory`.

        The reply says where it replaced a file of somebody else: of another node, or of an earlier run.
        """
        self._process.check()  # before a folder is made
        config = self._config()
        named = config.fusion.map_file
        if named:
            path = _map_path(named)
            writable_folder(path.parent)
        else:
            path = unused_path(snapshot_folder(config.mesh) / f"map_{file_stamp()}{MAP_SUFFIX}")
        foreign = _identity(path) not in (None, self._known)
        self._figures.state = self._process.ask(SaveMapJob(config.fusion, path))
        self._known = _identity(path)
        replaced = "; it replaced a map that this node had neither loaded nor saved" if foreign else ""
        return f"{path}: {self._figures.state.blocks} blocks in frame '{self._figures.world}'{replaced}"

    def load(self) -> str:
        """Replaces the map by `fusion.map_file`; if that fails, the map stays."""
        self._process.check()
        settings = self._config().fusion
        if not settings.map_file:
            raise DataError("fusion.map_file must name the map to load, it is empty")
        path = _map_path(settings.map_file)
        state: MapState = self._process.ask(LoadMapJob(settings, path))
        self._known = _identity(path)
        self._figures.begin_map(state)
        return f"{path}: {state.blocks} blocks loaded; its poses were in the frame of the run that saved it"

    def _write(self, job: MapMeshJob | MapCloudJob) -> SnapshotResult:
        try:
            result: SnapshotResult = self._process.ask(job)
        except DataError as error:
            empty = not self._figures.state.blocks and self._figures.last_reason
            raise DataError(f"{error}; the last frame was left out: {empty}" if empty else str(error)) from error
        return result


def _map_path(name: str) -> Path:
    return expanded(name).absolute()


def _identity(path: Path) -> tuple[Path, int, int] | None:
    """What tells this file from another one that replaces it; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return path, status.st_ino, status.st_mtime_ns
