"""The card and the U-Net++ that it describes: preprocessing rules, strict loading, bad cards and bad weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.card import FORMAT, load_card

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.models.unetpp import build_unetpp, load_unetpp, round_weights, write_weights  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _text(**changes: Any) -> dict[str, Any]:
    text = {
        "format": FORMAT, "name": "small",
        "architecture": {"family": "unetplusplus", "encoder": "tu-mobilenetv3_small_050",
                         "decoder_channels": [16, 16, 8, 8, 8]},
        "input": {"width": 320, "height": 256, "multiple": 32},
        "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "output": {"kind": "metric_depth"}, "canonical_focal_px": 256.0, "range_m": [0.1, 20.0],
    }
    for key, value in changes.items():
        node: Any = text
        *parents, last = key.split("__")
        for parent in parents:
            node = node[parent]
        node[last] = value
    return text


def _write(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(_text(**changes)))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A card with random weights beside it."""
    card = _write(tmp_path / "small.json")
    torch.manual_seed(0)
    write_weights(build_unetpp(load_card(card)), card.with_suffix(".safetensors"))
    return card


@pytest.mark.parametrize(("image", "expected"), [
    ((640, 480), (320, 256)), ((480, 640), (256, 320)), ((1280, 720), (384, 224)), ((641, 479), (320, 256)),
    ((5000, 20), (4512, 32)),
])
def test_input_size_keeps_area_and_aspect(tmp_path: Path, image: tuple[int, int], expected: tuple[int, int]) -> None:
    assert load_card(_write(tmp_path / "card.json")).input_size(*image) == expected


def test_focal_scale_is_focal_length_at_the_input_over_the_canonical_one(tmp_path: Path) -> None:
    card = load_card(_write(tmp_path / "card.json"))
    camera = PinholeCamera.from_intrinsics(640, 480, 517.3, 516.5, 318.6, 255.3)
    at_input = camera.resized(320, 256)
    assert card.focal_scale(camera) == pytest.approx(np.sqrt(at_input.fx * at_input.fy) / 256)
    assert card.focal_scale(PinholeCamera.from_intrinsics(320, 256, 256, 256, 160, 128)) == pytest.approx(1)


def test_weights_come_back_exactly_as_stored(checkpoint: Path) -> None:
    torch.manual_seed(0)
    original = build_unetpp(load_card(checkpoint)).eval()
    round_weights(original)
    image = torch.rand(2, 3, 64, 96)
    loaded = load_unetpp(checkpoint)
    assert not loaded.training
    with torch.inference_mode():
        depth = loaded(image)
        assert torch.equal(depth, original(image))
    assert depth.shape == (2, 1, 64, 96)
    assert depth.dtype == torch.float32
    assert 0.1 <= depth.min() <= depth.max() <= 20


def test_depth_stays_in_the_range(checkpoint: Path) -> None:
    model = load_unetpp(checkpoint)
    with torch.inference_mode():
        for offset, end in ((-50.0, 0.1), (50.0, 20.0)):
            model.network.segmentation_head[0].bias.fill_(offset)
            assert model(torch.rand(1, 3, 32, 32)).numpy() == pytest.approx(end, rel=1e-5)


@pytest.mark.parametrize(("changes", "says"), [
    ({"format": 99}, "format 1, got 99"),
    ({"architecture__family": "dpt"}, "'architecture.family' must be 'unetplusplus', got 'dpt'"),
    ({"output__kind": "relative_disparity"}, "'output.kind' must be 'metric_depth'"),
    ({"architecture": {"family": "unetplusplus"}}, "'architecture.encoder' must be given"),
    ({"input__width": 330}, "'input' must be sides that are multiples of 32, got '330x256'"),
    ({"input__multiple": 0}, "'input.multiple' must be a whole number of at least 1, got 0"),
    ({"normalisation__std": [0.2, 0.2]}, r"'normalisation.std' must be 3 finite number\(s\)"),
    ({"normalisation__std": [0.2, 0.0, 0.2]}, "'normalisation.std' must be positive"),
    ({"canonical_focal_px": -1}, "'canonical_focal_px' must be positive, got -1"),
    ({"range_m": [5, 1]}, "'range_m' must be 0 < nearest < farthest"),
    ({"architecture__decoder_channels": []}, "'architecture.decoder_channels' must be a list of whole numbers"),
    ({"name": ""}, "'name' must be text"),
])
def test_wrong_cards_say_what_is_wrong(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load_card(_write(tmp_path / "card.json", **changes))
    assert "card.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "says"), [
    (None, "cannot be read"), ("{", "must be JSON text"), ("[]", "got 'list'")])
def test_files_that_are_no_cards(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "card.json").write_text(content)
    with pytest.raises(ModelError, match=says):
        load_card(tmp_path / "card.json")


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"small\.safetensors cannot be read: put the \.safetensors file"):
        load_unetpp(_write(tmp_path / "small.json"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(checkpoint: Path, share: float) -> None:
    weights = checkpoint.with_suffix(".safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(ModelError, match=r"small\.safetensors must be a whole safetensors file, got \d+ b") as caught:
        load_unetpp(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "value", "says"), [
    ("architecture__decoder_channels", [32, 16, 8, 8, 8], "0 missing, 0 unknown, [1-9][0-9]* of another shape"),
    ("architecture__encoder", "tu-resnet18", "[1-9][0-9]* missing, [1-9][0-9]* unknown"),
])
def test_weights_of_another_architecture(checkpoint: Path, key: str, value: Any, says: str) -> None:
    _write(checkpoint, **{key: value})
    with pytest.raises(ModelError, match=f"of another architecture than card small.json.*{says}") as caught:
        load_unetpp(checkpoint)
    assert "\n" not in str(caught.value)


def test_unknown_encoder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot build encoder 'tu-no_such_net'") as caught:
        build_unetpp(load_card(_write(tmp_path / "card.json", architecture__encoder="tu-no_such_net")))
    assert "\n" not in str(caught.value)
