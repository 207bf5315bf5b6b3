"""pip and colcon give the same installation; the pins fit the ranges; package.xml agrees with setup.py."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import ROOT, Installation, copy_sources, run_checked

import mono_depth_recon

EXECUTABLES = {
    "recon_node",
    "rooms_camera",
    "replay",
    "recorder",
    "calibrate_camera",
    "open_rviz",
    "demo",
    "evaluate_tum",
    "mono-depth-recon",
}
ROSDEP_KEYS = {
    "jinja2": "python3-jinja2",
    "numpy": "python3-numpy",
    "opencv-python-headless": "python3-opencv",
    "pillow": "python3-pil",
    "platformdirs": "python3-platformdirs",
    "pyyaml": "python3-yaml",
    "scipy": "python3-scipy",
}
PACKAGED = {  # in Ubuntu 22.04, which is Humble's; numpy in 24.04, which is Jazzy's
    "jinja2": "3.0.3",
    "numpy": "1.26.4",
    "opencv-python-headless": "4.5.4",
    "pillow": "9.0.1",
    "platformdirs": "2.5.1",
    "pyyaml": "5.4.1",
    "scipy": "1.8.0",
}
COLCON_OWN = re.compile(r"hook/|package\.(bash|dsv|ps1|sh|zsh)$")  # what colcon adds to every package


@pytest.fixture(scope="session")
def colcon_installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The package as `colcon build` installs it."""
    workspace = tmp_path_factory.mktemp("colcon")
    copy_sources(workspace / "src" / "mono_depth_recon")
    colcon = Path(sys.executable).parent / "colcon"
    output = run_checked([str(colcon), "build", "--event-handlers", "console_direct+"], workspace)
    assert "1 package finished" in output
    return Installation(workspace / "install" / "mono_depth_recon")


@pytest.fixture(params=["pip", "colcon"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """Each way of installing."""
    return request.getfixturevalue(f"{request.param}_installation")


@pytest.fixture(scope="session")
def distribution(pip_installation: Installation) -> importlib.metadata.Distribution:
    """The metadata declared in setup.py."""
    found = importlib.metadata.distributions(name="mono_depth_recon", path=[str(pip_installation.site_packages)])
    return next(iter(found))


@pytest.fixture(scope="session")
def requirements(distribution: importlib.metadata.Distribution) -> list[Requirement]:
    """All requirements, those of the extras with their marker."""
    return [Requirement(line) for line in distribution.requires or []]


def files(folder: Path) -> set[str]:
    """Files below a folder, except byte code and what colcon adds to every package."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if "__pycache__" not in name and not COLCON_OWN.match(name)}


def package_files(installation: Installation) -> set[str]:
    return files(installation.site_packages / "mono_depth_recon")


def test_pip_and_colcon_install_the_same(pip_installation: Installation, colcon_installation: Installation) -> None:
    assert files(pip_installation.share) == files(colcon_installation.share)
    assert package_files(pip_installation) == package_files(colcon_installation)
    assert files(pip_installation.executables) == files(colcon_installation.executables) == EXECUTABLES


def test_the_installation_is_complete(installation: Installation) -> None:
    share = files(installation.share)
    assert share >= {
        "package.xml",
        "launch/recon.launch.py",
        "config/recon.yaml",
        "config/recon.rviz",
        "config/foxglove.json",
    }
    assert (installation.prefix / "share/ament_index/resource_index/packages/mono_depth_recon").is_file()
    source = ROOT / "mono_depth_recon"
    kinds = (".py", ".typed", ".json", ".onnx", ".safetensors", ".j2", ".css", ".js")
    expected = {name for name in files(source) if name.endswith(kinds)}
    assert package_files(installation) == expected


def test_only_the_package_is_installed_for_import(installation: Installation) -> None:
    found = {path.name for path in installation.site_packages.iterdir() if not path.name.endswith("-info")}
    assert found - {"__pycache__"} == {"mono_depth_recon"}


def test_every_executable_may_be_executed(installation: Installation) -> None:
    for name in EXECUTABLES:
        path = installation.executables / name
        assert path.stat().st_mode & 0o111 == 0o111
        assert path.read_text().startswith("#!/usr/bin/env python3\n")


def test_every_executable_has_its_function(distribution: importlib.metadata.Distribution) -> None:
    targets = {entry.name: entry.value for entry in distribution.entry_points if entry.group == "console_scripts"}
    assert targets.keys() == EXECUTABLES
    for target in targets.values():
        module, function = target.split(":")
        path = ROOT / Path(*module.split("."))
        tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, target


def test_an_executable_runs_from_the_installation(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in installation.env.items():
        monkeypatch.setenv(name, value)
    shown = run_checked([str(installation.executables / "mono-depth-recon"), "--help"], tmp_path)
    assert "reconstruct" in shown
    where = "import mono_depth_recon; print(mono_depth_recon.__file__)"
    imported = run_checked([sys.executable, "-c", where], tmp_path)
    assert imported.startswith(str(installation.site_packages))


def test_pip_puts_the_commands_on_path(pip_installation: Installation) -> None:
    assert {path.name for path in (pip_installation.prefix / "bin").iterdir()} == EXECUTABLES


# package.xml


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def test_package_xml_is_a_valid_manifest_for_ament_python() -> None:
    """Read with catkin_pkg, as colcon does; its warnings are errors here."""
    from catkin_pkg.package import parse_package

    warnings: list[str] = []
    package = parse_package(str(ROOT / "package.xml"), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []
    assert package.package_format == 3
    assert package.get_build_type() == "ament_python"
    assert package.licenses == ["Apache-2.0"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_package_xml_agrees_with_setup(distribution: importlib.metadata.Distribution) -> None:
    metadata = distribution.metadata
    assert manifest().findtext("name") == "mono_depth_recon"
    assert manifest().findtext("version") == metadata["Version"] == mono_depth_recon.__version__
    assert manifest().findtext("description") == metadata["Summary"] + "."
    assert metadata["License"] == manifest().findtext("license")


def test_package_xml_declares_what_the_code_imports_from_ros() -> None:
    declared = {element.text for element in manifest().iter("exec_depend")}
    assert declared >= {"rclpy", "sensor_msgs_py", "cv_bridge", "launch_ros"}
    sources = [*(ROOT / "mono_depth_recon" / "ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    used = {name.split(".")[0] for path in sources for name in imported_names(path)}
    ros = {
        name
        for name in used
        if (
            name.endswith(("_msgs", "_srvs", "_interfaces"))
            or name
            in {
                "rclpy",
                "cv_bridge",
                "sensor_msgs_py",
                "launch",
                "launch_ros",
                "tf2_ros",
                "ament_index_python",
                "message_filters",
            }
        )
    }
    ros -= {"point_cloud_interfaces", "point_cloud_transport_py"}  # points/draco is there where they are installed
    assert ros <= declared, f"package.xml lacks {ros - declared}"
    messages = {name for name in declared if name and name.endswith(("_msgs", "_srvs", "_interfaces"))}
    assert messages <= used, f"package.xml declares {messages - used}, which nothing imports"


def test_package_xml_declares_what_setup_requires(requirements: list[Requirement]) -> None:
    """By its rosdep key, if there is one."""
    required = {canonicalize_name(each.name) for each in requirements if each.marker is None}
    assert required - ROSDEP_KEYS.keys() == {"openvino", "safetensors"}
    declared = {element.text for element in manifest().iter("exec_depend")}
    assert {ROSDEP_KEYS[name] for name in required & ROSDEP_KEYS.keys()} == {
        name for name in declared if name and name.startswith("python3-")
    }


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return names


# The pins


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "only exact pins"
    return {canonicalize_name(name): version for name, version in pins}


def test_the_pins_are_exact_sorted_and_name_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text and "@" not in text
    assert list(constraints()) == sorted(constraints())


def test_every_requirement_is_pinned_within_its_range(
    distribution: importlib.metadata.Distribution, requirements: list[Requirement]
) -> None:
    pins = constraints()
    extras = ("", *(distribution.metadata.get_all("Provides-Extra") or []))
    for requirement in requirements:
        if not wanted_by(requirement, extras):
            continue  # for another platform
        name = canonicalize_name(requirement.name)
        assert name in pins, f"constraints.txt lacks {name}"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is outside of {requirement.specifier}"


def test_the_ranges_admit_ros_2_of_the_distributions(
    distribution: importlib.metadata.Distribution, requirements: list[Requirement]
) -> None:
    """Humble's Python 3.10 and what Ubuntu packages for it; numpy as the apt packages of Jazzy are compiled against."""
    assert distribution.metadata["Requires-Python"] == ">=3.10"
    ranges = {canonicalize_name(each.name): each.specifier for each in requirements if each.marker is None}
    for name, version in PACKAGED.items():
        assert ranges[name].contains(version), f"{name} {version} is outside of {ranges[name]}"


def test_the_demo_needs_no_torch(requirements: list[Requirement]) -> None:
    """Everything that the core, ROS wheels and Open3D pull in, followed through the installed metadata."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    reached: set[str] = set()
    pending = [each for each in requirements if wanted_by(each, ("", "ros", "open3d"))]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in reached:
            continue
        reached.add(name)
        below = importlib.metadata.requires(requirement.name) or []
        pending += [each for each in map(Requirement, below) if wanted_by(each, ("", *requirement.extras))]
    assert {"numpy", "openvino", "ros-rclpy", "open3d-cpu"} <= reached
    assert not reached & {"torch", "torchvision", "timm", "transformers", "segmentation-models-pytorch", "lightning"}


def wanted_by(requirement: Requirement, extras: tuple[str, ...]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def test_every_file_parses_as_python_3_10() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = tracked.split()
    assert paths
    for path in paths:
        ast.parse((ROOT / path).read_text(), filename=path, feature_version=(3, 10))
