"""`mono-depth-recon doctor`: one page about this installation for a bug report, with a self-test of each part."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..benchmark.machine import device, fresh_process, versions
from ..camera import PinholeCamera
from ..errors import DataError
from ..models import MODELS
from ..models.runtimes.base import installed
from ..models.runtimes.cache import cache_folder
from ..models.table import weights_state
from ..paths import expanded

_ROS_VARIABLES = ("ROS_DISTRO", "RMW_IMPLEMENTATION", "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")
_ROS_PACKAGES = ("ros-rclpy", "rclpy", "ros-sensor-msgs", "sensor-msgs")
_DRACO = ("point_cloud_transport_py", "point_cloud_interfaces")
_RUNTIMES = ("openvino", "onnxruntime", "torch", "nncf")
_DEADLINE_S = 300.0  # of one self-test, which takes a second or two


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "doctor",
        help="describe this installation for a bug report, and test its parts",
        allow_abbrev=False,
        description="Prints one page for a bug report: versions, ROS 2, devices, runtimes and their cache, models, and "
        "a short self-test of each part in a process of its own. Images and recordings are not read. The exit status "
        "is 1 where a test fails.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the page; 1 where a self-test failed."""
    for name, text in _facts():
        print(f"{name:<14} {_without_home(text)}", flush=True)
    failed = 0
    for name, code in _codes().items():
        started = time.perf_counter()
        passed, text = _tested(code)
        failed += not passed
        print(f"{f'test {name}':<14} {'ok' if passed else 'FAILED'}, {time.perf_counter() - started:.1f} s: {text}")
    return int(failed > 0)


def _without_home(text: str) -> str:
    home = str(expanded("~")).rstrip("/")
    return re.sub(rf"{re.escape(home)}(?=/|$)", "~", text) if home else text


def _facts() -> Iterator[tuple[str, str]]:
    yield "version", f"mono_depth_recon {__version__}"
    yield "libraries", versions()
    yield "machine", f"{device()}, {_memory()}"
    yield "GPU driver", _gpu_driver()
    yield "ROS 2", _ros()
    yield "runtimes", ", ".join(name for name in _RUNTIMES if installed(name)) or "none"
    yield "their cache", _cache()
    states: dict[str, list[str]] = {}
    for spec in MODELS.values():
        states.setdefault(weights_state(spec), []).append(spec.name)
    for state in ("in the package", "cached"):
        yield "models", f"{state}: {', '.join(states.get(state, [])) or 'none'}"


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB of memory"


def _gpu_driver() -> str:
    """NVIDIA's, by the file of its kernel module."""
    file = Path("/proc/driver/nvidia/version")
    return file.read_text(encoding="utf-8").splitlines()[0] if file.is_file() else "no NVIDIA driver"


def _ros() -> str:
    if not installed("rclpy"):
        return "rclpy is not found: source the setup file of ROS 2, or pip install 'mono_depth_recon[ros]'"
    given = [f"{name}={os.environ.get(name, 'not set')}" for name in _ROS_VARIABLES]
    found = [f"{name} {version}" for name in _ROS_PACKAGES if (version := _version(name))]
    missing = [name for name in _DRACO if not installed(name)]
    draco = f"no points/draco ({missing[0]} is not found)" if missing else "point_cloud_transport for points/draco"
    return ", ".join([*given, *(found or ["rclpy of an installation"]), draco])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cache() -> str:
    folder = cache_folder()
    files = [file for file in folder.rglob("*") if file.is_file()]
    entries = sum(1 for _ in folder.glob("[!.]*")) if folder.is_dir() else 0
    return f"{folder}: {entries} entries, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB"


def _codes() -> dict[str, str]:
    """The Python code of each test, which prints a line."""
    codes = {name: f"from {__name__} import CHECKS; print(CHECKS[{name!r}]())" for name in CHECKS}
    if installed("rclpy"):
        codes["ROS 2"] = (
            "import rclpy; rclpy.init(); node = rclpy.create_node('doctor'); "
            "name = rclpy.utilities.get_rmw_implementation_identifier(); node.destroy_node(); rclpy.shutdown(); "
            "print('a node on', name)"
        )
    return codes


def _tested(code: str) -> tuple[bool, str]:
    """Whether a test passed, and its line: in a fresh process, since what is broken may end it."""
    try:
        return True, fresh_process(code, timeout_s=_DEADLINE_S)
    except DataError as error:
        return False, str(error)
    except subprocess.TimeoutExpired:
        return False, f"no end within {_DEADLINE_S:.0f} s"


def _camera() -> PinholeCamera:
    return PinholeCamera.from_hfov(64, 48, 60)


def _expect(right: bool, what: str) -> None:
    if not right:
        raise DataError(f"the self-test expected {what}")


def _images() -> str:
    import cv2

    from ..decoding import decoded

    made = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    read = decoded(cv2.imencode(".png", made)[1], cv2.IMREAD_COLOR, "the image of the self-test")
    _expect(np.array_equal(read, made), "the pixels of a PNG to come back")
    return "a PNG is decoded"


def _cloud() -> str:
    from ..cloud.back_projection import back_project
    from ..mesh.files import write_mesh
    from ..mesh.grid import mesh_grid

    points = back_project(np.full((48, 64), 2, np.float32), _camera(), np.zeros((48, 64, 3), np.uint8))
    _expect(bool((points[..., 2] == 2).all()), "a wall at 2 m")
    mesh = mesh_grid(points, 0.1)
    with tempfile.TemporaryDirectory() as folder:
        write_mesh(mesh, Path(folder, "wall.ply"))
    return f"a mesh of {len(mesh.triangles)} triangles is written"


def _map() -> str:
    from ..fusion.tsdf_map import TsdfMap

    world = TsdfMap(0.05)
    world.integrate(np.full((48, 64), 2, np.float32), np.zeros((48, 64, 3), np.uint8), _camera(), np.eye(4))
    vertices = world.mesh(0.5).vertices
    _expect(len(vertices) > 0 and bool(np.abs(vertices[:, 2] - 2).max() < 0.05), "a map with a wall at 2 m")
    return f"a map of {world.blocks} blocks on {world.device}"


def _model() -> str:
    from ..config import ModelConfig
    from ..models import load_model

    model = load_model(ModelConfig())
    ramp = np.broadcast_to(np.linspace(40, 220, 64, dtype=np.uint8)[None, :, None], (48, 64, 3)).copy()
    depth = model.predict([(ramp, _camera())])[0].depth
    _expect(depth is not None and bool(np.isfinite(depth).all() and (depth > 0).all()), "depth above 0")
    return f"{model.name} on {model.device}"


CHECKS: dict[str, Callable[[], str]] = {"images": _images, "cloud": _cloud, "map": _map, "model": _model}
