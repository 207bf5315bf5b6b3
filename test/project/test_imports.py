"""The cost and the requirements of imports, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import DEADLINE_S, ROOT

PACKAGE = ROOT / "mono_depth_recon"
HEAVY = ("torch", "open3d", "rclpy", "transformers", "openvino", "cv2", "matplotlib", "PIL", "scipy", "yaml")


def is_light(path: Path) -> bool:
    """A module or folder that loads without ROS and without torch."""
    return path.name not in ("ros", "__init__.py") and (path.suffix == ".py" or (path / "__init__.py").exists())


def modules_of(component: str) -> list[str]:
    """All modules of a component except those of models/ that need torch."""
    if component == "models" or (PACKAGE / f"{component}.py").exists():
        return [f"mono_depth_recon.{component}"]
    paths = sorted((PACKAGE / component).rglob("*.py"))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if path.stem != "__main__"
    ]


COMPONENTS = sorted(path.stem for path in PACKAGE.iterdir() if is_light(path))


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


def test_the_package_itself_loads_nothing() -> None:
    assert fresh("import sys, mono_depth_recon; print('numpy' in sys.modules)") == "False"


def test_no_component_loads_a_heavy_library() -> None:
    """One process for all of them: what one component loads stays loaded."""
    code = "; ".join(
        [
            "import sys",
            *(f"import {module}" for component in COMPONENTS for module in modules_of(component)),
            f"print([name for name in {HEAVY} if name in sys.modules])",
        ]
    )
    assert fresh(code) == "[]"


FIRST = """
import importlib, os, sys, traceback
import numpy
for component in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            for module in component.split(","):
                importlib.import_module(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(component)
"""


def test_every_component_can_be_imported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """No component depends on an earlier import of another: each in a fork of a process with numpy alone."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # a fork has no copies of threads
    assert fresh(FIRST, *(",".join(modules_of(component)) for component in COMPONENTS)) == ""
