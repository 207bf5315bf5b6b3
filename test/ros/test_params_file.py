"""Which sections of a parameter file are for a node: as rcl itself decides."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node

from mono_depth_recon.errors import ConfigError
from mono_depth_recon.ros.node_settings import _made
from mono_depth_recon.ros.params_file import is_for, sections, warning_of

SECTIONS = [
    "/**",
    '"**"',
    '"*"',
    "recon_node",
    "/recon_node",
    "other_node",
    "front/recon_node",
    "/front/recon_node",
    "/*/recon_node",
    "/**/recon_node",
    "/front/*",
    "/front/**",
]


@pytest.mark.parametrize("namespace", ["", "/front", "/a/front"])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_for_a_node_where_rcl_gives_it_its_values(
    ros_domain: int, tmp_path: Path, section: str, namespace: str
) -> None:
    file, context = tmp_path / "mine.yaml", rclpy.Context()
    file.write_text(f"{section}:\n  ros__parameters: {{a: 1}}\n")
    rclpy.init(args=["--ros-args", "--params-file", str(file), "-r", f"__ns:={namespace or '/'}"], context=context)
    try:
        node = rclpy.create_node("recon_node", context=context, automatically_declare_parameters_from_overrides=True)
        got = node.has_parameter("a")
        node.destroy_node()
    finally:
        context.try_shutdown()
    assert is_for(section.strip('"'), f"{namespace}/recon_node") is got
    assert (warning_of(file, f"{namespace}/recon_node") == "") is got


def test_sections_are_found_below_namespaces_and_a_table_may_hold_itself() -> None:
    values = {"ros__parameters": {"a": 1}}
    assert list(sections({"front": {"recon_node": values, "**": values}, "/**": values})) == [
        "/front/recon_node",
        "/front/**",
        "/**",
    ]
    endless: dict[str, object] = {}
    endless["a"] = endless
    assert list(sections(endless)) == [] == list(sections(None)) == list(sections(["a"]))


def test_a_file_without_values_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("recon_node:\n  max_rate: 5.0\n")
    assert warning_of(file, "/recon_node") == (
        f"params file {file} sets nothing for /recon_node: it has no section with 'ros__parameters:'; name the section "
        "'/**:' or '/recon_node:'"
    )
    file.write_text("a: [")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        warning_of(file, "/recon_node")


def test_a_parameter_without_a_type_is_one_line() -> None:
    rclpy.init(args=["--ros-args", "-p", "depth.units:=[]"])
    try:
        with pytest.raises(ConfigError, match=r"a parameter must have a value, got the empty list \[\]"):
            _made(lambda: Node("untyped", automatically_declare_parameters_from_overrides=True))
    finally:
        rclpy.shutdown()
    with pytest.raises(ValueError, match="another"):
        _made(lambda: int("another"))
