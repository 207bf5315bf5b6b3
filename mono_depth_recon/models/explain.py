"""What made a region of an image near or far: Grad-CAM, attention roll-out, or SHAP values of one network.

The number explained is the mean over the region of log depth (of a relative model: of negated disparity), so that
positive values push the region farther and negative ones nearer. Roll-out has no sign: it gives the share that
each place contributes to the region's tokens. Importing this module loads no torch.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ModelError
from .base import DepthModel, Output, View, needs_prompt
from .ensemble import PREFIX
from .hub import HF
from .runtimes import Network
from .table import CHECKPOINTS, is_onnx_file
from .transformers.family import Family
from .transformers.model import TransformerDepthModel

METHODS = ("gradcam", "rollout", "shap")
_SHAP_ROUNDS, _SHAP_SAMPLES = 8, 4  # batches and samples of one batch
_SHAP_NOISE = 0.05  # of the input's standard deviation
_SHAP_SMOOTHING = 28  # values are smoothed by 1 / 28 of the longer side: single pixels are noise
_NEAREST_M = 1e-3


@dataclass(frozen=True)
class Region:
    """A rectangle of an image in pixels: columns from x, rows from y."""

    x: int
    y: int
    width: int
    height: int

    def check(self, width: int, height: int) -> None:
        """Raises DataError unless it lies in an image of width x height pixels."""
        inside = 0 <= self.x < self.x + self.width <= width and 0 <= self.y < self.y + self.height <= height
        if not inside:
            raise DataError(
                f"the region must lie in the image of {width}x{height} pixels, got x {self.x}, y {self.y}, "
                f"width {self.width}, height {self.height}"
            )


@dataclass(frozen=True)
class Explanation:
    """`values` (H, W) float32 on the image's grid; `signed`: > 0 pushes the region farther.

    `note` says what they come from. Their unit means nothing beyond this image.
    """

    method: str
    values: NDArray[np.float32]
    signed: bool
    note: str


@runtime_checkable
class _OneNetwork(Protocol):
    """A model whose network can be looked into: canonical and transformer models."""

    network: Network

    def network_input(self, view: View) -> NDArray[np.float32]: ...

    @property
    def output(self) -> Output: ...


def explain(model: DepthModel, view: View, region: Region, method: str) -> Explanation:
    """What made `region` of the view near or far, by `method` of METHODS, on the CPU in float32.

    Grad-CAM is for convolutional networks, roll-out for transformers, SHAP for all. ModelError where the method does
    not fit the model or a library is missing, DataError where the region is not in the image.
    """
    if method not in METHODS:
        raise ModelError(f"method must be one of {', '.join(METHODS)}, got '{method}'")
    region.check(*view[1].size)
    if not isinstance(model, _OneNetwork):
        raise ModelError(
            f"explain looks into one network of torch in one run, {model.name} is an ensemble, estimates sigma or is "
            "an ONNX file: name one of its members or another model, with model.uncertainty none"
        )
    if needs_prompt(model):
        raise ModelError(f"explain looks at the image alone, {model.name} is given depth too: name another model")
    _need("torch", "torch")
    if method != "rollout":
        _need("captum", "explain")
    question = _Question(model, view, region)
    _check_fit(model.name, question.family is not None, method)
    return {"gradcam": _grad_cam, "rollout": _roll_out, "shap": _shap}[method](question)


def methods_of(name: str) -> tuple[str, ...]:
    """The methods for the model that the table calls `name`; none for ensembles and ONNX files."""
    if name.startswith(PREFIX) or is_onnx_file(name):
        return ()
    return ("rollout", "shap") if name in CHECKPOINTS or name.startswith(HF) else ("gradcam", "shap")


def _need(library: str, extra: str) -> None:
    if importlib.util.find_spec(library) is None:
        raise ModelError(f"explain needs {library}, which is not installed: pip install 'mono_depth_recon[{extra}]'")


def _check_fit(name: str, transformer: bool, method: str) -> None:
    if method == "gradcam" and transformer:
        raise ModelError(
            f"gradcam reads the features of a convolutional network, {name} is a transformer: use rollout or shap"
        )
    if method == "rollout" and not transformer:
        raise ModelError(
            f"rollout reads the attention of a transformer, {name} is a convolutional network: use gradcam or shap"
        )


class _Question:
    """A network, its input (1, 3, rows, columns), and the region on the input's grid. `family`: of transformers."""

    def __init__(self, model: _OneNetwork, view: View, region: Region) -> None:
        import torch

        self._model, self._size = model, view[1].size
        self.module: Any = model.network.build().float().eval()
        self.input = torch.from_numpy(model.network_input(view))
        self.weights = torch.from_numpy(_region_on_input(model, view, region))
        self.family: Family | None = model.family if isinstance(model, TransformerDepthModel) else None
        self._inverse = model.output == "relative_disparity" or (self.family is not None and self.family.inverse)

    def farness(self, images: Any) -> Any:
        """(N,) of images (N, 3, rows, columns): the number that is explained."""
        import torch

        answer = self.module(images)[:, :1]
        weights = torch.nn.functional.adaptive_avg_pool2d(self.weights[None, None], answer.shape[-2:])
        values = -answer if self._inverse else answer.clamp_min(_NEAREST_M).log()
        return (values * weights).sum((1, 2, 3)) / weights.sum()

    def on_image(self, values: Any) -> NDArray[np.float32]:
        """A map of the network's input (rows, columns), of any resolution, on the grid of the image."""
        import cv2

        rows, columns = self.input.shape[-2:]
        fine = cv2.resize(values.detach().float().numpy(), (columns, rows), interpolation=cv2.INTER_LINEAR)
        if isinstance(self._model, TransformerDepthModel):
            return self._model.rule.restored(fine, *self._size)
        return np.asarray(cv2.resize(fine, self._size, interpolation=cv2.INTER_LINEAR), np.float32)


def _region_on_input(model: _OneNetwork, view: View, region: Region) -> NDArray[np.float32]:
    """(rows, columns) 0 to 1: the region as the network sees it, by passing it through the preprocessing of images."""
    marked = np.zeros_like(view[0])
    marked[region.y : region.y + region.height, region.x : region.x + region.width] = 255
    black, white, seen = (
        model.network_input((image, view[1]))[0].mean(axis=0, dtype=np.float64)
        for image in (np.zeros_like(marked), np.full_like(marked, 255), marked)
    )
    share = np.clip((seen - black) / (white - black), 0, 1)
    if share.sum() < 1:  # smaller than a pixel of the input
        share = share / share.max() if share.max() > 0 else np.ones_like(share)
    return share.astype(np.float32)


def _grad_cam(question: _Question) -> Explanation:
    """Features weighted by their mean gradient (Selvaraju et al., ICCV 2017), without ReLU: both signs.

    A map of features, not of places: a feature that pushed the region shows wherever else in the image it occurs.
    """
    from captum.attr import LayerGradCam

    name, layer = _coarsest_layer(question)
    cam = LayerGradCam(question.farness, layer).attribute(question.input, relu_attributions=False)
    rows, columns = cam.shape[-2:]
    return Explanation(
        "gradcam", question.on_image(cam[0, 0]), True, f"{columns}x{rows} features of {name.removeprefix('network.')}"
    )


def _coarsest_layer(question: _Question) -> tuple[str, Any]:
    """The layer that ran last among those with the fewest positions: of a U-Net the end of its encoder."""
    import torch

    ran: list[tuple[str, Any, int]] = []

    def note(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(layer: Any, _: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[1] > 1:
                ran.append((name, layer, output.shape[-2] * output.shape[-1]))

        return hook

    hooks = [
        layer.register_forward_hook(note(name))
        for name, layer in question.module.named_modules()
        if not list(layer.children())
    ]
    with torch.inference_mode():
        question.module(question.input)
    for hook in hooks:
        hook.remove()
    maps = [row for row in ran if row[2] > 1]  # not a squeeze to one number per channel
    if not maps:
        raise ModelError("gradcam found no layer of feature maps in the network: use shap")
    fewest = min(positions for _, _, positions in maps)
    name, layer, _ = [row for row in maps if row[2] == fewest][-1]
    return name, layer


def _shap(question: _Question) -> Explanation:
    """Expected gradients (captum's GradientShap) against uniform images of the mean, darkest and brightest colour."""
    import cv2
    import torch
    from captum.attr import GradientShap

    flat = question.input.flatten(2)
    baselines = torch.cat(
        [level[..., None, None].expand_as(question.input) for level in (flat.mean(2), flat.amin(2), flat.amax(2))]
    )
    noise = _SHAP_NOISE * float(question.input.std())
    total = torch.zeros_like(question.input)
    with _fixed_seed():
        for _ in range(_SHAP_ROUNDS):
            total += GradientShap(question.farness).attribute(question.input, baselines, _SHAP_SAMPLES, noise)
    values = question.on_image(total[0].sum(0) / _SHAP_ROUNDS)
    smoothed = cv2.GaussianBlur(values, (0, 0), max(values.shape) / _SHAP_SMOOTHING)
    return Explanation(
        "shap", np.asarray(smoothed, np.float32), True, f"{_SHAP_ROUNDS * _SHAP_SAMPLES} samples against uniform images"
    )


@contextlib.contextmanager
def _fixed_seed() -> Iterator[None]:
    """Makes captum, which draws from the global generators of torch and numpy, give the same result every time."""
    import torch

    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _roll_out(question: _Question) -> Explanation:
    """Attention roll-out (Abnar and Zuidema, ACL 2020), read at the region's tokens.

    Blocks whose attention is reduced in space (every token looks at averaged keys) cannot be chained: the blocks after
    the last such one count.
    """
    import torch

    assert question.family is not None, "roll-out is for transformers"
    with torch.inference_mode():
        attentions = question.family.attentions(question.module.model, question.input)
    chain = _square_tail(attentions)
    if not chain:
        raise ModelError("rollout found no chain of whole attention maps in the network: use shap")
    special, rows, columns = _token_grid(chain[-1].shape[-1], *question.input.shape[-2:])
    weights = torch.nn.functional.adaptive_avg_pool2d(question.weights[None, None], (rows, columns)).flatten()
    shares = rollout([attention[0] for attention in chain])[special:]
    row = (weights / weights.sum()) @ shares
    return Explanation(
        "rollout",
        question.on_image(row[special:].reshape(rows, columns)),
        False,
        f"{len(chain)} of {len(attentions)} blocks, {columns}x{rows} tokens",
    )


def rollout(attentions: list[Any]) -> Any:
    """(tokens, tokens) from one (heads, tokens, tokens) per block, first to last: what each token took from each other.

    The mean of the heads, half of it from the residual connection; every row sums to 1.
    """
    import torch

    tokens = attentions[0].shape[-1]
    total = torch.eye(tokens)
    for attention in attentions:
        total = (0.5 * attention.float().mean(0) + 0.5 * torch.eye(tokens)) @ total
    return total / total.sum(-1, keepdim=True)


def _square_tail(attentions: Sequence[Any]) -> list[Any]:
    """The longest run at the end of maps (1, heads, tokens, tokens) over one number of tokens."""
    tail: list[Any] = []
    for attention in reversed(attentions):
        if (
            attention.ndim != 4
            or attention.shape[-1] != attention.shape[-2]
            or (tail and attention.shape != tail[-1].shape)
            or len(attention) != 1
        ):
            break
        tail.append(attention)
    return tail[::-1]


def _token_grid(tokens: int, rows: int, columns: int) -> tuple[int, int, int]:
    """(special tokens, token rows, token columns) of an input of rows x columns pixels."""
    for special in range(10):  # class, distillation and register tokens stand first
        stride = (rows * columns / (tokens - special)) ** 0.5
        found = round(rows / stride), round(columns / stride)
        if found[0] * found[1] == tokens - special:
            return special, *found
    raise ModelError(f"rollout cannot lay {tokens} tokens over an input of {columns}x{rows} pixels: use shap")
