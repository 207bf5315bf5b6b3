"""Computes once what is the same in every run of a torch module: batch norms, and weights that are standardised."""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_STANDARDISED = "transformers.models.bit.modeling_bit", "WeightStandardizedConv2d"
_ACTIVATED = "timm.layers.norm_act", "BatchNormAct2d"
_PADDED_AS_TENSORFLOW = "timm.layers.conv2d_same", "Conv2dSame"


def fold(module: nn.Module, shape: Sequence[int]) -> None:
    """Changes `module`, in eval mode, which takes a tensor of `shape`; its results stay the same up to rounding.

    A batch norm whose input is a convolution's output, which nothing else takes, goes into that convolution; not in a
    module that needs numbers to find its way. For networks of `Network.foldable` in float32: in 16 bits weights and
    biases that hold the batch norms would be rounded, which costs several times as much as the network's own rounding.
    """
    pairs = _pairs(module, shape) if any(_is_fixed(part) for part in module.modules()) else []
    for conv, norm in pairs:
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = weight, bias
    _replace(module, {norm: _rest(norm) for _, norm in pairs})


def standardise(module: nn.Module) -> None:
    """Gives the standardised convolutions of BiT (Kolesnikov et al., ECCV 2020) the weights that they make."""
    _replace(module, {conv: _plain(conv) for conv in module.modules() if type(conv) is _class(*_STANDARDISED)})


def convolves(part: nn.Module) -> bool:
    """Whether it is a convolution whose weights and bias are used as they are."""
    return type(part) in (nn.Conv2d, _class(*_PADDED_AS_TENSORFLOW))


def _is_fixed(part: Any) -> bool:
    """Whether it is a batch norm that multiplies and adds the same numbers in each run."""
    known = type(part) in (nn.BatchNorm2d, _class(*_ACTIVATED))
    return known and not part.training and part.running_mean is not None


def _pairs(module: nn.Module, shape: Sequence[int]) -> list[tuple[Any, Any]]:
    """Convolutions and the batch norms that alone take their output, by a run without numbers (torch's meta device)."""
    makers: dict[Any, nn.Module] = {}
    takers: dict[nn.Module, Any] = {}
    calls: Counter[nn.Module] = Counter()

    def made(conv: nn.Module, _: Any, output: Tensor) -> None:
        calls[conv] += 1
        makers[output.grad_fn] = conv

    def takes(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[norm] += 1
        takers[norm] = inputs[0].grad_fn

    copied = _without_numbers(module)
    of = dict(zip(copied.modules(), module.modules(), strict=True))
    for part in of:
        if convolves(part):
            part.register_forward_hook(made)
        elif _is_fixed(part):
            part.register_forward_pre_hook(takes)
    dtype = next(module.parameters()).dtype
    try:
        with torch.enable_grad():
            output = copied(torch.empty(*shape, device="meta", dtype=dtype))
    except RuntimeError:  # it asks for a number, or mixes in a tensor of another device
        return []
    uses = Counter(_edges(output.grad_fn))
    return [
        (of[conv], of[norm])
        for norm, node in takers.items()
        if (conv := makers.get(node)) is not None and uses[node] == calls[conv] == calls[norm] == 1
    ]


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy on the meta device, whose parameters have gradients."""
    tensors = (*module.parameters(), *module.buffers())
    empty = [torch.empty_like(each, device="meta") for each in tensors]
    for each, like in zip(empty, tensors, strict=True):
        each.requires_grad_(isinstance(like, nn.Parameter))
    return copy.deepcopy(module, {id(like): each for each, like in zip(empty, tensors, strict=True)})


def _edges(node: Any) -> Iterator[Any]:
    """The nodes of a graph of gradients, each as often as another one takes its output."""
    seen, waiting = {node}, [node]
    while waiting:
        for before, _ in waiting.pop().next_functions:
            if before is not None:
                yield before
                if before not in seen:
                    seen.add(before)
                    waiting.append(before)


def _rest(norm: Any) -> nn.Module:
    """What a batch norm does beside normalising: those of timm drop and activate."""
    return nn.Sequential(norm.drop, norm.act) if type(norm) is _class(*_ACTIVATED) else nn.Identity()


def _plain(conv: Any) -> nn.Module:
    """A standardised convolution as one with the weights that it makes, as transformers makes them."""
    flat = conv.weight.detach().reshape(1, conv.out_channels, -1)
    weight = nn.functional.batch_norm(flat, None, None, training=True, momentum=0.0, eps=conv.eps)
    weight = torch.empty_like(conv.weight).copy_(weight.reshape_as(conv.weight))  # in its order of memory
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        device="meta",
    )
    plain.weight, plain.bias = nn.Parameter(weight), conv.bias
    return plain if conv.pad is None else nn.Sequential(conv.pad, plain)


def _class(module: str, name: str) -> type[Any] | None:
    """A class of a library, None where nothing has imported it: then no module is of it."""
    found: type[Any] | None = getattr(sys.modules.get(module), name, None)
    return found


def _replace(module: nn.Module, others: dict[Any, nn.Module]) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if child in others:
                setattr(parent, name, others[child])
