"""The weights in the package: files, card, ONNX equal to torch, without torch, through other lenses, and figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from processes import DEADLINE_S, ROOT

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.errors import ModelError
from mono_depth_recon.metrics.depth_map import depth_metrics
from mono_depth_recon.models.card import ModelCard, load_card
from mono_depth_recon.models.loading import load_model
from mono_depth_recon.models.table import EMBEDDED, MODELS

CARD = EMBEDDED / "unetpp_lite.json"
CARDS = [CARD, EMBEDDED / "unetpp_mobile.json"]
TEST_SEEDS = (90_001, 90_004, 90_009)  # rooms that no training uses


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The embedded card."""
    return load_card(CARD)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_files_are_small_and_say_nothing_of_the_machine_that_made_them(path: Path) -> None:
    card = load_card(path)
    files = [card.weights_path, card.onnx_path]
    size = sum(file.stat().st_size for file in files)
    assert size <= 15e6 and f"{size / 1e6:.1f}" == f"{MODELS[card.name].size_mb:.1f}"
    assert ("NYU Depth V2" in str(card.text["attribution"])) == ("NYU Depth V2" in MODELS[card.name].licence)
    for file in [*files, path]:
        content = file.read_bytes()
        assert not any(word in content for word in (b"site-packages", b"/home/", b"/root/", b'.py", line'))


def test_card_is_complete(card: ModelCard) -> None:
    assert (card.name, card.input_width, card.input_height) == ("unetpp_lite", 256, 192)
    training = card.text["training"]
    assert 4e6 < training["parameters"] < 6e6
    assert any("room" in source for source in training["sources"])
    assert any("freiburg1_rpy_part: positions 0 to 100" in source for source in training["sources"])
    cited = " ".join(card.text["attribution"])
    assert all(each in cited for each in ("Sturm", "CC BY 4.0", "Silberman", "ECCV 2012", "efficientnet-lite2"))
    assert all(each in card.text["licence"] for each in ("Apache-2.0", "CC BY 4.0", "NYU Depth V2"))


def test_card_has_figures_beside_the_baselines(card: ModelCard) -> None:
    figures = card.text["figures"]
    assert [part["set"].split()[0].rstrip(",") for part in figures] == [
        *("freiburg1_rpy_part", "freiburg3_cabinet", "16", "NYU"),
    ]
    for part in figures:
        assert part["frames"] >= 20
        methods = {(row["method"], row["alignment"]) for row in part["rows"]}
        assert methods == {
            (method, alignment)
            for method in (card.name, "constant", "mean depth map")
            for alignment in ("none", "median")
        }
        assert all(row[key] > 0 for row in part["rows"] for key in ("abs_rel", "rmse", "delta1", "silog"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("shape", [(1, 3, 192, 256), (2, 3, 224, 384), (1, 3, 64, 96)])
def test_onnx_copy_equals_the_safetensors_weights(path: Path, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("segmentation_models_pytorch")
    from mono_depth_recon.models.unetpp import load_unetpp

    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with torch.inference_mode():
        expected = load_unetpp(path)(torch.from_numpy(image)).numpy()
    session = runtime.InferenceSession(load_card(path).onnx_path, providers=["CPUExecutionProvider"])
    got = session.run(["depth"], {"image": image})[0]
    assert np.abs(got / expected - 1).max() < 1e-4


def test_openvino_and_torch_predict_the_same_depth() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("segmentation_models_pytorch")
    sample = RoomSequence(TEST_SEEDS[0], length=10)[3]
    depths = [
        load_model(ModelConfig(runtime=runtime), 1).predict([(sample.rgb, sample.camera)])[0].depth
        for runtime in ("openvino", "torch")
    ]
    assert np.abs(depths[0] / depths[1] - 1).max() < 1e-4


def test_runs_on_openvino_without_torch() -> None:
    pytest.importorskip("openvino")
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from mono_depth_recon.camera import PinholeCamera\n"
        "from mono_depth_recon.config import ModelConfig\n"
        "from mono_depth_recon.models import load_model\n"
        "camera = PinholeCamera.from_hfov(640, 480, 60)\n"
        "rgb = np.full((480, 640, 3), 90, np.uint8)\n"
        "depth = load_model(ModelConfig(), 1).predict([(rgb, camera)])[0].depth\n"
        "assert depth.shape == (480, 640) and depth.dtype == np.float32 and np.isfinite(depth).all()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("side", "warned"), [(0, False), (160, False), (320, False), (31, True), (640, True)])
def test_a_size_far_from_the_cards_is_warned_of(side: int, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    load_model(ModelConfig(runtime="openvino", input_size=side))
    assert ("is far from the 192 pixels of unetpp_lite: its depth may be wrong" in caplog.text) == warned


def test_depth_grows_with_the_focal_length_of_the_same_image() -> None:
    """The rule f / f_canonical itself, exactly: the same pixels behind a lens twice as long are twice as far."""
    rgb = RoomSequence(TEST_SEEDS[0], length=8)[2].rgb
    model = load_model(ModelConfig(), 1)
    cameras = [PinholeCamera.from_intrinsics(640, 480, f, f, 319.5, 239.5) for f in (300, 600)]
    short, long = (prediction.depth for prediction in model.predict([(rgb, camera) for camera in cameras]))
    assert short is not None
    assert long is not None
    assert np.abs(long / short - 2).max() < 1e-4


def _spread(ratios: dict[float, list[float]]) -> float:
    medians = [float(np.median(found)) for found in ratios.values()]
    return max(medians) / min(medians)


def test_a_longer_lens_keeps_metres_on_real_frames(data_folder: Path) -> None:
    """Windows of validation frames are views of a camera at the same place with 63, 52 and 43 degrees."""
    folder = TumFolder(data_folder / "tum" / "rgbd_dataset_freiburg1_rpy_part", rectified=True)
    model = load_model(ModelConfig(), 1)
    ratios: dict[float, list[float]] = {1.0: [], 0.8: [], 0.64: []}
    for sample in folder[101:121]:
        assert sample.depth is not None
        for share, found in ratios.items():
            width, height = int(640 * share), int(480 * share)
            x, y = (640 - width) // 2, (480 - height) // 2
            view = np.s_[y : y + height, x : x + width]
            depth = model.predict([(sample.rgb[view], sample.camera.cropped(x, y, width, height))])[0].depth
            assert depth is not None
            found.append(float(np.nanmedian(depth / sample.depth[view])))
    assert _spread(ratios) < 1.2, ratios  # without the rule: 1.56


def test_wider_and_narrower_lenses_in_unseen_rooms() -> None:
    """Views of three lenses from the same poses. The bound is wide: rooms of other seeds are hard for these weights."""
    model = load_model(ModelConfig(), 1)
    ratios: dict[float, list[float]] = {50: [], 65: [], 80: []}
    for seed in TEST_SEEDS:
        path = RoomSequence(seed, length=8)
        for i in (0, 4):
            for hfov, found in ratios.items():
                camera = PinholeCamera.from_hfov(640, 480, hfov)
                rgb, truth = path.room.render(camera, path.pose(i))
                depth = model.predict([(rgb, camera)])[0].depth
                assert depth is not None
                found.append(float(np.nanmedian(depth / truth)))
    assert _spread(ratios) < 1.5, ratios
    assert all(0.5 < np.median(found) < 2 for found in ratios.values()), ratios


def test_figures_of_the_card_come_out_again_on_unseen_desk_frames(card: ModelCard, data_folder: Path) -> None:
    folder = TumFolder(data_folder / "tum" / "rgbd_dataset_freiburg1_rpy_part", rectified=True)
    model = load_model(ModelConfig(), 1)
    found = []
    for i in range(121, 141):
        sample = folder[i]
        depth = model.predict([(sample.rgb, sample.camera)])[0].depth
        assert depth is not None
        assert sample.depth is not None
        found.append(depth_metrics(depth, sample.depth).abs_rel)
    rows = card.text["figures"][0]["rows"]
    stated = {row["method"]: row["abs_rel"] for row in rows if row["alignment"] == "none"}
    assert np.mean(found) == pytest.approx(stated["unetpp_lite"], abs=2e-3)
    assert stated["unetpp_lite"] < min(stated["constant"], stated["mean depth map"])


def test_card_is_plain_json_text() -> None:
    assert json.loads(CARD.read_text(encoding="utf-8")) == dict(load_card(CARD).text)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_other_weights_than_those_of_the_card_are_refused_by_every_runtime(path: Path, tmp_path: Path) -> None:
    """OpenVINO would compute with damaged ones, and its activations make numbers of NaN."""
    for suffix in (".json", ".onnx", ".safetensors"):
        shutil.copy(path.with_suffix(suffix), tmp_path)
    copy, weights = tmp_path / path.name, (tmp_path / path.name).with_suffix(".safetensors")
    whole = weights.read_bytes()
    middle = len(whole) // 2
    settings = ModelConfig(name=path.stem, checkpoint=str(copy), runtime="openvino")
    load_model(settings, 1)
    for damaged in (whole[:middle] + b"\xff" * 64 + whole[middle + 64 :], whole[:-1000], b""):
        weights.write_bytes(damaged)
        for runtime in ("auto", "openvino", "onnxruntime", "torch"):
            with pytest.raises(ModelError, match=rf"weights .*{path.stem}\.safetensors are not those of card"):
                load_model(replace(settings, runtime=runtime), 1)
    weights.unlink()
    for runtime in ("openvino", "onnxruntime", "torch"):
        with pytest.raises(ModelError, match=rf"{path.stem}\.safetensors"):
            load_model(replace(settings, runtime=runtime), 1)
    weights.write_bytes(whole)
    copy.with_suffix(".onnx").write_bytes(b"")
    for runtime in ("openvino", "onnxruntime"):
        pytest.importorskip(runtime)
        with pytest.raises(ModelError, match=r"\.onnx is no ONNX file"):
            load_model(replace(settings, runtime=runtime), 1)
    with pytest.raises(ModelError, match="must be UTF-8 text, .*: name the .json beside the weights"):
        load_model(replace(settings, checkpoint=str(weights)), 1)
