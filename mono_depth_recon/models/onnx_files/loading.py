"""Loads an ONNX file with its card: `onnx:FILE_OR_CARD`, or a row of the table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

from ...arrays import Rgb
from ...camera import PinholeCamera
from ...config import ModelConfig
from ...errors import ModelError
from ...paths import expanded, names_file
from ..base import Output
from ..card import sha256_of
from ..hub import HubSource, obtain
from ..runtimes import Feeds, GraphFile, open_graph
from .card import OnnxCard, load_onnx_card
from .checks import checked_form, named_as_in
from .graph_file import GraphText, read_graph
from .model import OnnxDepthModel, OnnxPreparation
from .weights import check_finite

ONNX = "onnx:"  # before the path of an ONNX file or its card
CARDS = Path(__file__).parents[1] / "onnx_cards"


def load_onnx_named(settings: ModelConfig, threads: int) -> OnnxDepthModel:
    """The model onnx:FILE_OR_CARD of `settings.name`. Raises ModelError."""
    if settings.checkpoint:
        raise ModelError(
            f"{settings.name} names its own weights: leave model.checkpoint empty, got '{settings.checkpoint}'"
        )
    path, card = _named(settings.name)
    if settings.output not in ("auto", card.predicts):
        kind = card.output.kind
        says = kind if kind == card.predicts else f"{kind}, which is {card.predicts}"
        raise ModelError(
            f"the card of {settings.name} says {says}, model.output asks for {settings.output}: leave it at auto"
        )
    _check_sum(path, card.sha256)
    return _loaded(settings.name, card, path, settings, threads)


def load_onnx_row(card_path: Path, settings: ModelConfig, threads: int) -> OnnxDepthModel:
    """A row of the table, from `settings.checkpoint` (an ONNX file, or a card beside one), or the hub.

    Raises ModelError.
    """
    card = load_onnx_card(card_path)
    if settings.checkpoint:
        place = expanded(settings.checkpoint)
        if place.suffix == ".json":
            own = load_onnx_card(place)
            if own.name != card.name:
                raise ModelError(
                    f"{place} is the card of {own.name}, {card.name} is asked for: set model.name to {ONNX}{place}"
                )
            card, place = own, _file_of(own, place)
        return _loaded(card.name, card, place, settings, threads)
    _check_licence(card.name, card, settings)  # before a download
    source = hub_of(card)
    if source is None:
        raise ModelError(
            f"{card.name} is published as code and weights, not as ONNX: make the file by {card.source.command}, and "
            "name it by model.checkpoint"
        )
    path = obtain(source, card.name) / source.file
    _check_sum(path, card.source.sha256)
    return _loaded(card.name, card, path, settings, threads)


def hub_of(card: OnnxCard) -> HubSource | None:
    """Where the file is published; None where it must be exported."""
    origin = card.source
    return HubSource(origin.repo, origin.revision, origin.size_mb, origin.file) if origin.repo else None


def declared_onnx_output(name: str) -> Output:
    """What the model onnx:FILE_OR_CARD predicts, by its card. Raises ModelError."""
    return _named(name)[1].predicts


def _named(name: str) -> tuple[Path, OnnxCard]:
    """The ONNX file and the card that onnx:FILE_OR_CARD names."""
    text = name.removeprefix(ONNX)
    path = expanded(text) if text else Path()
    if path.suffix == ".json":
        card = load_onnx_card(path)
        return _file_of(card, path), card
    beside = path.with_suffix(".json") if path.suffix == ".onnx" else None
    if beside is None:
        raise ModelError(f"{name} must be {ONNX} and the path of an ONNX file (.onnx) or its card (.json)")
    if not names_file(beside):
        raise ModelError(
            f"{path} needs a card beside it, {beside.name}, which says what goes in and what comes out: write one "
            f"(docs/models.md), beginning with one of {CARDS}"
        )
    card = load_onnx_card(beside)
    if card.file not in ("", path.name):
        raise ModelError(
            f"{beside} is the card of {card.file}, {path.name} is asked for: name {ONNX}{beside}, or correct its file"
        )
    return path, card


def _file_of(card: OnnxCard, path: Path) -> Path:
    return path.with_name(card.file) if card.file else path.with_suffix(".onnx")


def _loaded(name: str, card: OnnxCard, path: Path, settings: ModelConfig, threads: int) -> OnnxDepthModel:
    _check_licence(name, card, settings)
    if settings.uncertainty == "mc_dropout":
        raise ModelError(
            f"model.uncertainty mc_dropout needs a network with dropout, {name} has none: choose "
            "unetpp_resnext50, or set model.uncertainty to flip"
        )
    graph = read_graph(path)
    card = named_as_in(graph, card)
    form = checked_form(card, graph, path)
    if settings.input_size and form.fixed_size:
        raise ModelError(
            f"{path} takes images of {form.rule.width}x{form.rule.height} only: leave model.input_size at 0, or export "
            "it for another size"
        )
    check_finite(path)
    preparation = OnnxPreparation(card, form, settings.input_size)

    def prepare(rgb: Rgb, number: int) -> Feeds:
        cameras = [PinholeCamera.from_hfov(rgb.shape[1], rgb.shape[0], 60)] * number
        return {
            card.input.name: preparation.images([(rgb, camera) for camera in cameras]),
            **preparation.others(cameras),
        }

    file = GraphFile(
        name,
        _identity(path),
        path,
        card.input.name,
        (card.output.name, *card.outputs),
        prepare,
        f"{card.fingerprint} {settings.input_size}",
        card.input.layout == "nhwc",
        graph.opset,
    )
    try:
        runtime = open_graph(file, settings, threads)
    except ModelError as error:
        _explain(error, path, graph)
    return OnnxDepthModel(name, preparation, runtime)


def _explain(error: ModelError, path: Path, graph: GraphText) -> NoReturn:
    """Raises the error, with the file's opset where a runtime refuses the file itself."""
    if str(path) in str(error):
        raise ModelError(f"{error} (the file is of opset {graph.opset}, IR version {graph.ir_version})") from error
    raise error


def _identity(path: Path) -> str:
    """Changes with the file; in the hub's cache a file's target is named by its content."""
    target = path.resolve()
    status = target.stat()
    return hashlib.sha256(f"{target.name} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def _check_licence(name: str, card: OnnxCard, settings: ModelConfig) -> None:
    if card.noncommercial and not settings.accept_noncommercial:
        raise ModelError(
            f"the weights of {name} are under {card.licence}, which forbids commercial use: set "
            "model.accept_noncommercial to true where that is right, or choose another model"
        )


def _check_sum(path: Path, expected: str) -> None:
    """ModelError where the file is not the one of the card; the hub's cache names files by this sum."""
    if not expected or path.resolve().name == expected or not names_file(path):
        return
    if sha256_of(path) != expected:
        raise ModelError(
            f"{path} is not the file that its card was written for, it is cut off, changed or another one (SHA-256): "
            "copy it again, or take the sum out of the card"
        )
