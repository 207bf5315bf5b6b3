"""`mono-depth-recon fuse`: a recording to one mesh, with figures against its true depth where it has one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arrays import Rgb
from ..atomic import writable_folder, write_atomically
from ..config import OFFLINE_FUSION, PARAMETERS, Config
from ..datasets.dataset import Dataset, Recording
from ..datasets.rooms.source import is_room
from ..errors import ConfigError, DataError
from ..evaluation.fusion import compare, compare_views
from ..evaluation.overview import DepthSource, fused_overview
from ..frames import Sample
from ..fusion.fusion import NO_POSE
from ..mesh.files import write_mesh
from ..mesh.mesh import Mesh
from ..mesh.quality import mesh_quality
from ..pictures.orbit import orbit_views, upright, write_orbit
from ..pictures.panels import write_png
from ..pictures.views import VIEWS, view_mesh
from ..printing import encoded, readable
from ..sequence import POSES, FrameOf, FusedScene, for_measured_depth, fuse_sequence, measured, predicted
from .parameters import add_flags, config_of
from .recordings import add_data_flags, model_text, options_of, recording_reconstructor, refuse_unused

PARAMETER_FLAGS = (
    *(name for name in PARAMETERS if name.startswith("model.")),
    *OFFLINE_FUSION,
    "cpu_threads",
    *(name for name in PARAMETERS if name.startswith("scale.")),
    "filter.min_range",
    "filter.max_range",
    "filter.edge_threshold",
    "filter.max_sigma",
    "filter.min_confidence",
    "filter.border",
    "mesh.format",
    "mesh.edge_ratio",
    "mesh.hole_size",
    "mesh.smoothing",
    "mesh.triangles",
)
_FILTERS = ("filter.edge_threshold", "filter.max_sigma", "filter.min_confidence", "filter.border")
_UNUSED = ("model.", "scale.", *_FILTERS)  # by --true-depth
_ORBIT_VIEWS = 48
_SHOWN_NOTES = 5
_OUTPUTS = """\
DATA is a TUM RGB-D folder or its .tgz, a ROS 1 or ROS 2 bag, or room:SEED[:FRAMES], a synthetic room whose depth and
poses are exact (120 frames by default); with --poses odometry also an image folder or another data set of one scene.
Writes into the output folder, in the world's axes and metres:
  fused_mesh.ply     the mesh (--mesh.format)
  fused_view_1.png, fused_view_2.png   pictures of the mesh
  truth_mesh.ply, truth_view_1.png ... with --truth: the same of the recording's own depth
  report.txt         what was printed
  map.npz            with --save-map: voxels, to be loaded again
  orbit.gif, .mp4    with --orbit
  overview.png       with --overview: fused meshes beside those of one frame, of the depth that is fused and the true

Poses come from the recording (groundtruth.txt, transforms or odometry of a bag, at the image's stamp; frames without
one are left out and counted), from a FILE of lines 'stamp tx ty tz qx qy qz qw', or with --poses odometry from the
frames themselves: RGB-D odometry on the depth that is fused. It drifts."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "fuse",
        help="a recording to one mesh",
        description="Fuses a recording into a mesh.",
        epilog=_OUTPUTS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA", help="recording or synthetic room, see below")
    parser.add_argument(
        "--output", type=Path, default=Path("fusion"), metavar="DIR", help="where files go (default: fusion)"
    )
    parser.add_argument(
        "--poses",
        default="data",
        metavar="data|odometry|FILE",
        help="where poses come from; a file is one as TUM's groundtruth.txt (default: data)",
    )
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every n-th frame (default: 1)")
    parser.add_argument("--true-depth", action="store_true", help="fuse the recording's own depth, without a model")
    parser.add_argument(
        "--truth",
        action="store_true",
        help="also fuse the recording's own depth and compare with it, single frames too: accuracy, "
        "completeness, F-score at 5 cm",
    )
    parser.add_argument("--save-map", action="store_true", help="also write the map")
    parser.add_argument("--orbit", choices=("gif", "mp4"), help="also write an orbit about the mesh")
    parser.add_argument("--overview", action="store_true", help="also write a picture of fused beside single frames")
    add_data_flags(parser.add_argument_group("data"))
    add_flags(parser, PARAMETER_FLAGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fuses, writes and prints. Returns 0."""
    if arguments.step < 1:
        raise ConfigError(f"--step must be at least 1, got {arguments.step}")
    if arguments.truth and arguments.true_depth:
        raise ConfigError("--truth compares with the true depth, and --true-depth fuses it: leave one of them out")
    refuse_unused(arguments, _UNUSED)
    config = _config(arguments)
    samples = _opened(arguments)
    folder = writable_folder(arguments.output)  # before the long work
    frame_of = measured(config) if arguments.true_depth else predicted(recording_reconstructor(config), samples.camera)
    start = time.perf_counter()
    scene = fuse_sequence(samples, frame_of, config, arguments.poses, arguments.truth, _show)
    seconds = time.perf_counter() - start
    if not scene.places:
        raise DataError(_nothing_fused(scene))
    mesh = scene.mesh(config)
    lines = [f"{arguments.data}: {scene.fusion.report()}, {seconds:.1f} s", f"mesh: {mesh_quality(mesh).text()}"]
    lines += [f"depth: {_source(arguments, config)}, poses: {_poses_text(arguments)}"]
    if scene.unreliable:
        lines.append(f"unreliable by the guard: {scene.unreliable} frames")
    if arguments.truth:
        lines.append(f"fused, against the mesh of the true depth: {compare(scene, mesh).text()}")
        lines.append(compare_views(scene, mesh, samples, frame_of, config).text())
    lines += _notes(scene)
    _write(folder, scene, mesh, config, arguments)
    if arguments.overview:
        write_png(folder / "overview.png", _overview(scene, mesh, samples, frame_of, config, arguments))
    write_atomically(folder / "report.txt", [encoded("\n".join([*lines, ""]))])
    print("\n".join(lines))
    print(f"written to {folder}")
    return 0


def _config(arguments: argparse.Namespace) -> Config:
    """For measured depth neither parallax nor alignment, unless flags set them."""
    config = config_of(arguments)
    if arguments.true_depth and not {"fusion.align", "fusion.parallax"} & vars(arguments).keys():
        return for_measured_depth(config)
    return config


def _opened(arguments: argparse.Namespace) -> _Every:
    from ..datasets.opening import open_dataset

    poses = "" if arguments.poses in POSES else arguments.poses
    if poses and is_room(arguments.data):
        raise ConfigError("--poses FILE is for recordings: a synthetic room has its own poses")
    options = options_of(arguments, rectified=True, need_depth=arguments.truth or arguments.true_depth, poses=poses)
    dataset = open_dataset(arguments.data, options)
    if dataset.stamps is None:
        _check_order(dataset, arguments.poses)
    for note in dataset.notes:
        print(readable(note), file=sys.stderr)
    return _Every(dataset, arguments.step)


def _check_order(dataset: Dataset, poses: str) -> None:
    """DataError unless the frames of a data set without poses can be followed by odometry: those of one scene."""
    if poses != "odometry":
        raise DataError(
            f"{dataset.path}: expected a recording with poses, this data set has none: --poses odometry follows frames "
            "of one scene"
        )
    scenes = dataset.scenes()
    if len(scenes) > 1:
        raise DataError(
            f"{dataset.path}: expected frames of one scene for odometry to follow, got {len(scenes)} scenes"
        )


class _Every(Sequence[Sample]):
    """Every n-th sample, read when indexed."""

    def __init__(self, samples: Dataset, step: int) -> None:
        self._samples, self._places = samples, range(0, len(samples), step)
        self.camera = samples.camera if isinstance(samples, Recording) else None  # of the raw images

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        return self._samples[self._places[index]]


def _nothing_fused(scene: FusedScene) -> str:
    remedy = (
        "--poses FILE gives poses, --poses odometry estimates them"
        if scene.fusion.counts[NO_POSE]
        else "look at poses, depth and fusion.depth_max"
    )
    notes = "".join(f"; {note}" for note in _notes(scene)[:1])
    return f"expected frames for a map, got none: {scene.fusion.report()}; {remedy}{notes}"


def _notes(scene: FusedScene) -> list[str]:
    more = len(scene.notes) - _SHOWN_NOTES
    shown = [f"left out: {note}" for note in scene.notes[:_SHOWN_NOTES]]
    return [*shown, f"... and {more} more"] if more > 0 else shown


def _overview(
    scene: FusedScene,
    mesh: Mesh,
    samples: Sequence[Sample],
    frame_of: FrameOf,
    config: Config,
    arguments: argparse.Namespace,
) -> Rgb:
    own = "true depth" if arguments.true_depth else f"depth by {config.model.name}"
    sources = [DepthSource(own, frame_of, mesh, scene.fusion)]
    if scene.truth is not None:
        sources.insert(0, DepthSource("true depth", measured(config), scene.true_mesh(), scene.truth))
    return fused_overview(arguments.data, scene, samples, sources, config)


def _source(arguments: argparse.Namespace, config: Config) -> str:
    return "the recording's own" if arguments.true_depth else f"by {model_text(config)}"


def _poses_text(arguments: argparse.Namespace) -> str:
    known = {"data": "the recording's", "odometry": "RGB-D odometry on this depth, which drifts"}
    return known.get(arguments.poses, arguments.poses)


def _write(folder: Path, scene: FusedScene, mesh: Mesh, config: Config, arguments: argparse.Namespace) -> None:
    meshes = {"fused": mesh}
    if scene.truth is not None:
        meshes["truth"] = scene.true_mesh()
    for name, each in meshes.items():
        write_mesh(each, folder / f"{name}_mesh.{config.mesh.format}")
        for number, view in enumerate(VIEWS, 1):
            write_png(folder / f"{name}_view_{number}.png", view_mesh(upright(each, scene.poses), view))
    if arguments.save_map:
        scene.fusion.save(folder / "map.npz")
    if arguments.orbit:
        views = orbit_views(scene.poses, _ORBIT_VIEWS)
        write_orbit(upright(mesh, scene.poses), views, folder / f"orbit.{arguments.orbit}")


def _show(done: int, of: int, status: str) -> None:
    """A progress bar on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        bar = ("#" * round(20 * done / of)).ljust(20, ".")
        print(f"\r[{bar}] {done}/{of}  {status:24}", end="\n" if done == of else "\r", file=sys.stderr, flush=True)
