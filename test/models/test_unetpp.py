"""The card and the U-Net++ that it describes: preprocessing rules, strict loading, bad cards and bad weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.canonical import load_canonical
from mono_depth_recon.models.card import FORMAT, SigmaFit, load_card

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.models.unetpp import (  # noqa: E402
    DecoderDropout,
    build_unetpp,
    load_unetpp,
    round_weights,
    sample_dropout,
    write_weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def _text(**changes: Any) -> dict[str, Any]:
    text = {
        "format": FORMAT,
        "name": "small",
        "architecture": {
            "family": "unetplusplus",
            "encoder": "tu-mobilenetv3_small_050",
            "decoder_channels": [16, 16, 8, 8, 8],
        },
        "input": {"width": 320, "height": 256, "multiple": 32},
        "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "output": {"kind": "metric_depth"},
        "canonical_focal_px": 256.0,
        "range_m": [0.1, 20.0],
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


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ((640, 480), (320, 256)),
        ((480, 640), (256, 320)),
        ((1280, 720), (384, 224)),
        ((641, 479), (320, 256)),
        ((5000, 20), (4512, 32)),
    ],
)
def test_input_size_keeps_area_and_aspect(tmp_path: Path, image: tuple[int, int], expected: tuple[int, int]) -> None:
    assert load_card(_write(tmp_path / "card.json")).input_size(*image) == expected


@pytest.mark.parametrize(
    ("short_side", "expected"),
    [(0, (320, 256)), (128, (160, 128)), (100, (128, 96)), (10, (32, 32)), (480, (640, 480))],
)
def test_short_side_of_the_input_is_what_is_asked_for_to_the_nearest_multiple(
    tmp_path: Path, short_side: int, expected: tuple[int, int]
) -> None:
    card = load_card(_write(tmp_path / "card.json"))
    assert card.input_size(640, 480, short_side) == expected
    assert card.input_size(480, 640, short_side) == expected[::-1]


def test_dropout_and_fits_of_sigma_are_read_where_a_card_has_them(tmp_path: Path) -> None:
    old = load_card(_write(tmp_path / "old.json"))
    assert (old.dropout, dict(old.sigma_fits)) == (0.0, {})
    new = load_card(
        _write(
            tmp_path / "new.json",
            architecture__dropout=0.1,
            sigma={"flip": {"temperature": 2.5, "coverage_1": 0.68}, "mc_dropout": {"temperature": 3, "floor": 0.1}},
        )
    )
    assert new.dropout == 0.1
    assert new.sigma_fits == {"flip": SigmaFit(2.5), "mc_dropout": SigmaFit(3.0, 0.1)}


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


def test_dropout_changes_no_name_of_a_weight_and_nothing_in_eval_mode(checkpoint: Path) -> None:
    dry, image = load_unetpp(checkpoint), torch.rand(1, 3, 64, 64)
    _write(checkpoint, architecture__dropout=0.4)
    wet = load_unetpp(checkpoint)
    with torch.inference_mode():
        assert torch.equal(wet(image), dry(image))
        sample_dropout(wet)
        assert not wet.training
        assert not torch.equal(wet(image), wet(image))
        torch.manual_seed(1)
        first = wet(image)
        torch.manual_seed(1)
        assert torch.equal(wet(image), first)


def test_dropout_takes_whole_channels_behind_every_decoder_block_but_the_last(checkpoint: Path) -> None:
    card = load_card(_write(checkpoint, architecture__dropout=0.5))
    blocks = build_unetpp(card).network.decoder.blocks
    dropping = [name for name, block in blocks.items() if isinstance(block.attention2, DecoderDropout)]
    assert dropping == [name for name in blocks if name != "x_0_4"]
    layer = sample_dropout(DecoderDropout(0.5)).eval()
    taken = layer(torch.ones(4, 50, 5, 6)).flatten(2)
    assert set(taken.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(taken.amin(2), taken.amax(2))
    assert not torch.equal(taken[0], taken[1])


def test_architecture_of_the_paper_on_the_meta_device(tmp_path: Path) -> None:
    card = load_card(
        _write(
            tmp_path / "card.json",
            architecture__encoder="resnext50_32x4d",
            architecture__decoder_channels=[256, 128, 64, 32, 16],
            architecture__dropout=0.1,
        )
    )
    with torch.device("meta"):
        module = build_unetpp(card)
    encoder = module.network.encoder
    assert [len(getattr(encoder, f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert encoder.layer1[0].conv2.groups == 32
    assert encoder.layer1[0].conv2.weight.shape == (128, 4, 3, 3)  # 32 groups of width 4
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(48.5e6, rel=0.01)


def test_encoder_weights_that_cannot_be_fetched_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(_write(tmp_path / "card.json", architecture__encoder="resnext50_32x4d"))
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", _offline)
    with pytest.raises(
        ModelError,
        match=r"'imagenet' of encoder resnext50_32x4d are neither cached nor reachable.*"
        r"network\.encoder_weights none",
    ) as caught:
        build_unetpp(card, "imagenet")
    assert "\n" not in str(caught.value)


def _offline(*_: object, **__: object) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("outgoing traffic has been disabled")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture__dropout": 1.0}, "architecture.dropout must be 0 to 0.999, got 1.0"),
        ({"architecture__dropout": "much"}, "architecture.dropout must be of type float, got 'much'"),
        ({"architecture__attention": "self"}, "architecture.attention must be one of none, scse, got 'self'"),
        ({"sigma": [2]}, r"sigma must be a table of keys and values, got \[2\]"),
        ({"sigma": {"flip": {"temperature": 0}}}, "sigma.flip.temperature must be 1e-09 to 1e.06, got 0"),
        ({"sigma": {"flip": {"temperature": 1, "floor": -1}}}, "sigma.flip.floor must be 0 to 1e.06, got -1"),
        ({"sigma": {"flip": 2}}, "sigma.flip must be a table of keys and values, got 2"),
        ({"sigma": {"flip": {}}}, "missing key: sigma.flip.temperature"),
        ({"format": 99}, "format 1, got 99"),
        ({"architecture__family": "dpt"}, "architecture.family must be one of unetplusplus, got 'dpt'"),
        ({"output__kind": "relative_disparity"}, "output.kind must be one of metric_depth"),
        ({"architecture": {"family": "unetplusplus"}}, "missing keys: architecture.encoder, architecture.decoder_chan"),
        ({"architecture__encoder": ""}, "architecture.encoder must be given, got an empty text"),
        ({"input__width": 330}, "input.width and height must be multiples of 32, got 330 and 256"),
        ({"input__multiple": 0}, "input.multiple must be 1 to 4096 px, got 0"),
        ({"input__width": 320_000}, "input.width must be 1 to 4096 px, got 320000"),
        ({"normalisation__std": [0.2, 0.2]}, r"normalisation.std must be a list of 3, got \[0.2, 0.2\]"),
        ({"normalisation__std": [0.2, 0.0, 0.2]}, "normalisation.std.1 must be 1e-09 to 1e.06, got 0.0"),
        ({"canonical_focal_px": -1}, "canonical_focal_px must be 1e-09 to 1e.06 px, got -1"),
        ({"range_m": [5, 1]}, r"range_m must be nearest < farthest, got \[5.0, 1.0\]"),
        (
            {"architecture__decoder_channels": []},
            r"architecture.decoder_channels must be a list of one or more",
        ),
        ({"name": ""}, "name must be given, got an empty text"),
    ],
)
def test_wrong_cards_say_what_is_wrong(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load_card(_write(tmp_path / "card.json", **changes))
    assert "card.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read .*: name the .json beside the weights"),
        (b"{", "must be JSON text"),
        (b"[]", "got 'list'"),
        (b"\xff\xfe{", "must be UTF-8 text"),
        (b"[" * 100_000, "must be JSON text, got one that is nested too deeply"),
        (b'{"format": ' + b"1" * 5000 + b"}", "must be JSON text, got: Exceeds the limit"),
    ],
)
def test_files_that_are_no_cards(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(ModelError, match=says) as caught:
        load_card(tmp_path / "card.json")
    assert "\n" not in str(caught.value)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"small\.safetensors are missing: put the \.safetensors file"):
        load_unetpp(_write(tmp_path / "small.json"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(checkpoint: Path, share: float) -> None:
    weights = checkpoint.with_suffix(".safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"small\.safetensors must be a whole safetensors file, got \d+ b") as caught:
        load_unetpp(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("architecture__decoder_channels", [32, 16, 8, 8, 8], "0 missing, 0 unknown, [1-9][0-9]* of another shape"),
        ("architecture__encoder", "tu-resnet18", "[1-9][0-9]* missing, [1-9][0-9]* unknown"),
    ],
)
def test_weights_of_another_architecture(checkpoint: Path, key: str, value: Any, says: str) -> None:
    _write(checkpoint, **{key: value})
    with pytest.raises(ModelError, match=f"of another architecture than card small.json.*{says}") as caught:
        load_unetpp(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "says"), [("tu-no_such_net", "Unknown model"), ("resnext50_32x4", "did you mean 'resnext50_32x4d'")]
)
def test_unknown_encoder(tmp_path: Path, encoder: str, says: str) -> None:
    with pytest.raises(ModelError, match=f"cannot build encoder '{encoder}'.*{says}") as caught:
        build_unetpp(load_card(_write(tmp_path / "card.json", architecture__encoder=encoder)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_metres_at_another_input_size_follow_the_exponent_of_the_card(tmp_path: Path) -> None:
    camera = PinholeCamera.from_intrinsics(640, 480, 500, 500, 320, 240)
    plain = load_card(_write(tmp_path / "plain.json"))
    fitted = load_card(_write(tmp_path / "fitted.json", output__size_exponent=0.5))
    assert plain.focal_scale(camera, 128) == plain.focal_scale(camera) == fitted.focal_scale(camera)
    columns, rows = fitted.input_size(640, 480, 128)
    ratio = (columns * rows / np.prod(fitted.input_size(640, 480))) ** 0.25
    assert fitted.focal_scale(camera, 128) == pytest.approx(ratio * plain.focal_scale(camera))


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_weights_that_are_not_finite(checkpoint: Path, runtime: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = checkpoint.with_suffix(".safetensors")
    tensors = load_file(weights)
    key = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[key][0, 0] = float("inf")
    save_file(tensors, weights)
    settings = ModelConfig(checkpoint=str(checkpoint), runtime=runtime)
    with pytest.raises(ModelError, match=f"{weights} must be finite, its '{key}' holds infinity"):
        load_canonical(checkpoint, settings, 1)
