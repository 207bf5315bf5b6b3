"""Places that parameters name are checked when they are set, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.ros.node.settings_check import check_places


def check(**values: object) -> None:
    check_places(with_values(Config(), {name.replace("__", "."): str(value) for name, value in values.items()}))


def test_places_that_can_be_made_pass_and_are_not_made(tmp_path: Path) -> None:
    check(mesh__directory=tmp_path / "new" / "folder", fusion__map_file=tmp_path / "other" / "map.npz")
    check(mesh__directory="", fusion__map_file="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mesh__directory": "file"}, "mesh.directory: cannot make the folder {0}/file: {0}/file is not a folder"),
        (
            {"mesh__directory": "file/new"},
            "mesh.directory: cannot make the folder {0}/file/new: {0}/file is not a folder",
        ),
        ({"mesh__directory": "~norobot/x"}, "'~norobot/x' begins with the home folder of the user 'norobot'"),
        ({"fusion__map_file": "x.npy"}, "fusion.map_file must end in .npz, got 'x.npy'"),
        ({"fusion__map_file": "maps.npz"}, "fusion.map_file must be a file, {0}/maps.npz is a folder"),
        (
            {"fusion__map_file": "file/x.npz"},
            "fusion.map_file: cannot make the folder {0}/file: {0}/file is not a folder",
        ),
        ({"fusion__map_file": "~norobot/x.npz"}, "'~norobot/x.npz' begins with the home folder of the user 'norobot'"),
        ({"fusion__world_frame": "/"}, "fusion.world_frame must be the name of a frame, got '/'"),
    ],
)
def test_other_places_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "maps.npz").mkdir()
    with pytest.raises(ConfigError) as refused:
        check(**values)
    assert str(refused.value).startswith(message.format(tmp_path)) and "\n" not in str(refused.value)
