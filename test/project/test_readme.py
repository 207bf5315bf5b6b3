"""The README says what the code says: tables and figures are compared with their source."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from processes import ROOT

from mono_depth_recon.cli import main
from mono_depth_recon.config import table_text
from mono_depth_recon.models.table import EMBEDDED

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_parameter_table() -> None:
    assert table_text() in README


def test_figures_of_the_embedded_model() -> None:
    from training.report_card import table

    card = json.loads((EMBEDDED / "unetpp_mobile.json").read_text(encoding="utf-8"))
    assert table(card["figures"]) in README


def test_launch_arguments() -> None:
    source = (ROOT / "launch" / "recon.launch.py").read_text(encoding="utf-8")
    arguments = re.search(r"ARGUMENTS = \{(.*?)\n\}", source, re.DOTALL)
    assert arguments is not None
    for name in re.findall(r'^ +"(\w+)": \(', arguments[1], re.MULTILINE):
        assert f"`{name}`" in README, name


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([\w.]+)", README))))
def test_modules_of_commands_exist(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_commands_of_the_command_line_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for command in set(re.findall(r"mono-depth-recon (\w+)", README)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command


def test_example_of_the_library(tmp_path: Path) -> None:
    """The Python snippet, word for word."""
    import numpy as np

    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet is not None
    names: dict[str, object] = {"rgb": np.full((480, 640, 3), 90, np.uint8)}
    exec(snippet[1], names)
    frame = names["frame"]
    assert frame.depth.shape == (480, 640) and frame.points.shape == (480, 640, 4)  # type: ignore[attr-defined]
