"""Which files are mutated, and which tests have to notice: of the mirrored folders, those that start no process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Files of the package (patterns) and the tests, all relative to the root of the repository."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = (
    Part("camera", ("mono_depth_recon/camera.py",), ("test/test_camera.py",)),
    Part("alignment", ("mono_depth_recon/alignment.py",), ("test/test_alignment.py",)),
    Part("cloud", ("mono_depth_recon/cloud/*.py",), ("test/cloud",)),
    Part("metrics", ("mono_depth_recon/metrics/*.py",), ("test/metrics",)),
    Part(
        "conversions",
        ("mono_depth_recon/messages.py", "mono_depth_recon/ros/conversions.py"),
        (
            "test/ros/test_conversions.py",
            "test/ros/test_published_messages.py",
            "test/ros/test_compressed_images.py",
            "test/ros/test_compressed_outputs.py",
        ),
    ),
)
