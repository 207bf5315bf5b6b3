"""Everything that workflows, templates, hooks and markers name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markers import MARKERS
from processes import ROOT, run_checked

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    return content


def commands(path: Path) -> str:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_the_makefile_has_and_ends(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([\w-]+)", commands(path))) <= set(targets)
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in content["jobs"].values())


def test_every_python_and_distribution_is_tried() -> None:
    assert workflow("ci")["jobs"]["pip"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    distributions = workflow("colcon")["jobs"]["colcon"]["strategy"]["matrix"]["distribution"]
    assert distributions == ["humble", "jazzy", "kilted", "lyrical", "rolling"]
    assert "soak" in workflow("nightly")["jobs"]["run"]["strategy"]["matrix"]["target"]


def test_the_hooks_of_pre_commit_are_those_of_the_environment() -> None:
    clientlib = pytest.importorskip("pre_commit.clientlib")
    config = clientlib.load_config(str(ROOT / ".pre-commit-config.yaml"))
    (local,) = (repo for repo in config["repos"] if repo["repo"] == "local")
    linters = run_checked(["make", "--dry-run", "lint"], ROOT)
    for hook in local["hooks"]:
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/") and program in linters, hook["id"]


def test_every_marker_is_of_a_file_or_folder_and_is_registered(pytestconfig: pytest.Config) -> None:
    registered = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    for place, marker in MARKERS.items():
        assert (ROOT / "test" / place).exists(), place
        assert marker in registered, marker
