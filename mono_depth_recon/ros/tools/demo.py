"""The whole pipeline in one command: a camera, recon_node and a recorder as separate processes, then the pictures."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import writable_folder, write_atomically
from ...config import finite_number, names_in
from ...datasets.tum import read_list
from ...errors import MonoDepthError
from ...photo import read_photo
from ...pictures.panels import write_png
from ...printing import escape_on
from ...temporary import TemporaryFolder
from .demo_pictures import write_pictures
from .demo_processes import RECON_NODE, RECORDER, REPLAY, ROOMS_CAMERA, Children, Stopped, own_domain, raise_on_signals

RATE_HZ = 15.0
_DESCRIPTIONS = {
    "overview.png": "everything on one page",
    "rgb.png": "one frame: its colour image, rectified",
    "depth.png, depth_plasma.png": "its depth: 16-bit, millimetres, 0 = unknown; in colours",
    "cloud.ply, cloud_cleaned.ply": "its coloured cloud in metres: every pixel; cleaned as save_cloud does",
    "mesh.ply": "its mesh as save_mesh wrote it",
    "cloud_view_1.png, cloud_view_2.png": "the cloud from two views",
    "mesh_view_1.png, mesh_view_2.png": "the mesh from two views",
    "recording.json": "frame rates, latency, gaps",
}
FILES = ", ".join(_DESCRIPTIONS).split(", ")
CAMERAS_PAGE = "cameras.png"  # the pages of several cameras, one below the other
_CAMERA_HZ, _TURN_DEG = 10.0, 90.0  # of several cameras: the rate of each, and the angle from one to the next
_START_S = 90.0
_SNAPSHOTS_S = 180.0
_SERVICE_S = 100.0
_TUM = "TUM RGB-D benchmark (Sturm et al., IROS 2012), CC BY 4.0"
# The part of freiburg1_rpy, in seconds, that was used neither to train nor to select the embedded model.
_TEST_STRETCH_S = (1305031246.7, 1305031248.1)


@dataclass(frozen=True)
class Source:
    """The camera of a run: its module with arguments, its name, and the credit for its frames."""

    module: str
    arguments: list[str]
    name: str
    attribution: str


class Progress:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begin

    def __call__(self, who: str, line: str) -> None:
        """One line on stdout."""
        print(f"[{self.seconds:5.1f} s] {who}: {line}", flush=True)


def rooms_source() -> Source:
    """The embedded camera."""
    arguments = ["--rate", f"{RATE_HZ:g}"]
    return Source(ROOMS_CAMERA, arguments, "synthetic room", "Synthetic room (rooms_camera): unseen in training")


def tum_source(folder: Path, camera: str) -> Source:
    """Frames of a TUM RGB-D folder, in a loop, at most 15 a second; of freiburg1_rpy only the test frames.

    Raises DataError where the folder is no recording, ConfigError or CalibrationError where its camera is unknown.
    """
    from ..cameras.replay import ReplaySettings, open_playlist

    first, last, claim = _chosen_frames(folder)
    recording = open_playlist(ReplaySettings(path=str(folder), camera=camera, first=first, last=last))
    gap = float(np.median(np.diff(recording.stamps))) if len(recording.stamps) > 1 else 1 / RATE_HZ
    rate = min(1.0, gap * RATE_HZ)
    arguments = [str(folder), "--loop", "--first", str(first), "--last", str(last), "--rate", f"{rate:.4f}"]
    arguments += ["--max-gap", f"{rate / RATE_HZ:.5f}", "--camera", camera]
    name = f"{len(recording.stamps)} frames of {folder.name}"
    credit = f"{_TUM}; " if "freiburg" in folder.name else ""
    return Source(REPLAY, arguments, name, f"{credit}{folder.name}{claim}")


def _chosen_frames(folder: Path) -> tuple[int, int, str]:
    """First and last position in rgb.txt, and whether the embedded model was trained on this scene."""
    if "freiburg1_rpy" in folder.name:
        begin, end = _TEST_STRETCH_S
        test = [i for i, entry in enumerate(read_list(folder / "rgb.txt", [])) if begin <= entry.stamp <= end]
        if test:
            return test[0], test[-1], ": same scene as in training, unseen frames"
    return 0, -1, ": unseen scene" if "freiburg3_cabinet" in folder.name else ""


def run(output: Path, source: Source, seconds: float, say: Progress) -> dict[str, Any]:
    """Starts everything, records for `seconds`, draws, and leaves `FILES` in `output`; returns recording.json."""
    with TemporaryFolder() as stage:
        _record(stage, source, seconds, say)
        results: dict[str, Any] = json.loads((stage / "recording.json").read_text(encoding="utf-8"))
        _check(results, f"in {seconds:g} s")
        say("demo", "drawing the pictures")
        write_pictures(stage, _title(results, "One camera"), source.attribution, f"{_triangles(results)} triangles")
        for file in FILES:
            write_atomically(output / file, [(stage / file).read_bytes()])
    return results


def _record(stage: Path, source: Source, seconds: float, say: Progress) -> None:
    with own_domain() as domain:
        env = {**os.environ, **domain, "ROS_LOG_DIR": str(stage), "PYTHONUNBUFFERED": "1"}
        with Children(stage, env, say) as children:
            camera = children.start("camera", source.module, source.arguments)
            directory = ["--ros-args", "-p", f"mesh.directory:={stage / 'node'}", "-p", "mesh.format:=ply"]
            node = children.start("node", RECON_NODE, directory)
            ready = (camera, node)
            children.watch(lambda: all(child.is_ready for child in ready), "camera and node to be ready", _START_S)
            recorder = children.start("recorder", RECORDER, _recorder_flags(stage, seconds))
            children.watch(lambda: recorder.exit_status == 0, "the recording to end", seconds + _SNAPSHOTS_S, recorder)
            say("demo", "stopping camera and node")


def run_cameras(output: Path, names: Sequence[str], seconds: float, say: Progress) -> dict[str, dict[str, Any]]:
    """As `run`, with several cameras in one room on one node; `FILES` of each go into a folder of its name.

    Returns the recording.json of each.
    """
    with TemporaryFolder() as stage:
        _record_cameras(stage, names, seconds, say)
        results = {name: _drawn(stage / name, name, say) for name in names}
        pages = [read_photo(stage / name / "overview.png") for name in names]
        write_png(stage / CAMERAS_PAGE, np.concatenate(pages))
        write_atomically(output / CAMERAS_PAGE, [(stage / CAMERAS_PAGE).read_bytes()])
        for name in names:
            writable_folder(output / name)
            for file in FILES:
                write_atomically(output / name / file, [(stage / name / file).read_bytes()])
    return results


def _record_cameras(stage: Path, names: Sequence[str], seconds: float, say: Progress) -> None:
    with own_domain() as domain:
        env = {**os.environ, **domain, "ROS_LOG_DIR": str(stage), "PYTHONUNBUFFERED": "1"}
        with Children(stage, env, say) as children:
            ready = []
            for number, name in enumerate(names):
                turn = (number * _TURN_DEG + 180) % 360 - 180
                own = [f"--rate={_CAMERA_HZ:g}", f"--turn={turn:g}", f"--frame-id={name}_optical_frame"]
                flags = [*rooms_source().arguments, *own, *_below(name)]
                ready.append(children.start(f"camera {name}", ROOMS_CAMERA, flags))
            given = {"cameras": ",".join(names), "mesh.directory": stage / "node", "mesh.format": "ply"}
            words = [word for key, value in given.items() for word in ("-p", f"{key}:={value}")]
            ready.append(children.start("node", RECON_NODE, ["--ros-args", *words]))
            children.watch(lambda: all(child.is_ready for child in ready), "cameras and node to be ready", _START_S)
            recorders = [
                children.start(f"recorder {name}", RECORDER, [*_recorder_flags(stage / name, seconds), *_below(name)])
                for name in names
            ]
            children.watch(
                lambda: all(each.exit_status == 0 for each in recorders),
                "the recordings to end",
                seconds + _SNAPSHOTS_S,
                *recorders,
            )
            say("demo", "stopping cameras and node")


def _below(name: str) -> list[str]:
    return ["--ros-args", "-r", f"__ns:=/{name}"]


def _recorder_flags(stage: Path, seconds: float) -> list[str]:
    return ["--output", str(stage), "--duration", f"{seconds:g}", "--timeout", f"{_SERVICE_S:g}"]


def _drawn(stage: Path, camera: str, say: Progress) -> dict[str, Any]:
    """The results of one camera of several, after its pictures were drawn."""
    results: dict[str, Any] = json.loads((stage / "recording.json").read_text(encoding="utf-8"))
    _check(results, f"from {camera}")
    say("demo", f"drawing the pictures of {camera}")
    write_pictures(stage, _title(results, camera), rooms_source().attribution, f"{_triangles(results)} triangles")
    return results


def _check(results: dict[str, Any], of: str) -> None:
    """Raises MonoDepthError where no frame came, or no mesh."""
    if not results["steady"]["frames_out"]:
        raise MonoDepthError(f"no frame came out {of}: see whether this machine is overloaded")
    if results["mesh"]["left_out"]:
        raise MonoDepthError(f"there is no mesh of the recorded frame: {results['mesh']['left_out']}")


def _title(results: dict[str, Any], camera: str) -> str:
    steady = results["steady"]
    return (
        f"{camera}: {steady['rate_out_hz']:.1f} of {steady['rate_in_hz']:.1f} frames per second, "
        f"{steady['latency_p50_ms']:.0f} ms from image to cloud"
    )


def _triangles(results: dict[str, Any]) -> str:
    found = re.search(r"(\d+) triangles", results["mesh"]["reply"])
    return f"{int(found[1]):,}" if found else "no"


def _report(output: Path, results: dict[str, Any], seconds: float) -> str:
    steady, mesh = results["steady"], results["mesh"]
    lines = [f"Finished in {seconds:.0f} s. Files in {output.resolve()}:"]
    lines += [f"  {names:<40} {text}" for names, text in _DESCRIPTIONS.items()]
    lines += [
        f"Frames: {steady['frames_out']} of {steady['frames_in']} came out ({100 * steady['share']:.1f} %), "
        f"{steady['rate_out_hz']:.1f} per second, longest gap {steady['longest_gap_s']:.2f} s",
        f"From colour image to cloud: p50 {steady['latency_p50_ms']:.0f} ms, p95 {steady['latency_p95_ms']:.0f} ms",
        f"While the mesh was made ({mesh['seconds']:.1f} s): {mesh['meanwhile']['rate_out_hz']:.1f} frames per second, "
        f"longest gap {mesh['meanwhile']['longest_gap_s']:.2f} s",
    ]
    return "\n".join(lines)


def _report_cameras(output: Path, results: dict[str, dict[str, Any]], seconds: float) -> str:
    lines = [f"Finished in {seconds:.0f} s. Files in {output.resolve()}: {CAMERAS_PAGE}, and a folder of each camera"]
    for name, of_camera in results.items():
        steady = of_camera["steady"]
        lines.append(
            f"{name}: {steady['frames_out']} of {steady['frames_in']} frames came out ({100 * steady['share']:.1f} %), "
            f"p50 {steady['latency_p50_ms']:.0f} ms, p95 {steady['latency_p95_ms']:.0f} ms from colour image to cloud"
        )
    return "\n".join(lines)


def _arguments(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("demo_output"), help="folder of the files [default: demo_output]"
    )
    parser.add_argument("--data", type=Path, help="TUM RGB-D folder that is played [default: the synthetic camera]")
    parser.add_argument(
        "--camera",
        default="",
        help="its intrinsics 'fx fy cx cy [k1 k2 p1 p2 [k3]]', pixels [default: by the folder's name]",
    )
    parser.add_argument(
        "--cameras", default="", help="names of several synthetic cameras on one node (front,left) [default: one]"
    )
    parser.add_argument(
        "--seconds", type=finite_number(0.1, 86_400), default=12.0, help="length of the measurement [default: 12]"
    )
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> int:
    """0 when all files are there; 1 with the reason, 130 or 143 after SIGINT or SIGTERM. No process is left behind."""
    escape_on(sys.stdout, sys.stderr)
    given, say = _arguments(args), Progress()
    raise_on_signals()
    try:
        if importlib.util.find_spec("rclpy") is None:
            raise MonoDepthError("ROS 2 (rclpy) is missing: source a ROS 2 installation, or run make demo")
        names = names_in(given.cameras)
        if names and given.data:
            raise MonoDepthError(
                "--cameras is for the synthetic room, a folder has one camera: leave out one of the two"
            )
        output = writable_folder(given.output)
        if names:
            print(_report_cameras(output, run_cameras(output, names, given.seconds, say), say.seconds))
            return 0
        source = tum_source(given.data, given.camera) if given.data else rooms_source()
        say("demo", f"camera: {source.name}; then recon_node and a recorder, each a process of its own")
        results = run(output, source, given.seconds, say)
    except MonoDepthError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except Stopped as stop:
        print("demo: stopped", file=sys.stderr)
        return 128 + stop.number
    print(_report(given.output, results, say.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
