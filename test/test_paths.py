"""Home folders in paths, and the one place that expands them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from processes import ROOT

from mono_depth_recon.atomic import write_atomically
from mono_depth_recon.body_mask import load_mask
from mono_depth_recon.cli import main
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.errors import ConfigError, DataError, ModelError
from mono_depth_recon.evaluation.predictions import read_kept
from mono_depth_recon.models import hub
from mono_depth_recon.models.runtimes import cache
from mono_depth_recon.models.safetensors_file import check_safetensors
from mono_depth_recon.paths import expanded, user_cache
from mono_depth_recon.photo import read_exif, read_photo
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.text import read_text
from mono_depth_recon.workers.snapshot import snapshot_folder

USER = "norobot"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry and without HOME, as in a container with a user number of its own."""

    def unknown(_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "ROS_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_home_folders_are_expanded_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    root = pwd.getpwuid(0)
    assert expanded("~/a/b") == Path("/home/robot/a/b")
    assert expanded(f"~{root.pw_name}/a") == Path(root.pw_dir) / "a"
    assert [expanded(text) for text in ("", "a~", "/a/~/b")] == [Path(), Path("a~"), Path("/a/~/b")]


def test_a_user_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        expanded(f"~{USER}/x")
    assert str(error.value) == (
        "'~norobot/x' begins with the home folder of the user 'norobot', which does not exist: give the path without ~"
    )


@pytest.mark.usefixtures("homeless")
def test_without_a_home_every_place_that_needs_one_is_one_line() -> None:
    config = Config()
    for ask in (
        lambda: expanded("~/x"),
        user_cache,
        hub.cache_folder,
        cache.cache_folder,
        lambda: snapshot_folder(config.mesh),
        lambda: load_mask("~/mask.png"),
    ):
        with pytest.raises(ConfigError, match=r"HOME is not set\): give the path without ~, or set HOME$"):
            ask()
    assert not Path("~").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"camera.mask": f"~{USER}/m.png"},
        {"model.checkpoint": f"~{USER}/c.json"},
        {"model.name": f"hf:~{USER}/m", "model.output": "metric_depth"},
    ],
)
def test_parameters_with_an_unknown_user_are_one_line(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="the user 'norobot', which does not exist"):
        DepthReconstructor.from_config(with_values(Config(), values))


def test_only_one_file_expands_home_folders() -> None:
    files = [path for folder in ("mono_depth_recon", "training") for path in (ROOT / folder).rglob("*.py")]
    words = ("expanduser", "Path.home", "user_cache_path")
    found = {str(path.relative_to(ROOT)) for path in files if any(word in path.read_text("utf-8") for word in words)}
    assert found == {os.path.join("mono_depth_recon", "paths.py")}


def test_pipes_are_not_opened_as_files(tmp_path: Path) -> None:
    pipe = tmp_path / "image.png"
    os.mkfifo(pipe)  # nobody writes: to open it would wait forever
    for read in (read_photo, read_exif):
        with pytest.raises(DataError, match="image.png cannot be read: expected a regular file, got a device, pipe"):
            read(pipe)
    with pytest.raises(OSError, match="expected a regular file"):
        read_text(pipe)
    with pytest.raises(DataError, match="image.png is no recording or other data set"):
        open_dataset(pipe)
    with pytest.raises(DataError, match="image.png: expected a kept prediction"):
        read_kept(pipe)
    with pytest.raises(ModelError, match="image.png cannot be read: expected a regular file"):
        check_safetensors(pipe)


def test_names_that_are_too_long_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With every length about the limit: written, or one line; the temporary name is longer than the file's."""
    for length in (200, *range(236, 260), 480):
        path = tmp_path / ("x" * (length - 4) + ".npz")
        try:
            write_atomically(path, [b"1"])
        except DataError as error:
            assert length > 230
            assert str(error).startswith("the name is too long: 'xxx") and f" has {length} bytes" in str(error)
        else:
            assert path.read_bytes() == b"1"
        assert not list(tmp_path.glob(".*"))
    name = str(tmp_path / ("é" * 240))
    for ask in (lambda: expanded(name), lambda: open_dataset(name), lambda: load_mask(name)):
        with pytest.raises(ConfigError, match="^the name is too long: 'é.* has 480 bytes, .*: choose a shorter one$"):
            ask()
    for line in (
        ["fuse", name],
        ["report", name],
        ["evaluate", name, "--output", str(tmp_path / "results")],
        ["export", "--output", name],
    ):
        assert main(line) == 1
        errors = capsys.readouterr().err
        assert errors.startswith("mono-depth-recon: error: the name is too long: 'é") and errors.count("\n") == 1
