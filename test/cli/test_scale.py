"""`reconstruct` with a model of relative disparity: a scale that is given, or fitted to the depth beside the image."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from floor import INTRINSICS, SCALE, SHIFT, SIZE, floor_depth, photo
from numpy.typing import NDArray

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main

RELATIVE = ["--model.name", "sketch", *INTRINSICS, "--no-mesh"]


def stored_depth(path: Path) -> NDArray[np.uint16]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def write_reference(path: Path, per_metre: float = 1000.0) -> str:
    """The floor with a fifth of its pixels wrong and a band without depth, at double resolution."""
    depth = floor_depth(PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5))
    depth = np.repeat(np.repeat(depth, 2, axis=0), 2, axis=1)
    rng = np.random.default_rng(0)
    wrong = rng.random(depth.shape) < 0.2
    depth[wrong] = rng.uniform(0.3, 6.0, int(wrong.sum()))
    depth[60:90] = np.nan
    stored = np.rint(np.nan_to_num(depth * per_metre)).astype(np.uint16) if path.suffix == ".png" else depth
    assert cv2.imwrite(str(path), stored)
    return str(path)


@pytest.mark.usefixtures("floor_model")
def test_a_relative_model_with_a_given_scale(tmp_path: Path) -> None:
    image = photo(tmp_path / "a.png")
    assert (
        main(
            [
                "reconstruct",
                image,
                "--output",
                str(tmp_path),
                *RELATIVE,
                "--scale.source",
                "fixed",
                "--scale.scale",
                str(SCALE),
                "--scale.shift",
                str(SHIFT),
            ]
        )
        == 0
    )
    exact = floor_depth(PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5))
    np.testing.assert_allclose(stored_depth(tmp_path / "a_depth.png"), 1000 * exact, atol=1.5)


@pytest.mark.usefixtures("floor_model")
def test_relative_models_are_fitted_to_the_depth_beside_each_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [photo(tmp_path / f"{name}.png") for name in "abc"]
    references = [
        write_reference(tmp_path / "mm.png"),
        write_reference(tmp_path / "tum.png", 5000.0),
        write_reference(tmp_path / "metres.tiff"),
    ]
    exact = floor_depth(PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5))
    for image, reference, per_metre in zip(images, references, ("1000", "5000", "7"), strict=True):
        assert (
            main(
                [
                    "reconstruct",
                    image,
                    "--output",
                    str(tmp_path),
                    *RELATIVE,
                    "--reference",
                    reference,
                    "--reference-per-metre",
                    per_metre,
                ]
            )
            == 0
        )
        np.testing.assert_allclose(stored_depth(tmp_path / f"{Path(image).stem}_depth.png"), 1000 * exact, rtol=0.01)
        assert re.search(
            r"scale 0\.0(199|2|200)\d* and shift -0\.0\d+ 1/m with (79|80|81) % inliers and a residual of \d %",
            capsys.readouterr().out,
        )


@pytest.mark.usefixtures("floor_model")
def test_a_reference_that_does_not_fit_fails_its_image_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [photo(tmp_path / f"{name}.png") for name in "abc"]
    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), np.full((SIZE[0], SIZE[1]), 1500, np.uint16))
    references = [photo(tmp_path / "colour.png"), str(turned), write_reference(tmp_path / "good.png")]
    given = [word for reference in references for word in ("--reference", reference)]
    assert main(["reconstruct", *images, "--output", str(tmp_path), *RELATIVE, *given]) == 1
    first, second, _ = capsys.readouterr().err.splitlines()
    assert f"a.png: {references[0]}: " in first and "depth must be one channel of 16 bits" in first
    assert "b.png: reference depth of 120x160 pixels must have the shape of the image, 160x120" in second
    assert (tmp_path / "c_depth.png").exists()


def write_points(path: Path, T_points_camera: NDArray[np.float64]) -> str:
    """Three hundred points of the floor, a fifth of them wrong, in another frame."""
    camera, rng = PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5), np.random.default_rng(0)
    v, u = np.divmod(rng.choice(SIZE[0] * SIZE[1], 300, replace=False), SIZE[0])
    z = floor_depth(camera)[v, u].astype(np.float64)
    z[:60] *= rng.uniform(0.3, 0.7, 60)
    points = np.stack([camera.rays[0][u] * z, camera.rays[1][v] * z, z], axis=1)
    points = points @ T_points_camera[:3, :3].T + T_points_camera[:3, 3]
    head = b"ply\nformat binary_little_endian 1.0\nelement vertex 300\nproperty float x\nproperty float y\n"
    head += (
        b"property float z\nproperty uchar red\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n"
    )
    if path.suffix == ".ply":
        rows = np.zeros(300, [("xyz", "<f4", 3), ("red", "u1")])
        rows["xyz"] = points
        path.write_bytes(head + rows.tobytes())
    else:
        path.write_text("x,y,z\n" + "".join(f"{x:.4f}, {y:.4f}, {z:.4f}\n" for x, y, z in points))
    return str(path)


@pytest.mark.usefixtures("floor_model")
def test_a_relative_model_is_fitted_to_a_file_of_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the camera's frame as text, and in that of a sensor beside it as PLY."""
    moved = np.eye(4)
    moved[:3, 3] = -0.1, 0.05, 0.2  # the camera in the sensor's frame
    plain = write_points(tmp_path / "points.csv", np.eye(4))
    beside = write_points(tmp_path / "points.ply", moved)
    exact = floor_depth(PinholeCamera.from_intrinsics(*SIZE, 150, 150, 79.5, 59.5))
    for name, given in (
        ("a", ["--points", plain]),
        ("b", ["--points", beside, "--scale.extrinsic", "0.1 -0.05 -0.2 0 0 0 1"]),
    ):
        image = photo(tmp_path / f"{name}.png")
        assert main(["reconstruct", image, "--output", str(tmp_path), *RELATIVE, *given]) == 0
        np.testing.assert_allclose(stored_depth(tmp_path / f"{name}_depth.png"), 1000 * exact, rtol=0.01)
    assert "inliers" in capsys.readouterr().out
    image = photo(tmp_path / "c.png")
    varying = ["reconstruct", image, "--output", str(tmp_path), *RELATIVE, "--scale.varying", "true"]
    assert main([*varying, "--points", plain]) == 0
    assert re.search(r"8\d % inliers and a residual of \d %, varying by up to \d %", capsys.readouterr().out), (
        "this model bends nothing"
    )
    np.testing.assert_allclose(stored_depth(tmp_path / "c_depth.png"), 1000 * exact, rtol=0.01)
    assert main([*varying, "--scale.source", "fixed"]) == 1
    assert "scale.varying has no effect with scale.source=fixed" in capsys.readouterr().err
    assert (
        main(["reconstruct", image, "--output", str(tmp_path), *RELATIVE, "--points", plain, "--reference", plain]) == 1
    )
    assert "--reference and --points both give the scale" in capsys.readouterr().err
    (tmp_path / "bad.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 9\nproperty float x\nend_header\n")
    (tmp_path / "bad.txt").write_text("1 2 3\n1 2\n")
    short = Path(beside).read_bytes()[:-700]
    (tmp_path / "short.ply").write_bytes(short)
    for file, said in (
        ("bad.ply", "its vertices have no y"),
        ("bad.txt", "line 2 has no three numbers"),
        ("short.ply", "it ends after 246 of 300 points"),
        ("no.ply", "No such file"),
    ):
        assert main(["reconstruct", image, "--output", str(tmp_path), *RELATIVE, "--points", str(tmp_path / file)]) == 1
        (line,) = [each for each in capsys.readouterr().err.splitlines() if "c.png" in each]
        assert file in line and said in line


@pytest.mark.usefixtures("floor_model")
def test_a_guessed_field_of_view_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--output", str(tmp_path), "--no-mesh", "--model.name", "sketch", "--scale.source", "fixed"]
    flags += ["--scale.scale", str(SCALE), "--scale.shift", str(SHIFT)]
    assert main(["reconstruct", photo(tmp_path / "a.png"), "--hfov", "60", *flags]) == 0
    assert "f 139 px (guessed: --hfov 60), depth" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["none", "fixed"])
def test_a_reference_contradicts_another_source(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "a.png", *RELATIVE, "--reference", "depth.png", "--scale.source", source]) == 1
    assert f"scale.source is {source}: leave one of them out" in capsys.readouterr().err


def test_a_relative_model_without_scale_stops_before_its_weights_are_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "reconstruct",
                photo(tmp_path / "a.png"),
                "--output",
                str(tmp_path),
                *INTRINSICS,
                "--model.name",
                "depth_anything_v2_small",
                "--model.checkpoint",
                str(tmp_path / "nowhere"),
            ]
        )
        == 1
    )
    assert "scale.source" in capsys.readouterr().err


def test_sigma_is_written_where_the_model_gives_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded model asked twice; the gate leaves depth of small sigma alone."""
    rng = np.random.default_rng(0)
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (160, 120)))
    command = ["reconstruct", str(image), "--output", str(tmp_path), "--hfov", "60", "--no-mesh"]
    assert main([*command, "--model.uncertainty", "flip"]) == 0
    median = re.search(r"median sigma ([\d.e-]+) m", capsys.readouterr().out)
    sigma, depth = (stored_depth(tmp_path / f"a_{name}.png") for name in ("sigma", "depth"))
    assert median is not None
    assert float(median[1]) == pytest.approx(float(np.median(sigma[sigma > 0])) / 1000, rel=0.1)
    np.testing.assert_array_equal(sigma > 0, depth > 0)
    limit = float(np.median(sigma[sigma > 0])) / 1000
    assert main([*command, "--model.uncertainty", "flip", "--filter.max_sigma", f"{limit}"]) == 0
    gated = stored_depth(tmp_path / "a_depth.png")
    clearly = np.abs(sigma / 1000.0 - limit) > 1e-3
    np.testing.assert_array_equal((gated > 0)[clearly], ((depth > 0) & (sigma / 1000.0 < limit))[clearly])
