"""Networks as ONNX file and card: every kind of output against analytic depth, on both runtimes, without torch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_onnx import (
    Tree,
    assert_close,
    card_of,
    node,
    number,
    template,
    write_card,
    write_colours,
    write_graph,
    write_linear,
    write_metric3d,
    write_moge,
    write_row,
    write_shifted,
    write_unidepth,
)
from scipy.optimize import least_squares
from shrunken import refused

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.config import Config, ModelConfig, with_values
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models import MODELS, declared_output, load_model
from mono_depth_recon.models.onnx_files.card import load_onnx_card
from mono_depth_recon.models.onnx_files.loading import CARDS
from mono_depth_recon.models.onnx_files.placement import picture, placement_of, resampled
from mono_depth_recon.models.onnx_files.point_maps import shift_and_focal
from mono_depth_recon.pipeline import DepthReconstructor

ROWS = sorted(path.stem for path in CARDS.glob("*.json"))


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch cannot be imported."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture(params=["openvino", "onnxruntime"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def grey(level: int, width: int = 96, height: int = 72) -> Rgb:
    return np.full((height, width, 3), level, np.uint8)


def predicted(
    folder: Path, runtime: str, tree: Tree, rgb: Rgb, camera: PinholeCamera | None = None, **settings: Any
) -> Prediction:
    """The prediction of the file `made.onnx` in `folder` by a card of this tree."""
    write_card(folder / "made.json", tree)
    model = load_model(ModelConfig(name=f"onnx:{folder / 'made.onnx'}", runtime=runtime, **settings), 1)
    assert model.device.startswith(runtime)
    assert model.name == f"onnx:{folder / 'made.onnx'}"
    camera = camera or PinholeCamera.from_hfov(rgb.shape[1], rgb.shape[0], 60)
    return model.predict([(rgb, camera)])[0]


def test_metres_by_file_and_by_card(tmp_path: Path, runtime: str) -> None:
    write_linear(tmp_path / "made.onnx", 4, 1)
    found = predicted(tmp_path, runtime, card_of(), grey(102))
    assert found.depth is not None
    assert_close(found.depth, np.full((72, 96), 4 * 0.4 + 1), rtol=1e-5)
    assert (found.valid, found.sky, found.sigma, found.confidence, found.intrinsics) == (None,) * 5
    (tmp_path / "made.onnx").rename(tmp_path / "weights.onnx")
    card = write_card(tmp_path / "other.json", card_of(file="weights.onnx"))
    settings = ModelConfig(name=f"onnx:{card}", runtime=runtime)
    assert declared_output(settings) == "metric_depth"
    by_card = load_model(settings).predict([(grey(102), PinholeCamera.from_hfov(96, 72, 60))])[0]
    assert_close(by_card.depth, found.depth)


def test_values_come_back_to_their_pixels(tmp_path: Path, runtime: str) -> None:
    """A ramp across and down keeps its places through every way to the network's size and back, but for its border."""
    write_linear(tmp_path / "made.onnx", 255, 0)
    v, u = np.mgrid[:96, :120]
    ramp = np.repeat((u + v)[..., None], 3, axis=2).astype(np.uint8)
    sizes = {"width": 80, "height": 64, "multiple": 8}
    for fit in ("stretch", "inside", "around", "area", "pad"):
        for kernel in ("bilinear", "plain_bilinear", "bicubic", "area_or_cubic"):
            tree = card_of(input=sizes | {"fit": fit, "kernel": kernel, "colour_fill": [255, 0, 0]})
            found = predicted(tmp_path, runtime, tree, ramp).depth
            assert found is not None
            assert_close(found[4:-4, 4:-4], (u + v)[4:-4, 4:-4], atol=1.2, err_msg=f"{fit} {kernel}")


def test_canonical_metres_follow_the_focal_length_at_the_network(tmp_path: Path, runtime: str) -> None:
    """metres = value * f / 300, f that of the network's input, whatever the way there: 96 pixels become 64 or 60."""
    write_linear(tmp_path / "made.onnx", 0, 3)
    output = {"kind": "canonical_depth", "canonical_focal_px": 300}
    camera = PinholeCamera.from_intrinsics(96, 72, 90, 80, 50, 33)
    focal = np.sqrt(90 * 80)
    for fit, scale in (("inside", 64 / 96), ("around", 64 / 96), ("area", 64 / 96), ("stretch", 64 / 96)):
        tree = card_of(input={"width": 64, "height": 48, "multiple": 16, "fit": fit}, output=output)
        found = predicted(tmp_path, runtime, tree, grey(50), camera).depth
        assert_close(found, np.full((72, 96), 3 * focal * scale / 300), rtol=1e-5)
    tree = card_of(input={"width": 60, "height": 90, "fit": "pad"}, output=output)
    found = predicted(tmp_path, runtime, tree, grey(50), camera).depth
    assert_close(found, np.full((72, 96), 3 * focal * (60 / 96) / 300), rtol=1e-5)
    tree = card_of(input={"width": 96, "height": 36, "fit": "stretch"}, output=output)
    found = predicted(tmp_path, runtime, tree, grey(50), camera).depth
    assert_close(found, np.full((72, 96), 3 * focal * np.sqrt(0.5) / 300), rtol=1e-5)


def test_the_padded_border_has_its_colour_and_comes_off(tmp_path: Path, runtime: str) -> None:
    """The network adds the mean of its whole input to each pixel: what the border holds shows in every value."""
    write_graph(
        tmp_path / "made.onnx",
        [("image", ("n", 3, "h", "w"))],
        [
            node("ReduceMean", "image", "whole", axes=[1, 2, 3], keepdims=1),
            node("ReduceMean", "image", "grey", axes=[1], keepdims=1),
            node("Add", "grey whole", "depth"),
        ],
        [("depth", ("n", 1, "h", "w"))],
    )
    rule = {"width": 64, "height": 64, "fit": "pad", "scale": 1, "mean": [10, 10, 10], "std": [2, 2, 2]}
    found = predicted(tmp_path, runtime, card_of(input=rule | {"colour_fill": [30, 40.5, 49.5]}), grey(100, 64, 32))
    value, border = (100 - 10) / 2, (40 - 10) / 2
    assert_close(found.depth, np.full((32, 64), value + (value + border) / 2), rtol=1e-5)


def test_relative_outputs_are_disparity(tmp_path: Path, runtime: str) -> None:
    write_linear(tmp_path / "made.onnx", 5, -1)
    found = predicted(tmp_path, runtime, card_of(output={"kind": "relative_disparity"}), grey(102))
    assert_close(found.disparity, np.full((72, 96), 1.0), rtol=1e-5)
    found = predicted(tmp_path, runtime, card_of(output={"kind": "relative_disparity"}), grey(0))
    np.testing.assert_array_equal(found.disparity, np.zeros((72, 96), np.float32))
    found = predicted(tmp_path, runtime, card_of(output={"kind": "relative_depth"}), grey(255))
    assert found.depth is None
    assert_close(found.disparity, np.full((72, 96), 0.25), rtol=1e-5)
    partly = grey(51)
    partly[:, 48:] = 255
    assert np.isfinite(predicted(tmp_path, runtime, card_of(output={"kind": "relative_depth"}), partly).values).all()


def test_masks_confidence_and_sigma(tmp_path: Path, runtime: str) -> None:
    write_colours(tmp_path / "made.onnx")
    rgb = grey(0)
    rgb[:, 48:, 1], rgb[36:, :, 2] = 255, 255
    away = np.ones(rgb.shape[:2], bool)
    away[34:38], away[:, 46:50] = False, False
    output = {"kind": "canonical_depth", "canonical_focal_px": 100}
    rule = {"width": 96, "height": 72, "fit": "stretch"}
    others: Tree = {"green": {"kind": "valid", "threshold": 0.4}, "blue": {"kind": "sky", "true_where": "below"}}
    found = predicted(tmp_path, runtime, card_of(input=rule, output=output, outputs=others), rgb)
    assert found.valid is not None
    assert found.sky is not None
    assert ((found.valid == (rgb[..., 1] > 0)) | ~away).all()
    assert ((found.sky == (rgb[..., 2] == 0)) | ~away).all()
    others = {"green": {"kind": "sigma", "factor": 3}, "blue": {"kind": "confidence", "worst": 2, "best": -2}}
    found = predicted(tmp_path, runtime, card_of(input=rule, output=output, outputs=others), rgb)
    per_unit = PinholeCamera.from_hfov(96, 72, 60).fx / 100
    assert_close(found.sigma, (rgb[..., 1] > 0) * 3 * per_unit, rtol=1e-5)
    assert_close(found.confidence, np.where(rgb[..., 2] > 0, 0.25, 0.5), rtol=1e-5)
    assert found.confidence is not None
    assert found.confidence.dtype == np.float32


def test_depth_of_zero_or_less_is_not_valid(tmp_path: Path, runtime: str) -> None:
    write_linear(tmp_path / "made.onnx", 1, -0.5)
    rgb = grey(255)
    rgb[:, :48] = 0
    tree = card_of(input={"width": 96, "height": 72, "fit": "stretch"})
    found = predicted(tmp_path, runtime, tree, rgb)
    assert found.depth is not None
    assert found.depth.min() > 0
    np.testing.assert_array_equal(found.valid, rgb[..., 0] > 0)


@pytest.mark.parametrize("kind", ["metric_depth", "relative_depth"])
def test_depth_that_is_nowhere_above_zero_names_output_and_card(tmp_path: Path, runtime: str, kind: str) -> None:
    write_linear(tmp_path / "made.onnx", 1, -2)
    with pytest.raises(
        ModelError,
        match=rf"^the output 'depth' of made is nowhere above 0 \(-1 to -1\), its card says {kind}: give the card",
    ):
        predicted(tmp_path, runtime, card_of(output={"kind": kind}), grey(255))
    write_colours(tmp_path / "made.onnx")
    sky: Tree = {"green": {"kind": "valid", "threshold": 0.5}}
    output = {"kind": "metric_depth", "name": "blue"}
    found = predicted(tmp_path, runtime, card_of(output=output, outputs=sky), grey(0))
    assert found.valid is not None  # the network itself says that it sees nothing
    assert not found.valid.any()


def test_layouts_colours_and_types(tmp_path: Path, runtime: str) -> None:
    """uint8 in (N, rows, columns, 3), blue first: depth is 1 + the grey level of red / 100."""
    write_graph(
        tmp_path / "made.onnx",
        [("pixels", ("n", "h", "w", 3))],
        [
            node("Cast", "pixels", "levels", to=1),
            node("Slice", "levels two three axis", "red"),
            node("Div", "red hundred", "share"),
            node("Add", "share one", "metres"),
        ],
        [("metres", ("n", "h", "w", 1))],
        {
            **{name: np.array([value], np.int64) for name, value in (("two", 2), ("three", 3), ("axis", 3))},
            "hundred": number(100),
            "one": number(1),
        },
        dtypes={"pixels": "UINT8"},
    )
    rule = {
        "name": "pixels",
        "layout": "nhwc",
        "colours": "bgr",
        "scale": 1,
        "width": 48,
        "height": 32,
        "fit": "stretch",
    }
    tree = card_of(input=rule, output={"kind": "metric_depth", "name": "metres"})
    found = predicted(tmp_path, runtime, tree, np.full((20, 30, 3), (70, 1, 2), np.uint8))
    assert_close(found.depth, np.full((20, 30), 1.7), rtol=1e-6)


def test_a_batch_is_its_views_one_by_one_and_memory_can_be_released(tmp_path: Path, runtime: str) -> None:
    write_linear(tmp_path / "made.onnx", 4, 1)
    write_card(tmp_path / "made.json", card_of())
    model = load_model(ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime=runtime))
    views = [
        (grey(level, *size), PinholeCamera.from_hfov(*size, 60))
        for level, size in ((51, (96, 72)), (102, (72, 96)), (153, (96, 72)))
    ]
    for level, found in zip((51, 102, 153), model.predict(views), strict=True):
        assert_close(found.values, 4 * level / 255 + 1, rtol=1e-5)
    model.release_memory()
    assert_close(model.predict(views[:1])[0].values, 1.8, rtol=1e-5)
    assert model.predict([]) == []


def test_input_size_where_the_file_has_free_sizes(tmp_path: Path, runtime: str) -> None:
    """The network answers the number of its columns."""
    write_graph(
        tmp_path / "made.onnx",
        [("image", ("n", 3, "h", "w"))],
        [
            node("Shape", "image", "sides"),
            node("Gather", "sides three", "columns"),
            node("Cast", "columns", "count", to=1),
            node("ReduceMean", "image", "grey", axes=[1], keepdims=1),
            node("Mul", "grey zero", "nothing"),
            node("Add", "nothing count", "depth"),
        ],
        [("depth", ("n", 1, "h", "w"))],
        {"three": np.array(3, np.int64), "zero": number(0)},
    )
    for fit, expected in (("inside", 32), ("around", 32), ("area", 32), ("stretch", 32), ("pad", 32)):
        tree = card_of(input={"width": 64, "height": 48, "multiple": 8, "fit": fit})
        assert predicted(tmp_path, runtime, tree, grey(9), input_size=24).values.mean() == expected, fit
        assert predicted(tmp_path, runtime, tree, grey(9)).values.mean() == 64, fit
    write_linear(tmp_path / "made.onnx", shape=("n", 3, 48, 64))
    write_card(tmp_path / "made.json", card_of(input={"fit": "stretch"}))
    settings = ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime=runtime)
    assert "takes images of 64x48 only: leave model.input_size at 0" in refused(replace(settings, input_size=24))


def pictures(folder: Path, width: int = 160, height: int = 120) -> str:
    """Six smooth pictures for `model.calibration`."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return str(folder)


def test_int8_is_calibrated_on_the_images_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_shifted(tmp_path / "made.onnx")
    tree = card_of(outputs={"confidence": {"kind": "confidence"}})
    rgb = cv2.resize(np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8), (96, 72))
    exact = predicted(tmp_path, "openvino", tree, rgb)
    assert exact.depth is not None and exact.confidence is not None
    model = load_model(
        ModelConfig(
            name=f"onnx:{tmp_path / 'made.onnx'}",
            runtime="auto",
            precision="int8",
            calibration=pictures(tmp_path / "images"),
        ),
        1,
    )
    assert model.device == "openvino CPU int8"
    found = model.predict([(rgb, PinholeCamera.from_hfov(96, 72, 60))])[0]
    assert found.depth is not None and found.confidence is not None
    off = np.abs(found.depth - exact.depth).max()
    assert 0 < off < 0.05, "depth is 1 to 2 in at most 255 steps"
    assert_close(found.confidence, exact.confidence, atol=0.02)
    kept = list((tmp_path / "cache").rglob("*int8*/model.xml"))
    assert len(kept) == 1 and b"FakeQuantize" in kept[0].read_bytes()


def test_int8_of_a_file_with_further_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = row("unidepth_v2_small", write_unidepth(tmp_path / "unidepth.onnx"), "openvino")
    settings = replace(settings, precision="int8", calibration=pictures(tmp_path / "images"))
    camera = PinholeCamera.from_hfov(112, 63, 70)
    found = load_model(settings).predict([(grey(90, 112, 63), camera)])[0]
    exact = load_model(replace(settings, precision="f32")).predict([(grey(90, 112, 63), camera)])[0]
    assert_close(found.depth, exact.depth, rtol=0.05)


# The rows of the table


def row(name: str, path: Path, runtime: str) -> ModelConfig:
    return ModelConfig(name=name, checkpoint=str(path), runtime=runtime, accept_noncommercial=True)


def test_depth_anything_3(tmp_path: Path, runtime: str) -> None:
    """depth = exp(mean of the normalised colours) * f / 300; sky, by the normalised blue, is beyond range."""
    path = write_row("depth_anything_3_metric_large", tmp_path)
    rgb = grey(100, 112, 84)
    rgb[:42, :, 2] = 255
    camera = PinholeCamera.from_hfov(112, 84, 70)
    normalised = (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = np.exp(normalised.mean(axis=2)) * (camera.fx * 56 / 112) / 300
    config = with_values(Config(), {"filter.min_range": 0.0, "filter.edge_threshold": 0.0})
    config = replace(config, model=row("depth_anything_3_metric_large", path, runtime))
    depth = DepthReconstructor.from_config(config).process(rgb, camera).depth
    assert depth is not None
    assert np.isposinf(depth[:38]).all()
    assert_close(depth[46:], expected[46:], rtol=1e-4)
    mono = load_model(row("depth_anything_3_mono_large", path, runtime)).predict([(rgb, camera)])[0]
    assert_close(mono.values[46:], np.exp(-normalised.mean(axis=2))[46:], rtol=1e-4)
    assert mono.sky is not None
    assert mono.sky[:38].all()
    assert not mono.sky[46:].any()


@pytest.mark.parametrize("scale_name", ["scale", "metric_scale"])
def test_moge(tmp_path: Path, runtime: str, scale_name: str) -> None:
    """The points of a wall at 1 + red come back from their shift; metres by the number of tokens / 1000."""
    path = write_moge(tmp_path / "moge.onnx", scale_name)
    rgb = grey(51, 160, 120)
    rgb[40:80, 40:80, 0] = 255  # not valid
    rgb[90:, 100:, 0] = 102
    camera = PinholeCamera.from_hfov(160, 120, 60)
    found = load_model(row("moge_2_small", path, runtime)).predict([(rgb, camera)])[0]
    assert found.depth is not None
    assert found.valid is not None
    tokens = 672 // 14 * (504 // 14)  # 588 x 588 pixels as 4 : 3, rounded to multiples of 14: 679 x 509
    assert_close(found.depth[10:30, 10:150], 1.2 * tokens / 1000, rtol=1e-3)
    assert_close(found.depth[94:, 104:], 1.4 * tokens / 1000, rtol=1e-3)
    assert not found.valid[44:76, 44:76].any()
    assert found.valid[:36].all()
    assert_close(found.intrinsics, camera.K, rtol=1e-3, atol=1e-6)
    other = PinholeCamera.from_hfov(160, 120, 75)  # another lens moves depth, but not the focal length that they show
    again = load_model(row("moge_2_small", path, runtime)).predict([(rgb, other)])[0]
    assert_close(again.intrinsics, camera.K, rtol=1e-3, atol=1e-6)
    assert again.depth is not None
    assert not np.allclose(again.depth[10:30], found.depth[10:30], rtol=0.05)


def test_metric3d(tmp_path: Path, runtime: str) -> None:
    path = write_metric3d(tmp_path / "metric3d.onnx")
    camera = PinholeCamera.from_hfov(640, 480, 60)
    found = load_model(replace(row("metric3d_v2_small", path, runtime), input_size=308)).predict(
        [(grey(90, 640, 480), camera)]
    )
    scale = 308 / 480
    assert_close(found[0].depth, np.full((480, 640), 10 * camera.fx * scale / 1000), rtol=2e-3)


def test_unidepth_sees_the_rays_of_the_camera(tmp_path: Path, runtime: str) -> None:
    """Points at 4 m along the camera's rays: z = 4 / the length of (x, y, 1), for a lens whose middle is elsewhere."""
    path = write_unidepth(tmp_path / "unidepth.onnx")
    camera = PinholeCamera.from_intrinsics(112, 63, 80, 80, 50, 35)
    found = load_model(row("unidepth_v2_small", path, runtime)).predict([(grey(90, 112, 63), camera)])[0]
    x, y = camera.rays
    assert found.depth is not None
    expected = 4 / np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + 1)
    assert_close(found.depth[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=2e-3)
    assert_close(found.sigma, np.full((63, 112), 0.5 * 1.2533), rtol=1e-4)
    # 112 x 63 becomes 56 x 31, 5 rows below the top of 42: the middle of the input, and half the image's size
    assert_close(found.intrinsics[0], [100, 0, 55.5], rtol=1e-6)
    assert_close(found.intrinsics[1], [0, 50 / (31 / 63), (21 - 5.0) / (31 / 63) - 0.5], rtol=1e-6)


def test_a_row_without_weights_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    for name in ROWS:
        command = MODELS[name].obtained_by
        assert command in refused(ModelConfig(name=name, accept_noncommercial=True)), name
    assert "model.accept_noncommercial" in refused(ModelConfig(name="unidepth_v2_small"))
    assert "onnx/model.onnx --revision ee63b95d" in MODELS["metric3d_v2_small"].obtained_by


def test_the_hub_s_cache_holds_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: str) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    hub = MODELS["metric3d_v2_small"].hub
    assert hub is not None
    folder = tmp_path / f"models--{hub.repo.replace('/', '--')}" / "snapshots" / hub.revision / "onnx"
    folder.mkdir(parents=True)
    write_metric3d(folder / "model.onnx")
    model = load_model(ModelConfig(name="metric3d_v2_small", runtime=runtime))
    assert model.name == "metric3d_v2_small"


def test_the_table_shows_licence_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ROWS:
        line = next(line for line in lines if line.startswith(f"{name} "))
        assert MODELS[name].licence in line
        assert MODELS[name].obtained_by in line
    assert {row.noncommercial for name, row in MODELS.items() if name == "unidepth_v2_small"} == {True}


@pytest.mark.parametrize("name", ROWS)
def test_cards_name_their_sources(name: str) -> None:
    card = load_onnx_card(CARDS / f"{name}.json")
    assert card.name == name
    assert card.source.url.startswith("https://")
    assert card.source.read
    assert card.source.not_verified
    assert card.source.command or len(card.source.revision) == 40


# The parts


def test_shift_and_focal_length_against_an_independent_solution() -> None:
    """Noisy points of a slanted plane: the same optimum as scipy finds for the textbook form of the problem."""
    rule = load_onnx_card(CARDS / "moge_2_small.json").input
    place = placement_of(rule, (196, 140))
    columns, rows = place.canvas
    u = (np.arange(columns) + 0.5) / place.scales[0] - 98
    v = (np.arange(rows) + 0.5) / place.scales[1] - 70
    x, y = np.meshgrid(u / 150, v / 150)
    z = 2 / (1 - 0.3 * x - 0.2 * y)
    noise = np.random.default_rng(0).normal(0, 0.01, (rows, columns, 3))
    points = np.stack([x * z, y * z, z - 0.7], axis=2) + noise
    shift, focal = shift_and_focal(points.astype(np.float32), None, place, None)
    assert_close((shift, focal), (0.7, 150), rtol=0.02)

    def differences(parameters: Any) -> Any:
        each = parameters[1] * points[..., :2] / (points[..., 2:] + parameters[0])
        return (each - np.stack(np.meshgrid(u, v), axis=2)).ravel()

    whole = least_squares(differences, (0.0, 100.0)).x
    assert_close((shift, focal), whole, rtol=0.01)
    known, given = shift_and_focal(points.astype(np.float32), None, place, 150.0)
    assert_close((known, given), (0.7, 150), rtol=0.02)
    few = np.zeros((rows, columns), bool)
    assert shift_and_focal(points.astype(np.float32), few, place, 150.0)[0] == 0


def test_kernels_are_those_of_pillow_and_opencv() -> None:
    import cv2
    from PIL import Image

    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for size in ((30, 20), (90, 80)):
        for kernel in ("bilinear", "bicubic", "lanczos"):
            expected = Image.fromarray(rgb).resize(size, Image.Resampling[kernel.upper()])
            np.testing.assert_array_equal(resampled(rgb, size, kernel), np.asarray(expected))
        interpolation = cv2.INTER_AREA if size[0] < 60 else cv2.INTER_CUBIC
        np.testing.assert_array_equal(
            resampled(rgb, size, "area_or_cubic"), cv2.resize(rgb, size, interpolation=interpolation)
        )


def test_where_an_image_lies_in_the_input() -> None:
    rule = load_onnx_card(CARDS / "metric3d_v2_small.json").input
    place = placement_of(rule, (640, 480))
    assert (place.inner, place.canvas, place.corner) == ((821, 616), (1064, 616), (121, 0))
    rgb = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    seen = picture(rule, place, rgb, "float32")
    assert seen.shape == (3, 616, 1064)
    assert_close(seen[:, 0, 0], (123.675, 116.28, 103.53), rtol=1e-6)
    rule = load_onnx_card(CARDS / "moge_2_small.json").input
    assert placement_of(rule, (640, 480)).canvas == (672, 504)
    assert placement_of(rule, (640, 480), 280).canvas == (378, 280)


def test_the_card_that_docs_show_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    (tmp_path / "shown.json").write_text(text.split("```json\n")[1].split("```")[0], encoding="utf-8")
    assert load_onnx_card(tmp_path / "shown.json").output.kind == "canonical_depth"


def test_template_is_what_a_user_begins_with(tmp_path: Path, runtime: str) -> None:
    """A shipped card beside a file of its own, with one value changed."""
    tree = template("metric3d_v2_small")
    tree["output"]["canonical_focal_px"] = 500
    write_metric3d(tmp_path / "mine.onnx")
    write_card(tmp_path / "mine.json", tree)
    camera = PinholeCamera.from_hfov(64, 48, 60)
    found = load_model(ModelConfig(name=f"onnx:{tmp_path / 'mine.json'}", runtime=runtime)).predict(
        [(grey(90, 64, 48), camera)]
    )
    assert_close(found[0].depth, np.full((48, 64), 10 * camera.fx * (616 / 48) / 500), rtol=2e-3)
    with pytest.raises(ModelError, match="is the card of metric3d_v2_small, moge_2_small is asked for"):
        load_model(ModelConfig(name="moge_2_small", checkpoint=str(tmp_path / "mine.json")))
