"""The weights in the package: files, card, ONNX equal to torch, without torch, through other lenses, and figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.rooms import RoomSequence
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.metrics import depth_metrics
from mono_depth_recon.models.card import ModelCard, load_card
from mono_depth_recon.models.table import EMBEDDED, load_model

CARD = EMBEDDED / "unetpp_mobile.json"
TEST_SEEDS = (90_001, 90_004, 90_009)  # rooms that no training uses


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The embedded card."""
    return load_card(CARD)


def test_files_are_small_and_say_nothing_of_the_machine_that_made_them(card: ModelCard) -> None:
    files = [card.weights_path, card.onnx_path]
    assert sum(file.stat().st_size for file in files) <= 10e6
    for file in [*files, CARD]:
        content = file.read_bytes()
        assert not any(word in content for word in (b"site-packages", b"/home/", b"/root/", b".py\", line"))


def test_card_is_complete(card: ModelCard) -> None:
    assert (card.name, card.input_width, card.input_height) == ("unetpp_mobile", 320, 256)
    training = card.text["training"]
    assert 0.5e6 < training["parameters"] < 2e6
    assert any("room" in source for source in training["sources"])
    assert any("freiburg1_rpy_part: positions 0 to 100" in source for source in training["sources"])
    assert any("IROS 2012" in line and "CC BY 4.0" in line for line in card.text["attribution"])
    assert "Apache-2.0" in card.text["licence"]
    assert "CC BY 4.0" in card.text["licence"]


def test_card_has_figures_beside_the_baselines(card: ModelCard) -> None:
    figures = card.text["figures"]
    assert [part["set"].split()[0].rstrip(",") for part in figures] == ["freiburg1_rpy_part", "freiburg3_cabinet", "16"]
    for part in figures:
        assert part["frames"] >= 20
        methods = {(row["method"], row["alignment"]) for row in part["rows"]}
        assert methods == {(method, alignment) for method in (card.name, "constant", "mean depth map")
                           for alignment in ("none", "median")}
        assert all(row[key] > 0 for row in part["rows"] for key in ("abs_rel", "rmse", "delta1", "silog"))


@pytest.mark.parametrize("shape", [(1, 3, 256, 320), (2, 3, 224, 384), (1, 3, 64, 96)])
def test_onnx_copy_equals_the_safetensors_weights(card: ModelCard, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("segmentation_models_pytorch")
    from mono_depth_recon.models.unetpp import load_unetpp

    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with torch.inference_mode():
        expected = load_unetpp(CARD)(torch.from_numpy(image)).numpy()
    session = runtime.InferenceSession(card.onnx_path, providers=["CPUExecutionProvider"])
    got = session.run(["depth"], {"image": image})[0]
    assert np.abs(got / expected - 1).max() < 1e-4


def test_openvino_and_torch_predict_the_same_depth() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("segmentation_models_pytorch")
    sample = RoomSequence(TEST_SEEDS[0], length=10)[3]
    depths = [load_model(ModelConfig(runtime=runtime), 1).predict([(sample.rgb, sample.camera)])[0].depth
              for runtime in ("openvino", "torch")]
    assert np.abs(depths[0] / depths[1] - 1).max() < 1e-4


def test_runs_on_openvino_without_torch() -> None:
    pytest.importorskip("openvino")
    script = ("import sys; sys.modules['torch'] = None\n"
              "import numpy as np\n"
              "from mono_depth_recon.camera import PinholeCamera\n"
              "from mono_depth_recon.config import ModelConfig\n"
              "from mono_depth_recon.models.table import load_model\n"
              "camera = PinholeCamera.from_hfov(640, 480, 60)\n"
              "rgb = np.full((480, 640, 3), 90, np.uint8)\n"
              "depth = load_model(ModelConfig(), 1).predict([(rgb, camera)])[0].depth\n"
              "assert depth.shape == (480, 640) and depth.dtype == np.float32 and np.isfinite(depth).all()\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False,
                          cwd=Path(__file__).resolve().parent.parent)
    assert done.returncode == 0, done.stderr


def test_another_lens_keeps_metres() -> None:
    """One view through three lenses: true depth along the middle ray is the same, and so must be the prediction."""
    model = load_model(ModelConfig(), 1)
    ratios: dict[int, list[float]] = {50: [], 65: [], 80: []}
    for seed in TEST_SEEDS:
        path = RoomSequence(seed, length=8)
        for i in range(8):
            for hfov, found in ratios.items():
                camera = PinholeCamera.from_hfov(640, 480, hfov)
                rgb, truth = path.room.render(camera, path.pose(i))
                depth = model.predict([(rgb, camera)])[0].depth
                assert depth is not None
                found.append(float(np.nanmedian(depth / truth)))
    medians = {hfov: float(np.median(found)) for hfov, found in ratios.items()}
    # without the rule f / f_canonical the widest and the narrowest lens would differ by tan(40) / tan(25) = 1.8
    assert max(medians.values()) / min(medians.values()) < 1.2, medians
    assert all(0.75 < median < 1.33 for median in medians.values()), medians


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
    assert np.mean(found) == pytest.approx(stated["unetpp_mobile"], abs=2e-3)
    assert stated["unetpp_mobile"] < min(stated["constant"], stated["mean depth map"])


def test_card_is_plain_json_text() -> None:
    assert json.loads(CARD.read_text(encoding="utf-8")) == dict(load_card(CARD).text)
