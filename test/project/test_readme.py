"""README, docs and related files agree with the code: tables, figures, commands, links and names."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import ROOT

import mono_depth_recon
from mono_depth_recon.cli import _parser
from mono_depth_recon.config import PARAMETERS, table_text
from mono_depth_recon.models.table import EMBEDDED, MODELS

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES]
README_BYTES = 8192
TABLE_MARK = "<!-- mono-depth-recon parameters --table -->\n"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


README, NODE = text_of(ROOT / "README.md"), text_of(DOCS / "node.md")
ALL = "\n".join(text_of(path) for path in TEXTS)


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no heading '{heading}'"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The code-formatted names in the first column of all tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def commands(text: str) -> Iterator[str]:
    """Every line of the shell blocks without its comment, and all inline code; continued lines are joined."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from (line.split(" #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose))


COMMANDS = sorted({command for path in TEXTS for command in commands(text_of(path))})


def flags(command: str) -> list[str]:
    return re.findall(r"(?<=\s)--[\w.-]+", command)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The commands of mono-depth-recon."""
    action = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


# README


def test_readme_is_short() -> None:
    assert len(README.encode()) <= README_BYTES


def test_readme_shows_topics_in_six_rows() -> None:
    table = README.split("| topic | type | |\n")[1].split("\n\n")[0]
    assert table.count("\n") == 6  # the line below the heading, and six rows
    assert set(first_cells(table)) <= set(first_cells(NODE))


def test_readme_lists_all_commands_and_executables() -> None:
    listed = first_cells(section(README, "## Commands"))
    own = [name.split()[1] for name in listed if name.startswith("mono-depth-recon")]
    assert own == [name for name in dict.fromkeys(own) if name in parsers()]
    assert set(own) == set(parsers())
    executables = re.search(r"^EXECUTABLES = (\{.*?^\})", text_of(ROOT / "setup.py"), re.MULTILINE | re.DOTALL)
    assert executables is not None
    assert {name for name in listed if " " not in name} == set(ast.literal_eval(executables[1])) - {"mono-depth-recon"}


def test_readme_and_the_site_list_all_pages() -> None:
    site = yaml.safe_load(text_of(ROOT / "mkdocs.yml"))
    pages = [page for group in site["nav"] for entry in group.values() for page in named(entry)]
    assert sorted(pages) == [path.name for path in PAGES]
    for page in set(pages) - {"index.md"}:
        assert f"](docs/{page})" in section(README, "## Documents"), page


def named(entry: Any) -> Iterator[str]:
    """The pages of an entry of the site's navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        yield from (page for each in entry for page in each.values())


def test_figures_of_the_embedded_model() -> None:
    from training.report_card import table

    figures = json.loads(text_of(EMBEDDED / "unetpp_lite.json"))["figures"]
    rendered = table(figures)
    assert rendered in text_of(DOCS / "models.md")
    for place in ("freiburg1", "freiburg3", "NYU"):
        own, constant = (
            row.split(" | ")
            for row in rendered.split("\n\n")[0].splitlines()[2:]
            if place in row and "none" in row and "map" not in row
        )
        row = f"| {own[3]} | {own[5]} | {constant[3]} / {constant[5]} |"
        assert row in README, row


def test_models_by_name_exist() -> None:
    names = re.findall(r"`((?:unetpp|midas|depth_anything|glpn|zoedepth)_\w+|depth_pro)`", ALL)
    assert set(names) <= set(MODELS) and len(set(names)) > 5
    recommended = re.findall(
        r"`(\w+)`", README.split("choose another model with `model.name`:")[1].split("They need")[0]
    )
    assert len(recommended) >= 3 and not [name for name in recommended if MODELS[name].noncommercial]


# The node


def test_parameter_table() -> None:
    assert NODE.split(TABLE_MARK)[1] == table_text(), "put the output of `mono-depth-recon parameters --table` there"


def test_launch_arguments() -> None:
    """Those that commands use are in the table, which test_launch compares with the launch file."""
    rows = re.findall(r"^\| (`.*?) \|", section(NODE, "## Launch"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    used = {name for line in COMMANDS if "recon.launch.py" in line for name in re.findall(r"(\w+):=", line)}
    assert len(used) > 4 and used <= documented


def test_published_topics() -> None:
    source = text_of(ROOT / "mono_depth_recon" / "ros" / "publications.py")
    published = set(re.findall(r'create_lifecycle_publisher\(\s*\w+, "([\w/]+)"', source))
    assert set(re.findall(r"^\| (`.*?) \|", section(NODE, "## Published topics"), re.MULTILINE)) and len(published) > 8
    assert set(first_cells(section(NODE, "## Published topics"))) == published | {"/diagnostics"}


def test_subscribed_topics_and_services() -> None:
    folders = [ROOT / "mono_depth_recon" / "ros", ROOT / "mono_depth_recon" / "scale"]
    sources = "".join(text_of(path) for folder in folders for path in sorted(folder.rglob("*.py")))
    services = first_cells(section(NODE, "## Services"))
    assert {"save_mesh", "save_cloud"} < set(services)
    assert set(re.findall(r'"((?:save|load|reset)_\w+)": ', sources)) == set(services)
    for topic in first_cells(section(NODE, "## Subscribed topics")):
        assert f'"{topic.partition("/")[0]}"' in sources, topic


def test_parameters_by_name_exist() -> None:
    """In the text, and in `-p name:=value` and `--name` of commands."""
    groups = {name.split(".")[0] for name in PARAMETERS if "." in name}
    named = set(re.findall(rf"`((?:{'|'.join(groups)})\.\w+)[:` ]", ALL)) - {"model.predict"}
    own = [line for line in COMMANDS if "mono_depth_recon" in line or not line.startswith("ros2 run ")]
    given = {name for line in own for name in re.findall(r"-p (\w[\w.]*):=", line)}
    data_files = {name for name in named if name.rpartition(".")[2] in ("py", "md", "txt", "yaml", "backbone_lr")}
    assert len(named) > 40 and len(given) > 2
    assert not (named | given) - data_files - set(PARAMETERS)


# Commands


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.search(r"mono-depth-recon \w", line)])
def test_flags_of_the_command_line_exist(line: str) -> None:
    for part in line.split("mono-depth-recon ")[1:]:
        name = part.split()[0]
        if name.isupper():
            continue
        known = set(parsers()[name]._option_string_actions)
        assert not [flag for flag in flags(part) if flag not in known], name


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.search(r"-m training\.\w", line)])
def test_flags_of_training_exist(line: str) -> None:
    module = re.findall(r"-m (training\.\w+)", line)[-1]
    if module == "training.X":
        return
    assert importlib.util.find_spec(module) is not None
    sources = text_of(ROOT / f"{module.replace('.', '/')}.py") + text_of(ROOT / "training" / "command.py")
    for flag in flags(line.rpartition(module)[2]):
        assert f'"{flag}"' in sources, flag


def test_flags_of_cameras_exist() -> None:
    """`replay` and `rooms_camera` by their settings."""
    sources = {name: text_of(ROOT / "mono_depth_recon" / "ros" / "cameras" / f"{name}.py") for name in CAMERAS}
    used = [(name, flag) for line in COMMANDS for name in CAMERAS if line.split(" ")[0] == name for flag in flags(line)]
    used += [
        (name, flag) for item in camera_items() for name in CAMERAS if f"`{name}" in item for flag in flag_codes(item)
    ]
    assert len(used) > 10
    for name, flag in used:
        if flag != "--ros-args":
            assert f"    {flag[2:].replace('-', '_')}: " in sources[name], (name, flag)


CAMERAS = ("replay", "rooms_camera")


def camera_items() -> list[str]:
    return re.split(r"^- ", section(NODE, "## Cameras without a camera"), flags=re.MULTILINE)


def flag_codes(text: str) -> list[str]:
    return re.findall(r"`(--[\w-]+)", text)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    used = {found[1] for line in COMMANDS if (found := re.match(r"make ([a-z]+)", line))}
    assert len(used) > 3 and used <= targets, used - targets


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "api.md"], ids=["README", "api"])
def test_example_of_the_library(path: Path) -> None:
    """The Python snippet, word for word."""
    import numpy as np

    snippet = re.search(r"```python\n(.*?)```", text_of(path), re.DOTALL)
    assert snippet is not None
    names: dict[str, Any] = {"rgb": np.full((480, 640, 3), 90, np.uint8)}
    exec(snippet[1], names)
    frame = names["frame"]
    assert frame.depth.shape == (480, 640) and frame.points.shape == (480, 640, 4)


# Links and names


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    """Also on the site, which contains only the folder docs."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.is_file(), target
        assert path.parent != DOCS or linked.parent == DOCS, f"{target} is not on the site"
        assert not anchor or anchor in anchors(linked), target


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_picture_is_shown() -> None:
    shown = {Path(target).name for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", ALL)}
    assert {path.name for path in DOCS.glob("*.png")} == shown


def test_files_by_name_exist() -> None:
    """Paths of this repository in commands and code; modules also by their path within the package."""
    words = {word.partition("::")[0].strip("'\"(),;") for line in COMMANDS for word in line.split()}
    folders = "mono_depth_recon|training|test|docs|config|launch|tools"
    named = {word for word in words if re.match(rf"(?:{folders})/|[\w/]+\.py$", word)}
    assert len(named) > 40
    inside = {name for name in named if list((ROOT / "mono_depth_recon").rglob(name))}
    assert not sorted(name for name in named - inside if not list(ROOT.glob(name.rstrip("/"))))


def test_modules_by_name_exist() -> None:
    for module in set(re.findall(r"::: ([\w.]+)", text_of(DOCS / "api.md"))):
        assert importlib.util.find_spec(module) is not None, module


def test_architecture_has_the_layers_and_folders_of_the_code() -> None:
    text = text_of(DOCS / "architecture.md")
    source = re.search(r"^LAYERS = (\(.*?^\))", text_of(ROOT / "test/project/test_architecture.py"), re.M | re.S)
    assert source is not None
    layers = ast.literal_eval(source[1])
    for number, layer in enumerate(layers, 1):
        row = re.search(rf"^\| {number} \| (.*) \|$", text, re.MULTILINE)
        assert row is not None and sorted(re.findall(r"`(\w+)`", row[1])) == sorted(layer), layer
    folders = [name.rstrip("/") for name in first_cells(section(text, "## Folders and layers").split("\n\nImports")[0])]
    assert sorted(folders) == sorted(name for layer in layers for name in layer)


# The files around


def test_changelog_is_of_this_version() -> None:
    """As bloom reads it."""
    changelog = pytest.importorskip("catkin_pkg.changelog").get_changelog_from_path(str(ROOT / "CHANGELOG.rst"))
    released = [(version, date) for version, date, content in changelog.foreach_version() if content]
    assert released and released[0][0] == mono_depth_recon.__version__ and released[0][1] is not None


def test_citation_is_of_this_version() -> None:
    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["title"] == "mono_depth_recon"
    assert citation["version"] == mono_depth_recon.__version__ and citation["license"] == "Apache-2.0"
    assert citation["authors"] and all(each["title"] and each["authors"] for each in citation["references"])
