"""The card of an ONNX file: how its input is made, what its outputs mean, its licence and where it comes from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...config import build, param, read_json, shown
from ...errors import ConfigError, ModelError
from ..base import BIGGEST_SIDE, Output

FORMAT, KIND = 1, "onnx"
_SMALL, _LARGE = 1e-9, 1_000_000
_SHA256 = re.compile("[0-9a-f]{64}")
# How an image reaches the size of the card: as it is stretched; scaled with its aspect inside it, around it or to its
# area, each side rounded to `multiple`; or scaled inside it and padded to it.
FITS = ("stretch", "inside", "around", "area", "pad")
# Six of Pillow, which smooth where the image shrinks; OpenCV's bilinear; OpenCV's area where it shrinks, else its cubic
KERNELS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "plain_bilinear", "area_or_cubic")
METRIC = ("metric_depth", "canonical_depth", "points", "affine_points")
RELATIVE = ("relative_depth", "relative_disparity")
MASKS = ("valid", "sky")
OTHERS = (*MASKS, "confidence", "sigma", "intrinsics", "focal", "metric_scale")


@dataclass(frozen=True)
class ImageInput:
    """The input that takes pictures. `width` and `height` 0: the file has one size of its own, which holds.

    `colour_fill` (grey levels) is the border of fit pad. A value is (grey level / scale - mean) / std.
    """

    name: str = param("image")
    width: int = param(0, unit="px", low=0, high=BIGGEST_SIDE)
    height: int = param(0, unit="px", low=0, high=BIGGEST_SIDE)
    multiple: int = param(1, unit="px", low=1, high=1024)
    fit: str = param("stretch", choices=FITS)
    kernel: str = param("bilinear", choices=KERNELS)
    layout: str = param("nchw", choices=("nchw", "nhwc"))
    colours: str = param("rgb", choices=("rgb", "bgr"))
    colour_fill: tuple[float, float, float] = param((0.0, 0.0, 0.0), low=0, high=255)
    scale: float = param(255.0, low=_SMALL, high=_LARGE)
    mean: tuple[float, float, float] = param((0.0, 0.0, 0.0), low=-_LARGE, high=_LARGE)
    std: tuple[float, float, float] = param((1.0, 1.0, 1.0), low=_SMALL, high=_LARGE)

    def __post_init__(self) -> None:
        if bool(self.width) != bool(self.height):
            raise ConfigError(f"width and height must both be given or both be 0, got {self.width} and {self.height}")
        if self.width % self.multiple or self.height % self.multiple:
            raise ConfigError(
                f"width and height must be multiples of {self.multiple}, got {self.width} and {self.height}"
            )


@dataclass(frozen=True)
class OtherInput:
    """A further input. tokens: the number of patches of `patch` pixels in the image, as an integer; rays: the camera's
    unit rays (N, 3, rows, columns); number: `value`.
    """

    kind: str = param(choices=("tokens", "rays", "number"))
    patch: int = param(14, unit="px", low=1, high=1024)
    value: float = param(0.0, low=-_LARGE, high=_LARGE)


@dataclass(frozen=True)
class DepthOutput:
    """The output that holds depth or what it follows from.

    metric_depth: metres. canonical_depth: metres of a camera of `canonical_focal_px`, so that metres = value * f / it,
    f the camera's focal length in pixels of the network's input. points: (x, y, z) in metres, of which z is taken.
    affine_points: (x, y, z) up to a shift of z, found from the focal length, and metres by the output metric_scale.
    relative_depth: depth up to scale. relative_disparity: inverse depth up to scale and shift. `layout` is that of
    point maps.
    """

    kind: str = param(choices=(*METRIC, *RELATIVE))
    name: str = param("depth")
    canonical_focal_px: float = param(0.0, unit="px", low=0.0, high=_LARGE)
    layout: str = param("nchw", choices=("nchw", "nhwc"))

    def __post_init__(self) -> None:
        if (self.kind == "canonical_depth") != (self.canonical_focal_px > 0):
            raise ConfigError(
                "canonical_focal_px must be above 0 for canonical_depth and left out for the others, got "
                f"{self.canonical_focal_px:g} for {self.kind}"
            )


@dataclass(frozen=True)
class OtherOutput:
    """A further output.

    valid, sky: a mask, true where the value is `true_where` the threshold. confidence: `worst` becomes 0 and `best` 1.
    sigma: `factor` times it is one standard deviation of depth, in the unit of the output. intrinsics: K (3, 3) of the
    network's input, whose top left pixel has its centre at `pixel_centre`; focal: its focal length in pixels.
    metric_scale: metres per unit of affine_points. `aliases` are names that other exports give the output.
    """

    kind: str = param(choices=OTHERS)
    threshold: float = param(0.5, low=-_LARGE, high=_LARGE)
    true_where: str = param("at_least", choices=("at_least", "below"))
    worst: float = param(0.0, low=-_LARGE, high=_LARGE)
    best: float = param(1.0, low=-_LARGE, high=_LARGE)
    factor: float = param(1.0, low=_SMALL, high=_LARGE)
    pixel_centre: float = param(0.5, low=0.0, high=0.5)
    aliases: tuple[str, ...] = param(())

    def __post_init__(self) -> None:
        if abs(self.worst - self.best) < _SMALL:
            raise ConfigError(f"worst and best must differ, got {self.worst:g} and {self.best:g}")


@dataclass(frozen=True)
class Origin:
    """Where the file comes from: `repo` at `revision` on the hub and `file` in it, or `command`, which makes it from
    `url` at `revision`. `read` lists what the card was written from, `not_verified` what no source could show.
    """

    url: str = param("")
    repo: str = param("")
    revision: str = param("")
    file: str = param("")
    command: str = param("")
    size_mb: float = param(0.0, unit="MB", low=0.0, high=_LARGE)
    sha256: str = param("")
    read: tuple[str, ...] = param(())
    not_verified: tuple[str, ...] = param(())


@dataclass(frozen=True, kw_only=True)
class OnnxCard:
    """A card as `load_onnx_card` reads it; `path` is its file, `file` the name of the ONNX file beside it."""

    format: int = param(low=FORMAT, high=FORMAT)
    kind: str = param(choices=(KIND,))
    name: str = param()
    licence: str = param()
    noncommercial: bool = param(False)
    file: str = param("")
    sha256: str = param("")
    input: ImageInput
    inputs: Mapping[str, OtherInput] = field(default_factory=dict)
    output: DepthOutput
    outputs: Mapping[str, OtherOutput] = field(default_factory=dict)
    source: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        for key in ("name", "licence"):
            if not getattr(self, key):
                raise ConfigError(f"{key} must be given, got an empty text")
        if Path(self.file).name != self.file:
            raise ConfigError(f"file must be the name of a file beside the card, got {shown(self.file)}")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ConfigError(
                f"sha256 must be 64 hexadecimal digits, as sha256sum prints them, or left out, got {shown(self.sha256)}"
            )
        kinds = [other.kind for other in self.outputs.values()]
        if twice := next((kind for kind in kinds if kinds.count(kind) > 1), ""):
            raise ConfigError(f"outputs must have one of each kind, got two of {twice}")
        if ("metric_scale" in kinds) != (self.output.kind == "affine_points"):
            raise ConfigError(
                "outputs must have one of kind metric_scale for affine_points, and for no other output.kind"
            )
        if "sigma" in kinds and self.output.kind not in METRIC:
            raise ConfigError(f"outputs may have one of kind sigma for metres only, got it for {self.output.kind}")
        if self.output.name in self.outputs or self.input.name in self.inputs:
            raise ConfigError("a name of output or input must not stand in outputs or inputs again")

    @property
    def predicts(self) -> Output:
        """The kind of a Prediction."""
        return "metric_depth" if self.output.kind in METRIC else "relative_disparity"

    @property
    def focal_text(self) -> str:
        """Which focal length the network assumes and how the camera's own comes in, for tables."""
        if self.output.kind == "canonical_depth":
            focal = f"{self.output.canonical_focal_px:g} px at the network's input"
            return f"{focal}: metres are scaled by the camera's own over it"
        if any(other.kind == "rays" for other in self.inputs.values()):
            return "none: the network is given the camera's rays"
        return {
            "metric_depth": "none stated: the network's metres as they are",
            "points": "none: the network's own points",
            "affine_points": "the camera's own gives the shift of the points",
        }.get(self.output.kind, "none: relative")

    @property
    def fingerprint(self) -> str:
        """Changes with what the card says."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def load_onnx_card(path: Path) -> OnnxCard:
    """Reads and checks a card. ModelError where it is missing, not JSON, of another kind, incomplete or wrong."""
    what = f"ONNX card {path}"
    try:
        tree = read_json(path, "ONNX card", "name the .json beside the ONNX file")
        told = (tree.get("format"), tree.get("kind")) if isinstance(tree, dict) else type(tree).__name__
        if told != (FORMAT, KIND):
            raise ConfigError(
                f"{what} must be a JSON object of format {FORMAT} and kind '{KIND}' (docs/models.md has the keys), got "
                f"{shown(told)}"
            )
        return build(OnnxCard, tree, what, noun="key")
    except ConfigError as error:
        raise ModelError(str(error)) from error
