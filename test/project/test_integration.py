"""The configurations of consumers in docs/integration.md: topics that are published, parameters that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from processes import ROOT

from mono_depth_recon.config import Config, SafeConfig, parameter, with_values

TEXT = (ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
SOURCE = (ROOT / "mono_depth_recon" / "ros" / "publications.py").read_text(encoding="utf-8")
TYPES = {
    f"/{topic}": kind for kind, topic in re.findall(r'create_lifecycle_publisher\(\s*(\w+), "([\w/]+)"', SOURCE)
} | {"/diagnostics": "DiagnosticArray", "/points/draco": "CompressedPointCloud2"}
YAML = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]
LAYERS = [layer for block in YAML for layer in block.values() if "observation_sources" in layer]
CONSUMERS = ("rtabmap_launch", "nvblox_ros", "octomap_server", "depthimage_to_laserscan", "depth_image_proc")


def commands() -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        yield from (line.split(" #")[0] for line in block.replace("\\\n", " ").splitlines())


def sources(layer: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer[name] for name in layer["observation_sources"].split()]


@pytest.mark.parametrize("package", [*CONSUMERS, "image_transport"])
def test_topics_given_to_consumers_are_published(package: str) -> None:
    """Also of the type that the name on the other side implies."""
    lines = [line for line in commands() if f"ros2 run {package} " in line or f"ros2 launch {package} " in line]
    given = [pair for line in lines for pair in re.findall(r"([\w/]+):=(/[\w/]+)", line)]
    given = [(name, topic) for name, topic in given if name != "out"]
    assert lines and given
    for name, topic in given:
        assert topic in TYPES, topic
        kind = "CameraInfo" if "camera_info" in name else "PointCloud2" if "cloud" in name else "Image"
        assert TYPES[topic] == (f"Compressed{kind}" if name.startswith("in/") else kind), (name, topic)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer["plugin"]))
def test_costmap_layers_mark_and_clear_by_topics_that_are_published(layer: dict[str, Any]) -> None:
    for source in sources(layer):
        assert TYPES[source["topic"]] == source["data_type"]
    assert any(source["marking"] for source in sources(layer)) and any(source["clearing"] for source in sources(layer))
    for source in sources(layer):
        lowest = source.get("min_obstacle_height", 0.0)
        assert lowest > 0 or not source["marking"] or source["data_type"] == "LaserScan", "it would mark the ground"


def test_a_flattened_ground_clears_and_does_not_mark() -> None:
    (voxel,) = (layer for layer in LAYERS if layer["plugin"].endswith(":VoxelLayer"))
    ground = SafeConfig().ground_height
    for source in sources(voxel):
        kept = source["min_obstacle_height"] <= ground <= source["max_obstacle_height"]
        assert (kept and source["clearing"]) != source["marking"]


def test_parameters_of_the_node_are_valid() -> None:
    own = [block["/recon_node"]["ros__parameters"] for block in YAML if "/recon_node" in block]
    assert len(own) > 2
    for groups in own:
        values = {f"{group}.{name}": value for group, fields in groups.items() for name, value in fields.items()}
        assert with_values(Config(), values) != Config()


def test_every_row_of_the_table_has_published_topics_and_valid_parameters() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)[2:]
    assert len(rows) > 8
    for _, topics, settings in rows:
        assert all(f"/{name}" in TYPES for name in re.findall(r"`([\w/]+)`", topics)), topics
        for name, value in re.findall(r"`(\w+\.\w+)(?:: (\w+))?`", settings):
            assert not value or parameter(name).check(value) == value
            assert parameter(name).name == name


def test_the_foxglove_layout_shows_published_topics() -> None:
    layout = json.loads((ROOT / "config" / "foxglove.json").read_text(encoding="utf-8"))

    def panels(part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        else:
            yield from panels(part["first"])
            yield from panels(part["second"])

    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    text = json.dumps(layout["configById"])
    shown = set(re.findall(r'"(/[\w/]+)"', text))
    assert len(shown) > 6 and shown <= set(TYPES)
