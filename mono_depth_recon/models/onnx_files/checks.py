"""Whether a card and its ONNX file agree: names, shapes, kinds; and what of the input the file fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import ModelError
from ..base import BIGGEST_SIDE
from .card import MASKS, ImageInput, OnnxCard
from .graph_file import GraphText, Port

_IMAGE_TYPES = ("float32", "float16", "uint8")
_NUMBERS = ("float32", "float16", "float64", "int32", "int64")
_PUT_OUT = (*_NUMBERS, "uint8", "int8")
_POINTS = ("points", "affine_points")


@dataclass(frozen=True)
class InputForm:
    """What the network takes: the card's rule with the size that holds, the types of the inputs, and whether the file
    fixes the size of images, and batches of one.
    """

    rule: ImageInput
    dtype: str
    fixed_size: bool
    one_by_one: bool
    others: dict[str, Port]


def named_as_in(graph: GraphText, card: OnnxCard) -> OnnxCard:
    """The card with those aliases of its outputs that the file has in place of the names that it has not."""
    has = {port.name for port in graph.outputs}

    def name_of(name: str, aliases: Sequence[str]) -> str:
        return name if name in has else next((alias for alias in aliases if alias in has), name)

    return replace(card, outputs={name_of(name, other.aliases): other for name, other in card.outputs.items()})


def checked_form(card: OnnxCard, graph: GraphText, path: Path) -> InputForm:
    """Raises ModelError, one line, where the card contradicts the file `path`, whose `graph` this is."""
    image = _found(card.input.name, graph.inputs, "input", path)
    others = {name: _found(name, graph.inputs, "input", path) for name in card.inputs}
    unknown = [port for port in graph.inputs if port.name != card.input.name and port.name not in card.inputs]
    if unknown:
        raise _contradiction(path, f"the file also takes {unknown[0].text}, which the card's inputs do not have")
    for name, other in card.inputs.items():
        rank = others[name].shape
        if others[name].dtype not in _NUMBERS:
            raise _contradiction(path, f"{other.kind} are {' or '.join(_NUMBERS)}, the file takes {others[name].text}")
        if rank is not None and len(rank) != 4 and other.kind == "rays":
            raise _contradiction(path, f"rays are (N, 3, rows, columns), the file takes {others[name].text}")
        if rank is not None and other.kind != "rays" and any(side != 1 for side in rank):
            raise _contradiction(path, f"{name} is one number, the file takes {others[name].text}")
    _check_outputs(card, graph, path)
    return _form(card, image, others, path)


def _form(card: OnnxCard, image: Port, others: dict[str, Port], path: Path) -> InputForm:
    rule = card.input
    if image.dtype not in _IMAGE_TYPES:
        raise _contradiction(path, f"images must be {' or '.join(_IMAGE_TYPES)}, the file takes {image.text}")
    if image.dtype == "uint8" and (255 / rule.scale - min(rule.mean)) / min(rule.std) <= 1:
        raise _contradiction(
            path,
            f"it takes whole grey levels ({image.text}), the card makes values of at most 1 of them: set input.scale "
            "to 1 and leave mean and std out",
        )
    batch, channels, rows, columns = _image_sides(rule, image, path)
    if channels not in (None, 3):
        raise _contradiction(path, f"an image in layout {rule.layout} has 3 colours, the file takes {image.text}")
    if batch not in (None, 1):
        raise _contradiction(path, f"images must come one by one or in any number, the file takes {image.text}")
    for side, found, stated in (("width", columns, rule.width), ("height", rows, rule.height)):
        if found is not None and stated not in (0, found):
            raise _contradiction(path, f"the card's {side} is {stated}, the file takes {image.text}")
        if found is None and not stated:
            advice = "write input.width and input.height into it"
            raise _contradiction(path, f"the card has no {side}, and the file takes any: {image.text}; {advice}")
        if found is not None and found > BIGGEST_SIDE:
            raise ModelError(
                f"{path} takes {image.text}, a {side} of {found} pixels: sides may have {BIGGEST_SIDE} at most, export "
                "it for smaller images"
            )
        if found is not None and found % rule.multiple:
            raise _contradiction(path, f"sides are multiples of {rule.multiple}, the file takes {image.text}")
    fixed = rows is not None or columns is not None
    if fixed and rule.fit not in ("stretch", "pad"):
        raise _contradiction(path, f"fit {rule.fit} needs an input of any size, the file takes {image.text}")
    rule = replace(rule, width=columns or rule.width, height=rows or rule.height)
    return InputForm(rule, image.dtype, fixed, batch == 1, others)


def _image_sides(rule: ImageInput, image: Port, path: Path) -> Sequence[int | None]:
    """Batch, channels, rows, columns."""
    if image.shape is None:
        return None, None, None, None
    if len(image.shape) != 4:
        raise _contradiction(path, f"images have four dimensions, the file takes {image.text}")
    batch, *sides = image.shape
    return batch, *(sides if rule.layout == "nchw" else (sides[2], sides[0], sides[1]))


def _check_outputs(card: OnnxCard, graph: GraphText, path: Path) -> None:
    kinds = {card.output.name: card.output.kind} | {name: other.kind for name, other in card.outputs.items()}
    for name, kind in kinds.items():
        port = _found(name, graph.outputs, "output", path)
        if port.shape is not None and port.dtype not in (*_PUT_OUT, *(["bool"] if kind in MASKS else [])):
            raise _contradiction(path, f"{kind} must be numbers, the file gives {port.text}")
        if port.shape is not None and not _fits(kind, port.shape, card.output.layout):
            raise _contradiction(
                path, f"{kind} must be {_expected(kind, card.output.layout)}, the file gives {port.text}"
            )


def _fits(kind: str, shape: tuple[int | None, ...], layout: str) -> bool:
    if kind in _POINTS:
        coordinates, other = (1, 3) if layout == "nchw" else (3, 1)
        return len(shape) == 4 and (shape[coordinates] == 3 or (shape[coordinates] is None and shape[other] != 3))
    if kind == "intrinsics":
        return len(shape) == 3 and all(side in (None, 3) for side in shape[1:])
    if kind in ("focal", "metric_scale"):
        return all(side in (None, 1) for side in shape[1:])
    return len(shape) == 3 or (len(shape) == 4 and (shape[1] in (None, 1) or shape[3] == 1))


def _expected(kind: str, layout: str) -> str:
    if kind in _POINTS:
        return "(N, 3, rows, columns)" if layout == "nchw" else "(N, rows, columns, 3)"
    if kind in ("focal", "metric_scale"):
        return "one number per image"
    return "(N, 3, 3)" if kind == "intrinsics" else "(N, 1, rows, columns) or (N, rows, columns)"


def _found(name: str, ports: Sequence[Port], what: str, path: Path) -> Port:
    port = next((port for port in ports if port.name == name), None)
    if port is None:
        has = ", ".join(port.text for port in ports) or "none"
        raise _contradiction(path, f"the card names the {what} '{name}', the file has {has}")
    return port


def _contradiction(path: Path, why: str) -> ModelError:
    return ModelError(f"the card does not fit {path}: {why}")
