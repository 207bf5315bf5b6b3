"""What importing costs and needs, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from processes import ROOT

PACKAGE = ROOT / "mono_depth_recon"
HEAVY = ("torch", "open3d", "rclpy", "transformers", "openvino", "cv2", "matplotlib", "PIL", "scipy", "yaml")
ROOMS = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__") + ["cli", "models"]


def fresh(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
                            cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_package_alone_loads_nothing_at_all() -> None:
    assert fresh("import sys, mono_depth_recon; print('numpy' in sys.modules)") == "False"


def test_no_room_loads_a_heavy_library() -> None:
    """One process for all of them: what one room loads stays loaded."""
    code = "; ".join(["import sys", *(f"import mono_depth_recon.{room}" for room in ROOMS),
                      f"print([name for name in {HEAVY} if name in sys.modules])"])
    assert fresh(code) == "[]"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_can_be_imported_first(room: str) -> None:
    """No room depends on another one having been imported before it."""
    assert fresh(f"import mono_depth_recon.{room}") == ""
