"""What importing costs and needs, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import DEADLINE_S, ROOT

PACKAGE = ROOT / "mono_depth_recon"
HEAVY = ("torch", "open3d", "rclpy", "transformers", "openvino", "cv2", "matplotlib", "PIL", "scipy", "yaml")


def is_room(path: Path) -> bool:
    """A module or folder that loads without ROS and without torch."""
    return path.name not in ("ros", "__init__.py") and (path.suffix == ".py" or (path / "__init__.py").exists())


def modules_of(room: str) -> list[str]:
    """All modules of a room but those of models/ that are about torch."""
    if room == "models" or (PACKAGE / f"{room}.py").exists():
        return [f"mono_depth_recon.{room}"]
    paths = sorted((PACKAGE / room).rglob("*.py"))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if path.stem != "__main__"
    ]


ROOMS = sorted(path.stem for path in PACKAGE.iterdir() if is_room(path))


def fresh(code: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout.strip()


def test_the_package_alone_loads_nothing_at_all() -> None:
    assert fresh("import sys, mono_depth_recon; print('numpy' in sys.modules)") == "False"


def test_no_room_loads_a_heavy_library() -> None:
    """One process for all of them: what one room loads stays loaded."""
    code = "; ".join(
        [
            "import sys",
            *(f"import {module}" for room in ROOMS for module in modules_of(room)),
            f"print([name for name in {HEAVY} if name in sys.modules])",
        ]
    )
    assert fresh(code) == "[]"


FIRST = """
import importlib, os, sys, traceback
import numpy
for room in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            for module in room.split(","):
                importlib.import_module(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(room)
"""


def test_every_room_can_be_imported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room depends on another one having been imported before it: each in a fork of a process with numpy alone."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # a fork takes no threads along
    assert fresh(FIRST, *(",".join(modules_of(room)) for room in ROOMS)) == ""
