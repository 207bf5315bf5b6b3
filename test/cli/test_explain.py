"""Explanations of networks whose answer is known: only the left half of the image influences the depth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shrunken import write_shrunken

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import DataError, ModelError
from mono_depth_recon.frames import Prediction
from mono_depth_recon.models import DepthModel, load_model
from mono_depth_recon.models.base import Output, View
from mono_depth_recon.models.ensemble import Ensemble
from mono_depth_recon.models.explain import Region, explain, rollout
from mono_depth_recon.models.runtimes import Network
from mono_depth_recon.pictures.explanation import answer_panel, influence_panel, region_panel
from mono_depth_recon.pictures.panels import depth_panel, write_png

pytestmark = pytest.mark.usefixtures("one_thread")

torch = pytest.importorskip("torch")
pytest.importorskip("captum")

WIDTH, HEIGHT = 64, 48
REGION = Region(40, 10, 16, 12)
CAMERA = PinholeCamera.from_hfov(WIDTH, HEIGHT, 60)


class LeftAlone(torch.nn.Module):
    """Every depth is exp(mean brightness of the left half); `sign` -1 makes what is bright near."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(3, 4, 1, bias=False)
        self.active = torch.nn.ReLU()
        with torch.no_grad():
            self.features.weight.fill_(1 / 12)
        self.sign = sign

    def forward(self, image: Any) -> Any:
        left = (torch.arange(image.shape[-1]) < image.shape[-1] // 2).float()
        seen = self.active(self.features(image * left))
        depth = torch.exp(self.sign * seen.mean((1, 2, 3), keepdim=True))
        return depth.expand(-1, 1, *image.shape[-2:])


class StandIn:
    """A model around one module, whose input is the image from 0 to 1."""

    device = "none"

    def __init__(self, module: Any, output: Output = "metric_depth") -> None:
        self.name, self.output = "stand-in", output
        self.network = Network("stand-in", "1", lambda: module, Path())

    def network_input(self, view: View) -> np.ndarray:
        return (view[0].transpose(2, 0, 1)[None] / 255).astype(np.float32)

    def predict(self, batch: Any) -> list[Prediction]:
        raise NotImplementedError

    def release_memory(self) -> None:
        pass


def view() -> View:
    rng = np.random.default_rng(4)
    return rng.integers(60, 250, (HEIGHT, WIDTH, 3), np.uint8), CAMERA


@pytest.mark.parametrize("method", ["gradcam", "shap"])
@pytest.mark.parametrize(
    ("sign", "output", "farther"),
    [(1.0, "metric_depth", True), (-1.0, "metric_depth", False), (1.0, "relative_disparity", False)],
)
def test_only_what_influences_the_depth_is_shown_and_its_sign_is_the_push(
    method: str, sign: float, output: Output, farther: bool
) -> None:
    found = explain(StandIn(LeftAlone(sign), output), view(), REGION, method)
    assert found.values.shape == (HEIGHT, WIDTH)
    assert found.values.dtype == np.float32
    assert found.signed
    left, right = found.values[:, : WIDTH // 2 - 8], found.values[:, WIDTH // 2 + 8 :]
    assert (left.mean() > 0) == farther
    assert np.abs(left).mean() > 50 * np.abs(right).max()


def test_shap_values_add_up_to_the_difference_from_the_even_images() -> None:
    """Of a function that is linear in the image: mean over the three baselines, up to the smoothing at the border."""
    rgb, camera = view()
    found = explain(StandIn(LeftAlone()), (rgb, camera), REGION, "shap")
    light = rgb[:, : WIDTH // 2].astype(np.float64) / 255
    whole = rgb / 255
    even = np.mean([whole.mean((0, 1)), whole.min((0, 1)), whole.max((0, 1))])
    # log exp mean: half of the positions are the dark right ones
    assert found.values.sum() == pytest.approx((light.mean() - even) / 2, abs=0.03)


def test_the_same_question_has_the_same_answer_and_leaves_the_generators_alone() -> None:
    model = StandIn(LeftAlone())
    before, state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (explain(model, view(), REGION, "shap").values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_region_is_explained_by_what_reaches_it() -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.Softplus(), torch.nn.Conv2d(2, 1, 1), torch.nn.Softplus()
    )
    values = np.abs(explain(StandIn(module), view(), REGION, "shap").values)
    inside = values[REGION.y : REGION.y + REGION.height, REGION.x : REGION.x + REGION.width]
    assert inside.mean() > 10 * values[:, :24].mean()


def test_rollout_by_hand() -> None:
    identity, everything = torch.eye(4)[None], torch.full((2, 4, 4), 0.25)
    assert torch.allclose(rollout([identity, identity]), torch.eye(4))
    once = 0.5 * torch.eye(4) + 0.5 * 0.25
    assert torch.allclose(rollout([everything]), once)
    assert torch.allclose(rollout([identity, everything, everything]), once @ once)
    turn = torch.eye(4)[[1, 2, 3, 0]][None]  # each token looks at the next one
    assert torch.allclose(rollout([turn, everything])[0], once[0] @ (0.5 * torch.eye(4) + 0.5 * turn[0]))


# transformers of the true architectures, small, with random weights


def loaded(name: str, folder: Path) -> DepthModel:
    pytest.importorskip("transformers")
    write_shrunken(name, folder)
    return load_model(
        ModelConfig(name=name, checkpoint=str(folder), runtime="torch", precision="f32", accept_noncommercial=True), 1
    )


def large_view() -> View:
    rng = np.random.default_rng(4)
    return rng.integers(0, 255, (240, 320, 3), np.uint8), PinholeCamera.from_hfov(320, 240, 60)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("midas_dpt_hybrid", "4 of 4 blocks, 24x24 tokens"),
        ("depth_anything_v2_small", "4 of 4 blocks, 37x28 tokens"),
        ("zoedepth_nyu", "4 of 4 blocks, 32x24 tokens"),
        ("depth_pro", "3 of 3 blocks, 4x4 tokens"),
        ("glpn_nyu", "1 of 5 blocks, 10x7 tokens"),
    ],
)
def test_roll_out_of_a_transformer_is_larger_at_the_region_of_random_weights(
    name: str, note: str, tmp_path: Path
) -> None:
    """Attention of random weights is nearly even, so that the residual connections decide."""
    region = Region(20, 120, 60, 80)
    found = explain(loaded(name, tmp_path / name), large_view(), region, "rollout")
    assert (found.note, found.signed, found.values.shape) == (note, False, (240, 320))
    assert (found.values >= 0).all()
    assert found.values[120:200, 20:80].mean() > 1.5 * found.values.mean()


def test_methods_that_do_not_fit_say_what_does(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a transformer: use rollout or shap"):
        explain(loaded("glpn_nyu", tmp_path / "glpn"), large_view(), REGION, "gradcam")
    with pytest.raises(ModelError, match="stand-in is a convolutional network: use gradcam or shap"):
        explain(StandIn(LeftAlone()), view(), REGION, "rollout")
    both = Ensemble([StandIn(LeftAlone()), StandIn(LeftAlone())])
    with pytest.raises(ModelError, match="ensemble:stand-in\\+stand-in is an ensemble"):
        explain(both, view(), REGION, "shap")
    with pytest.raises(ModelError, match="one of gradcam, rollout, shap, got 'lime'"):
        explain(StandIn(LeftAlone()), view(), REGION, "lime")


@pytest.mark.parametrize("region", [Region(60, 0, 5, 5), Region(-1, 0, 5, 5), Region(0, 0, 0, 5), Region(0, 47, 5, 2)])
def test_a_region_outside_of_the_image_is_refused(region: Region) -> None:
    with pytest.raises(DataError, match="must lie in the image of 64x48 pixels"):
        explain(StandIn(LeftAlone()), view(), region, "shap")


@pytest.mark.parametrize(("library", "extra"), [("captum", "explain"), ("torch", "torch")])
def test_a_missing_library_is_named_with_its_extra(library: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = StandIn(LeftAlone())
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == library else object())
    with pytest.raises(ModelError, match=rf"needs {library}, .* pip install 'mono_depth_recon\[{extra}\]'"):
        explain(found, view(), REGION, "shap")


def test_pictures_mark_the_region_and_colour_both_signs() -> None:
    rgb = np.full((240, 320, 3), 128, np.uint8)
    values = np.zeros((240, 320), np.float32)
    values[:, :100], values[:, 220:] = 1.0, -1.0
    panel = influence_panel(rgb, values, True, (140, 100, 40, 30), "Grad-CAM").image
    assert panel.shape == (480, 640, 3)
    red, grey, blue = panel[240, 60].astype(int), panel[100, 270].astype(int), panel[240, 530].astype(int)
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80
    assert np.ptp(grey) == 0
    marked = region_panel(rgb, (140, 100, 40, 30), "Region").image
    depth = depth_panel(np.full((240, 320), 2, np.float32))
    answer = answer_panel(depth, (320, 240), (140, 100, 40, 30), "2 m").image
    edge = (480 - 411) // 2 + round(100 * 548 / 320)  # the upper one, of an image 548 x 411 pixels large
    for picture in (marked, answer, panel):
        assert (picture[edge, 245:305] == 255).all()
    assert (marked[edge + 30, 280] == 128).all()


def test_command_writes_a_picture_of_the_embedded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    write_png(tmp_path / "seen.png", large_view()[0])
    command = ["explain", str(tmp_path / "seen.png"), "--region", "100,50,60,50", "--output", str(tmp_path / "out")]
    for method, words in (("gradcam", "5x4 features of"), ("shap", "32 samples")):
        assert main([*command, "--method", method, "--model.input_size", "128", "--cpu_threads", "1"]) == 0
        assert words in capsys.readouterr().out
        assert (tmp_path / "out" / f"seen_{method}.png").stat().st_size > 10_000
    assert main([*command, "--method", "rollout"]) == 1
    assert "use gradcam or shap" in capsys.readouterr().err
    command[3] = "300,50,60,50"
    assert main([*command, "--method", "shap"]) == 1
    assert "must lie in the image of 320x240" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["explain", str(tmp_path / "seen.png"), "--region", "1,2,3", "--method", "shap"])
    assert "must be x,y,width,height" in capsys.readouterr().err


def test_command_takes_an_image_whose_name_is_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    write_png(image, large_view()[0])
    command = ["explain", str(image), "--region", "100,50,60,50", "--output", str(tmp_path / "out")]
    assert main([*command, "--method", "gradcam", "--model.input_size", "128", "--cpu_threads", "1"]) == 0
    assert "caf\\xe9.png: Grad-CAM" in capsys.readouterr().out
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9_gradcam.png")).stat().st_size > 10_000
