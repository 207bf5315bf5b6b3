"""`mono-depth-recon benchmark`: the figures of the frame path, or of depth models, on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..atomic import writable_folder
from ..benchmark import (
    anchors,
    cameras,
    frame_path,
    fusion,
    guard,
    mesh_files,
    model_tables,
    models,
    outputs,
    reading,
    rooms,
    scaling,
)
from ..benchmark.rows import write_report
from ..config import ModelConfig, finite_number, parameter, with_values
from ..errors import ConfigError
from ..models import check_name
from ..models.table import is_onnx_file
from .parameters import add_flags, config_of

_DESCRIPTION = """Measures the frame path within one process (results are checked before they are timed), or with
--models every combination of models, runtimes, precisions and sizes, each in a fresh process."""
_PARAMETERS = (
    "model.name",
    "model.checkpoint",
    "model.output",
    "model.device",
    "model.compile",
    "model.cuda_graphs",
    "model.calibration",
    "model.accept_noncommercial",
    "model.uncertainty",
    "model.samples",
    "cpu_threads",
)
_MORE = {
    **anchors.MEASUREMENTS,
    **cameras.MEASUREMENTS,
    **fusion.MEASUREMENTS,
    **mesh_files.MEASUREMENTS,
    **outputs.MEASUREMENTS,
    **guard.MEASUREMENTS,
    **rooms.MEASUREMENTS,
    **scaling.MEASUREMENTS,
}
_NAMES = (*frame_path.MEASUREMENTS, *_MORE)


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "benchmark",
        help="measure the frame path or depth models on this machine",
        allow_abbrev=False,
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("bench_output"),
        metavar="FOLDER",
        help="where the tables go, as Markdown and CSV (default: bench_output)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        choices=_NAMES,
        metavar="NAME",
        help=f"some of {', '.join(_NAMES)} (default: all)",
    )
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="runs of each timing (default: 50)")
    parser.add_argument(
        "--reading",
        nargs="?",
        type=finite_number(1, 1_000_000),
        const=300.0,
        metavar="MB",
        help="measure the reading of bags instead, of this size (default: 300)",
    )
    _add_models(parser.add_argument_group("models"))
    add_flags(parser, _PARAMETERS)
    parser.set_defaults(run=run)


def _add_models(group: Any) -> None:
    group.add_argument("--models", nargs="+", metavar="NAME", help="measure these models instead of the frame path")
    group.add_argument(
        "--random-weights",
        action="store_true",
        help="random numbers as weights, in the published architecture: enough for speed and memory",
    )
    group.add_argument(
        "--pipeline",
        action="store_true",
        help="also transformers' own pipeline, on the weights, device and precisions of each of its models",
    )
    group.add_argument(
        "--frames", action="store_true", help="also whole frames, from image to cloud, and batches of 16 images"
    )
    group.add_argument(
        "--operations",
        nargs="?",
        type=int,
        const=15,
        default=0,
        metavar="N",
        help="also the longest operations of a prediction by torch, on a GPU its kernels (default: 15 of them)",
    )
    for name in ("runtimes", "precisions", "sizes"):
        row = parameter(f"model.{_SINGULAR[name]}")
        group.add_argument(
            f"--{name}",
            nargs="+",
            default=[row.default],
            type=row.type,
            metavar=row.type.__name__,
            help=f"{row.range_text} (default: {row.default})",
        )


_SINGULAR = {"runtimes": "runtime", "precisions": "precision", "sizes": "input_size"}


def run(arguments: argparse.Namespace) -> int:
    """Prints each figure as it comes and writes the report. Returns 1 where one failed or is over its limit."""
    if arguments.repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {arguments.repeats}")
    if arguments.operations < 0:
        raise ConfigError(f"--operations must be at least 0, got {arguments.operations}")
    if arguments.models and hasattr(arguments, "model.name"):
        raise ConfigError("--models selects the models that are measured: leave --model.name out")
    chosen = arguments.pipeline or arguments.random_weights or arguments.frames or arguments.operations
    if chosen and not arguments.models:
        raise ConfigError(
            "--pipeline, --random-weights, --frames and --operations are about models: name them with --models"
        )
    if arguments.models and arguments.only:
        raise ConfigError("--only selects measurements of the frame path: leave it or --models out")
    if arguments.operations and (files := [name for name in arguments.models if is_onnx_file(name)]):
        raise ConfigError(f"--operations lists those of torch, {files[0]} is an ONNX file: leave one of them out")
    for name in arguments.models or ():
        check_name(name)
    writable_folder(arguments.output)  # before minutes are spent
    return _run_models(arguments) if arguments.models else _run_frame_path(arguments)


def _run_frame_path(arguments: argparse.Namespace) -> int:
    rows = []
    settings = frame_path.Settings(config_of(arguments), arguments.repeats)
    measured = (
        frame_path.measure(settings, arguments.only, _MORE)
        if arguments.reading is None
        else reading.measure_reading(arguments.reading)
    )
    for row in measured:
        name, value, limit, verdict, note = row.cells
        print(f"{name:55} {value:>14}  {verdict:6}  {f'limit {limit}  ' if limit else ''}{note}".rstrip(), flush=True)
        rows.append(row)
    report, table = write_report(arguments.output, rows)
    print(f"written to {report} and {table}")
    return 1 if any(row.verdict in ("failed", "over") for row in rows) else 0


_RANDOM = "Weights are random numbers: speed and memory are those of the architecture."


def _run_models(arguments: argparse.Namespace) -> int:
    lists: dict[str, list[Any]] = {
        name: [parameter(f"model.{key}").check(value) for value in getattr(arguments, name)]
        for name, key in _SINGULAR.items()
    }
    with TemporaryDirectory() as folder:
        checkpoints = _random_checkpoints(arguments.models, Path(folder)) if arguments.random_weights else {}
        config = config_of(arguments)
        environment = {}
        if arguments.random_weights:  # no published weights are read, and nothing goes into the user's cache
            config = with_values(config, {"model.accept_noncommercial": True})
            environment = {"XDG_CACHE_HOME": folder}
        plan = models.Plan(
            arguments.models,
            **lists,
            config=config,
            repeats=arguments.repeats,
            checkpoints=checkpoints,
            pipeline=arguments.pipeline,
            frames=arguments.frames,
            operations=arguments.operations,
            environment=environment,
        )
        results, note = [], _RANDOM if checkpoints else ""
        report = table = arguments.output
        for result in models.measure_models(plan, _announce):
            print(model_tables.line(result), flush=True)
            results.append(result)
            # Written after each, so that what ends it early leaves the rest.
            report, table = model_tables.write_tables(arguments.output, results, note)
    print(f"written to {report} and {table}")
    return 1 if any(result.reason for result in results) else 0


def _random_checkpoints(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Of the models that have a published architecture; the others are rows that say why they fail."""
    from ..models import MODELS
    from ..models.random_weights import write_random_weights

    return {name: str(write_random_weights(name, folder / name)) for name in names if name in MODELS}


def _announce(done: int, of: int, case: ModelConfig) -> None:
    """A progress bar on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        bar = ("#" * round(20 * done / of)).ljust(20, ".")
        text = f"[{bar}] {done}/{of}  {case.name} {case.runtime} {case.precision}"
        print(f"\r{text:78}", end="\r", file=sys.stderr, flush=True)
