"""The command line on made photos with a model of analytic depth; once the embedded model, in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from encoded import png_of
from floor import INTRINSICS, SIZE, floor_depth, floor_model, photo
from made_onnx import write_moge
from numpy.typing import NDArray
from processes import DEADLINE_S, ROOT

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import _parser, main, reconstruct
from mono_depth_recon.cli.parameters import add_flags, config_of, read_params_file
from mono_depth_recon.config import (
    PARAMETERS,
    Config,
    Parameter,
    Value,
    table_text,
    value_of,
    with_values,
    yaml_text,
)
from mono_depth_recon.errors import ConfigError

__all__ = ["floor_model"]

FAST = ["--mesh.method", "grid"]


def read_cloud(path: Path) -> NDArray[np.float64]:
    import open3d as o3d

    return np.asarray(o3d.io.read_point_cloud(str(path)).points)


@pytest.mark.usefixtures("floor_model")
def test_reconstruct_writes_depth_cloud_mesh_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import open3d as o3d

    images = [photo(tmp_path / "desk.jpg"), photo(tmp_path / "cup.v2.png")]
    out = tmp_path / "made" / "here"
    assert main(["reconstruct", *images, "--output", str(out), *INTRINSICS, *FAST]) == 0
    names = {
        f"{stem}_{ending}"
        for stem in ("desk", "cup.v2")
        for ending in ("depth.png", "depth_plasma.png", "cloud.ply", "mesh.ply", "overview.png")
    }
    assert {path.name for path in out.iterdir()} == names
    camera = PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5)
    stored = cv2.imread(str(out / "desk_depth.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(stored, 1000 * floor_depth(camera), atol=0.51)
    cloud = read_cloud(out / "desk_cloud.ply")
    assert len(cloud) == SIZE[0] * SIZE[1]
    np.testing.assert_allclose(0.7 * cloud[:, 2] + cloud[:, 1], 1.5, atol=1e-5)  # the floor, in metres
    mesh = o3d.io.read_triangle_mesh(str(out / "desk_mesh.ply"))
    assert len(mesh.triangles) == 2 * (SIZE[0] - 1) * (SIZE[1] - 1)
    assert mesh.has_vertex_colors()
    for ending in ("depth_plasma.png", "overview.png"):
        assert cv2.imread(str(out / f"desk_{ending}")).std() > 10, "a picture shows something"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"[1/2] {images[0]}: 160x120, f 150 px, depth ")
    assert lines[1].endswith(f"{out}/cup.v2_*")


@pytest.mark.usefixtures("floor_model")
def test_another_mesh_format_and_views(tmp_path: Path) -> None:
    image = photo(tmp_path / "a.png", (48, 32))
    command = ["reconstruct", image, "--output", str(tmp_path), "--hfov", "60", *FAST, "--views"]
    assert main([*command, "--mesh.format", "glb"]) == 0
    assert (tmp_path / "a_mesh.glb").read_bytes().startswith(b"glTF")
    assert {path.name for path in tmp_path.glob("a_*_view*.png")} == {
        f"a_{kind}_view{number}.png" for kind in ("cloud", "mesh") for number in (1, 2)
    }


def test_a_model_that_estimates_its_camera_is_asked_for_it_where_nothing_else_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The points of the small MoGe are seen at 60 degrees across, so f = 80 / tan(30 degrees) = 139 px."""
    file = write_moge(tmp_path / "moge.onnx")
    model = ["--model.name", "moge_2_small", "--model.checkpoint", str(file), "--model.runtime", "onnxruntime"]
    command = ["reconstruct", photo(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--no-mesh", *model]
    assert main(command) == 0
    assert "160x120, f 139 px as the model estimates it, depth" in capsys.readouterr().out
    assert main([*command, "--hfov", "90"]) == 0
    assert "160x120, f 80 px (guessed: --hfov 90), depth" in capsys.readouterr().out


@pytest.mark.usefixtures("floor_model")
def test_no_mesh(tmp_path: Path) -> None:
    assert main(["reconstruct", photo(tmp_path / "a.png"), "--output", str(tmp_path), "--hfov", "60", "--no-mesh"]) == 0
    assert sorted(path.name for path in tmp_path.glob("a_*")) == [
        "a_cloud.ply",
        "a_depth.png",
        "a_depth_plasma.png",
        "a_overview.png",
    ]


@pytest.mark.usefixtures("floor_model")
def test_a_bad_image_is_one_line_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    images = [str(tmp_path / "gone.jpg"), str(tmp_path / "bad.jpg"), photo(tmp_path / "good.jpg")]
    assert main(["reconstruct", *images, "--output", str(tmp_path), *INTRINSICS, "--no-mesh"]) == 1
    printed = capsys.readouterr()
    gone, bad, summary = printed.err.splitlines()
    assert gone == f"[1/3] error: {images[0]} cannot be read: No such file or directory"
    assert bad.startswith(
        f"[2/3] error: {images[1]} is not an image that can be read (8 bytes): expected a whole JPEG, "
    )
    assert summary == "2 of 3 images failed"
    assert printed.out.startswith("[3/3] ")
    assert (tmp_path / "good_cloud.ply").exists()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(("bad_", "gone_", "."))]


@pytest.mark.usefixtures("floor_model")
def test_without_intrinsics_the_error_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", photo(tmp_path / "a.jpg"), "--output", str(tmp_path)]) == 1
    assert "a.jpg has no EXIF focal length" in (message := capsys.readouterr().err)
    assert "--intrinsics FX FY CX CY or --hfov DEGREES" in message


@pytest.mark.usefixtures("floor_model")
def test_intrinsics_from_exif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", photo(tmp_path / "a.jpg", focal_35mm=26), "--output", str(tmp_path), "--no-mesh"]) == 0
    f = 26 / np.hypot(36, 24) * np.hypot(*SIZE)
    assert f"f {f:.0f} px" in capsys.readouterr().out
    cloud = read_cloud(tmp_path / "a_cloud.ply").reshape(SIZE[1], SIZE[0], 3)
    assert cloud[0, -1, 0] / cloud[0, -1, 2] == pytest.approx(79.5 / f, rel=1e-5)


@pytest.mark.usefixtures("floor_model")
def test_a_large_photo_is_made_smaller_with_its_camera(tmp_path: Path) -> None:
    image = photo(tmp_path / "large.png", (1600, 1200))
    intrinsics = ["--intrinsics", "1500", "1500", "799.5", "599.5"]
    command = ["reconstruct", image, "--output", str(tmp_path), "--no-mesh", *intrinsics]
    assert main([*command, "--max-side", "160"]) == 0
    cloud = read_cloud(tmp_path / "large_cloud.ply")
    assert len(cloud) == 160 * 120
    assert np.abs(cloud[:, 0] / cloud[:, 2]).max() == pytest.approx(79.5 / 150, rel=1e-5)
    assert main([*command, "--max-side", "0", "--cloud.stride", "4"]) == 0
    assert len(read_cloud(tmp_path / "large_cloud.ply")) == 400 * 300
    assert cv2.imread(str(tmp_path / "large_depth.png"), cv2.IMREAD_UNCHANGED).shape == (1200, 1600)


@pytest.mark.usefixtures("floor_model")
def test_distortion_takes_negative_numbers_in_any_notation(tmp_path: Path) -> None:
    image = photo(tmp_path / "a.png")
    assert (
        main(
            [
                "reconstruct",
                image,
                "--output",
                str(tmp_path),
                *INTRINSICS,
                "--no-mesh",
                "--distortion",
                "3e-1",
                "-.01",
                "-2e-4",
                "0",
                "--distortion-model",
                "plumb_bob",
            ]
        )
        == 0
    )
    depth = cv2.imread(str(tmp_path / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    valid = PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5, (0.3, -0.01, -2e-4, 0)).rectified_valid
    assert valid is not None
    np.testing.assert_array_equal(depth > 0, valid)


@pytest.mark.usefixtures("floor_model")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hfov", "60", "--distortion", "0.1", "0", "0", "0"], "--distortion belongs to calibrated intrinsics"),
        ([*INTRINSICS, "--distortion", "0.1", "0", "0"], "plumb_bob takes 4 or 5 coefficients, got 3"),
        (
            ["--intrinsics", "500", "500", "320", "240"],
            r"principal point in the image, got (320, 240) for 160x120 pixels",
        ),
        (["--intrinsics", "0", "500", "80", "60"], "focal lengths in K must be positive"),
        (["--hfov", "200"], "horizontal field of view must be 1 to 170 degrees, got 200"),
        (["--hfov", "60", "--max-side", "5"], "--max-side must be 0 or at least 32 pixels, got 5"),
        (["--hfov", "60", "--filter.min_range", "20"], "filter.min_range (20 m) must be below filter.max_range (10 m)"),
        (["--hfov", "60", "--filter.max_range", "0.5"], "expected a frame with valid depth"),
        (
            ["--hfov", "60", "--model.name", "sketch"],
            "model sketch gives relative disparity, which has no metres: set ",
        ),
        (
            ["--hfov", "60", "--model.name", "sketch", "--reference", "gone.png"],
            "gone.png cannot be read: No such file",
        ),
        (
            ["--hfov", "60", "--scale.source", "fixed"],
            "scale.source=fixed is for models of relative disparity, unetpp_l",
        ),
        (["--hfov", "60", "--reference", "a.png"], "scale.source=reference is for models of relative disparity, unet"),
        (
            ["--hfov", "60", "--scale.source", "reference"],
            "needs depth to fit on: give --reference FILE for each image",
        ),
        (["--hfov", "60", "--scale.source", "fixed", "--reference", "a.png"], "leave one of them out"),
        (["--hfov", "60", "--reference", "a.png", "--reference", "b.png"], "in their order: got 2 for 1 images"),
        (["--hfov", "60", "--reference", "a.png", "--reference-per-metre", "0"], "must be positive, got 0"),
        (
            ["--hfov", "60", "--filter.max_sigma", "0.1"],
            "filter.max_sigma needs sigma, model floor gives none: set model.",
        ),
        (
            ["--hfov", "60", "--filter.min_confidence", "0.1"],
            "filter.min_confidence needs confidence, model floor gives none: leave it at 0",
        ),
        (["--hfov", "60", "--params-file", "gone.yaml"], "parameter file gone.yaml cannot be read"),
    ],
)
def test_wrong_values_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["reconstruct", photo(tmp_path / "a.png"), "--output", str(tmp_path / "out"), *flags]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("1 of 1")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.usefixtures("floor_model")
def test_intrinsics_hold_for_one_size_of_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [photo(tmp_path / "a.png"), photo(tmp_path / "b.png", (320, 240))]
    assert main(["reconstruct", *images, "--output", str(tmp_path), *INTRINSICS, "--no-mesh"]) == 1
    assert "b.png: --intrinsics belong to one size of image, got 320x240 after 160x120" in capsys.readouterr().err


@pytest.mark.usefixtures("floor_model")
def test_a_mask_of_another_size_names_image_and_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [photo(tmp_path / "a.png"), "--camera.mask", photo(tmp_path / "mask.png", (20, 10))]
    assert main(["reconstruct", *images, "--output", str(tmp_path), *INTRINSICS]) == 1
    assert f"{images[0]}: camera.mask is 20x10, the image is 160x120" in capsys.readouterr().err


@pytest.mark.usefixtures("floor_model")
@pytest.mark.parametrize(
    ("side", "limit", "message"),
    [
        (7000, [], "a.png is not an image that can be read"),  # 49 megapixels, more than a node takes
        (11000, [], "11000x11000 pixels, more than 100 megapixels"),
        (7000, ["--camera.max_megapixels", "40"], "7000x7000 pixels, more than 40 megapixels"),
    ],
)
def test_photos_may_be_larger_than_images_of_a_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: int, limit: list[str], message: str
) -> None:
    assert Config().camera.max_megapixels == 36
    (tmp_path / "a.png").write_bytes(png_of(side, side)[:-20])
    assert main(["reconstruct", str(tmp_path / "a.png"), "--output", str(tmp_path), *INTRINSICS, *limit]) == 1
    assert message in capsys.readouterr().err


def test_two_images_of_one_name_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["reconstruct", "a/x.jpg", "b/x.png", "--output", str(out), "--hfov", "60"]) == 1
    assert "several are called 'x': rename them" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("later", ["a_depth.png", "a_mesh.ply", "a_cloud_view2.png"])
def test_an_output_that_would_replace_an_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], later: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / later).write_text("an input")
    for more in ([later], ["--points", later]):
        assert main(["reconstruct", "a.png", *more, "--hfov", "60", "--output", "."]) == 1
        said = capsys.readouterr().err
        assert f"{later} would be replaced by what is made of a.png: give another --output" in said
    assert (tmp_path / later).read_text() == "an input"


@pytest.mark.parametrize("command", [["parameters", "--yaml"], ["models"]])
def test_a_full_stdout_is_one_line(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mono_depth_recon.cli", *command], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == (
        "mono-depth-recon: error: standard output cannot be written (No space left on device): free some space, or "
        "send it elsewhere\n"
    )


def test_an_output_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["reconstruct", "a.jpg", "--output", str(tmp_path / "file" / "out"), "--hfov", "60"]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("mono_depth_recon.cli.parameters.yaml_text", interrupted)
    monkeypatch.setattr("mono_depth_recon.cli.parameters.table_text", interrupted)
    assert main(["parameters", "--table"]) == 130
    assert capsys.readouterr().err == "mono-depth-recon: stopped\n"


def test_the_second_ctrl_c_ends_the_process_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of a library that does not return keeps Python from seeing the first: here it is seen and ignored."""
    ended: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr("os._exit", ended.put)

    def deaf() -> str:
        for _ in range(2):
            with contextlib.suppress(KeyboardInterrupt):
                assert ended.empty(), "the first must not end it"
                signal.raise_signal(signal.SIGINT)
        assert ended.get(timeout=DEADLINE_S) == 130
        return ""

    monkeypatch.setattr("mono_depth_recon.cli.parameters.table_text", deaf)
    assert main(["parameters", "--table"]) == 0
    assert signal.set_wakeup_fd(-1) == -1


def test_sigterm_ends_a_command_as_an_exception_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command holds is given back: here a temporary folder."""
    before, folders = signal.getsignal(signal.SIGTERM), list[Path]()

    def stopped() -> str:
        with tempfile.TemporaryDirectory() as folder:
            folders.append(Path(folder))
            os.kill(os.getpid(), signal.SIGTERM)
            return ""

    monkeypatch.setattr("mono_depth_recon.cli.parameters.table_text", stopped)
    with pytest.raises(SystemExit) as ended:
        main(["parameters", "--table"])
    assert ended.value.code == 143 and not folders[0].exists()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["reconstruct", "a.jpg", "--mesh.method", "gird"], "must be one of poisson, grid, ball_pivoting, got 'gird'"),
        (["reconstruct", "a.jpg", "--mesh.poisson_depth", "12"], "mesh.poisson_depth must be 4 to 11, got 12"),
        (["reconstruct", "a.jpg", "--mesh.poisson_depth", "x"], "invalid int value: 'x'"),
        (["reconstruct", "a.jpg", "--filter.max_range", "nan"], "filter.max_range must be 0.01 to 1000 m, got nan"),
        (["reconstruct", "a.jpg", "--qos.publish", "reliable"], "unrecognized arguments: --qos.publish"),
        (["reconstruct", "a.jpg", "--intrinsics", "1", "1", "1", "1", "--hfov", "60"], "not allowed with argument"),
        (["reconstruct"], "the following arguments are required: IMAGE"),
        (["benchmark", "--only", "nothing"], "invalid choice: 'nothing'"),
        (["evaluat"], "invalid choice: 'evaluat'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_ends_with_status_2(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1 and text.endswith("--help)\n")


def parse(*flags: str) -> Config:
    import argparse

    parser = argparse.ArgumentParser()
    add_flags(parser, PARAMETERS)
    return config_of(parser.parse_args(flags))


_CHECKED_TEXTS = {"fusion.map_file": "map.npz", "scale.extrinsic": "0 0 0 0 0 0 1"}


def another_value(row: Parameter) -> Value:
    if isinstance(row.default, bool):
        return not row.default
    if row.name in _CHECKED_TEXTS:
        return _CHECKED_TEXTS[row.name]
    if isinstance(row.default, str) or row.low is None or row.high is None:
        return row.choices[-2] if row.choices[-1:] == (row.default,) else row.choices[-1] if row.choices else "text"
    end = row.low if row.default > row.low else row.high
    return row.type((row.default + end) / 2)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_can_be_a_flag(name: str) -> None:
    row = PARAMETERS[name]
    other = another_value(row)
    # ply has no textures
    pairs = {"mesh.texture": ["--mesh.format", "obj"], "safe.max_height": ["--safe.min_height", "-500"]}
    needed = pairs.get(name, [])
    changed = parse(f"--{name}", str(other).lower() if row.type is bool else str(other), *needed)
    assert value_of(changed, name) == other != row.default
    assert with_values(changed, {name: row.default}) == parse(*needed) and parse() == Config()


def test_a_bool_flag_is_true_or_false() -> None:
    with pytest.raises(SystemExit):
        parse("--autostart", "maybe")


def test_flags_win_over_the_parameter_file(tmp_path: Path) -> None:
    path = tmp_path / "recon.yaml"
    path.write_text("""
        /**: {ros__parameters: {use_sim_time: true, mesh: {method: grid, poisson_depth: 9}}}
        /robot/recon_node: {ros__parameters: {filter.max_range: 5, qos_overrides: {/tf: {depth: 3}}}}
        other_node: {ros__parameters: {foo: 1}}""")
    config = parse("--params-file", str(path), "--mesh.poisson_depth", "7")
    assert (config.mesh.method, config.mesh.poisson_depth, config.filter.max_range) == ("grid", 7, 5.0)
    assert read_params_file(ROOT / "config" / "recon.yaml") == {name: row.default for name, row in PARAMETERS.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have parameters below '/\\*\\*:' or 'recon_node:'"),
        ("other: {ros__parameters: {a: 1}}", "must have parameters below"),
        ("/**: {ros__parameters: }", "'ros__parameters' must hold names and values, got None"),
        ("/**: [1]", "'ros__parameters' must hold names and values"),
        ("/**: {", "must be YAML, line 1: expected the node content"),
        ("/**: {ros__parameters: {mesh: {metod: grid}}}", "unknown parameter 'mesh.metod'; did you mean 'mesh.method'"),
        ("/**: {ros__parameters: &all {mesh: *all}}", "unknown parameter 'mesh.mesh.mesh"),
        ("/**: {ros__parameters: {max_rate: []}}", r"max_rate must be of type float, got \[\]"),
        (
            f"/**: {{ros__parameters: {{max_rate: {10**400}}}}}",
            "max_rate must be 0 to 1000 Hz, got a whole number of ab",
        ),
        ("[" * 5000, "must be YAML, got one that is nested too deeply"),
        ("/**: {ros__parameters: {mesh: {poisson_depth: deep}}}", "mesh.poisson_depth must be of type int, got 'deep'"),
    ],
)
def test_a_wrong_parameter_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recon.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"parameter file {path}.* {message}") as raised:
        parse("--params-file", str(path))
    assert "\n" not in str(raised.value)


def test_parameters_prints_the_file_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, text in (([], yaml_text()), (["--yaml"], yaml_text()), (["--table"], table_text())):
        assert main(["parameters", *flags]) == 0
        assert capsys.readouterr().out == text


def test_models_prints_name_output_licence_size_and_where_the_weights_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mono_depth_recon.models import MODELS

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "output", "licence", "size", "weights"]
    for line, spec in zip(lines[1:], MODELS.values(), strict=False):
        assert line.startswith(spec.name)
        assert spec.licence in line
        assert spec.output in line
        assert line.endswith("not cached") == (spec.hub is not None)
        assert (" ! " in line) == spec.noncommercial
    assert f"{Config().model.name} *" in "\n".join(lines)
    assert main(["models", "--verbose"]) == 0
    text = capsys.readouterr().out
    assert all(spec.focal in text and spec.source in text for spec in MODELS.values())


@pytest.mark.parametrize("command", [[], ["reconstruct"], ["models"], ["parameters"], ["benchmark"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "usage: mono-depth-recon" in text
    if command == ["reconstruct"]:
        assert all(f"--{name}" in text for name in reconstruct.PARAMETER_FLAGS)


@pytest.mark.slow
def test_the_embedded_model_in_a_fresh_process_without_torch_and_ros(tmp_path: Path) -> None:
    """What the demo installs is enough: importing anything else fails in this process."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'rclpy', 'matplotlib', 'trimesh'))); "
        "from mono_depth_recon.cli import main; sys.exit(main())"
    )
    image = photo(tmp_path / "a.jpg", (320, 240), focal_35mm=30)
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "reconstruct",
            image,
            "--output",
            str(tmp_path),
            *FAST,
            "--filter.edge_threshold",
            "0",
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(list(tmp_path.glob("a_*"))) == 5
    depth = cv2.imread(str(tmp_path / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (240, 320)
    assert (depth > 0).mean() > 0.2


def test_the_module_runs_as_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mono_depth_recon.cli", "--version"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
        cwd=ROOT,
    )
    assert result.stdout.startswith("mono-depth-recon ")


def numeric_flags() -> Iterator[tuple[str, Callable[[str], object]]]:
    """Every flag of every command that takes a float, with its reader."""
    (commands,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    for command, parser in commands.choices.items():
        for action in parser._actions:
            if action.type is float or getattr(action.type, "__name__", "") == "float":
                yield f"{command} {action.option_strings}", action.type


def test_no_flag_takes_what_is_no_finite_number() -> None:
    flags = dict(numeric_flags())
    assert len(flags) > 80
    assert {"costmap ['--floor']", "scale ['--floor']", "evaluate ['--max-difference']"} < flags.keys()
    for name, read in flags.items():
        for text in ("nan", "inf", "-inf", "1e999"):
            with pytest.raises(argparse.ArgumentTypeError, match=r"must be .*, got (nan|-?inf)"):
                pytest.fail(f"{name} takes {text}: {read(text)}")


def test_a_number_that_is_refused_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, text, expected in (
        ("--floor", "nan", "argument --floor: value must be -10000 to 10000, got nan"),
        ("--depth-factor", "inf", "argument --depth-factor: value must be a finite number, got inf"),
        ("--resolution", "wide", "argument --resolution: invalid float value: 'wide'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["costmap", "room:1:2", flag, text])
        assert stopped.value.code == 2
        assert f"{expected} (see " in capsys.readouterr().err
