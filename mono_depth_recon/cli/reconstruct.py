"""`mono-depth-recon reconstruct`: image files to depth, cloud, mesh and pictures, without ROS."""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Rgb
from ..atomic import writable_folder
from ..camera import DISTORTION_LENGTHS, PinholeCamera
from ..cloud.cloud import Cloud, cloud_from_organised
from ..config import PARAMETERS, Config, finite_number, with_values
from ..decoding import MAX_MEGAPIXELS
from ..errors import CalibrationError, ConfigError, DataError, ModelError, MonoDepthError
from ..frames import Frame
from ..mesh.files import check_textured_obj, write_cloud, write_mesh
from ..mesh.finish import finish_mesh
from ..mesh.mesh import Mesh
from ..mesh.quality import mesh_quality
from ..mesh.surface import make_mesh
from ..mesh.texture import Texture, texture_of
from ..models import DepthModel, Output, declared_output
from ..photo import camera_from_exif, read_photo
from ..pictures.panels import Panel, colorize_depth, depth_limits, overview, write_depth_png, write_png
from ..pictures.views import VIEWS, view_cloud, view_mesh
from ..pipeline import DepthReconstructor
from ..plausibility import plausible
from ..printing import one_line
from ..scale.evidence import Evidence
from ..scale.settings import ScaleSettings
from ..scale.table import idle_varying, no_metres, not_needed, source_in_effect, source_of
from .given_scale import add_scale_flags, evidence_of, scaled
from .parameters import add_flags, config_of

_DEFAULTS = with_values(Config(), {"camera.max_megapixels": MAX_MEGAPIXELS})  # a photo that its owner names
_USUAL_HFOV_DEG = 60.0  # what a model is told that estimates the camera itself
# Of the group scale: each image is on its own, and what TF tells the node is not known.
_OVER_TIME = ("scale.smoothing", "scale.gate", "scale.timeout", "scale.on_timeout")
# All but what only the node needs: topics, rates, publishing.
PARAMETER_FLAGS = (
    *(name for name in PARAMETERS if name.startswith("model.")),
    "cpu_threads",
    *(name for name in PARAMETERS if name.startswith("scale.") and name not in _OVER_TIME),
    "camera.mask",
    "camera.max_megapixels",
    "filter.min_range",
    "filter.max_range",
    "filter.edge_threshold",
    "filter.max_sigma",
    "filter.min_confidence",
    "filter.border",
    "cloud.stride",
    "mesh.method",
    "mesh.format",
    "mesh.voxel_size",
    "mesh.outlier_neighbors",
    "mesh.outlier_std",
    "mesh.outlier_radius",
    "mesh.poisson_depth",
    "mesh.trim_quantile",
    "mesh.edge_ratio",
    "mesh.hole_size",
    "mesh.smoothing",
    "mesh.triangles",
    "mesh.texture",
)
_NEGATIVE = re.compile(r"-\.?\d")
_OUTPUT = re.compile(r"(depth|depth_plasma|sigma|overview|(cloud|mesh)_view\d+)\.png|cloud\.ply|mesh\.\w+")
_OUTPUTS = """\
Each IMAGE gives, in the output folder and named by it (desk.jpg: desk_depth.png ...; files there are replaced):
  _depth.png         16-bit millimetres along the optical axis, 0 = unknown or beyond range
  _depth_plasma.png  the same in colours
  _sigma.png         where the model gives it (--model.uncertainty): standard deviation of depth, 16-bit millimetres
  _cloud.ply         every pixel with depth as a coloured point, metres, x right, y down, z forward
  _mesh.ply          the mesh (--mesh.method, --mesh.format)
  _overview.png      all of it in one picture

The camera comes from --intrinsics, from --hfov, or from the EXIF data of a JPEG file: its 35 mm equivalent focal
length, which relates to the picture's diagonal (CIPA), else its focal length with the resolution of its sensor. Where
none of these is given, a model that estimates its own camera (Depth Pro, MoGe-2, UniDepth V2) is asked for it.
Images are turned upright by their EXIF orientation; all numbers describe the upright image.

A model of relative disparity needs a scale to give metres: --scale.source fixed with --scale.scale and --scale.shift,
or --reference with depth of the same view that it is fitted on: registered to the image, sparse or dense, at any
resolution; or --points with points in metres, in the camera's frame (x right, y down, z forward) or, with
--scale.extrinsic, the frame of another sensor. A metric model takes none of these, unless --scale.correct_metric
corrects its metres; prompt_depth_anything_small is given --reference itself. The field of view of --hfov is a guess,
unless it was measured: all metres grow with it."""


def add_parser(commands: Any) -> None:
    """Adds the command to argparse's subparsers."""
    parser = commands.add_parser(
        "reconstruct",
        help="depth, cloud, mesh and pictures of image files",
        description="Reconstructs image files.",
        epilog=_OUTPUTS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser._negative_number_matcher = _NEGATIVE  # argparse takes -1e-3 for a flag
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="JPEG, PNG, TIFF, WebP or BMP files")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("reconstruction"),
        metavar="DIR",
        help="where files go (default: reconstruction)",
    )
    _add_camera(parser)
    parser.add_argument(
        "--max-side",
        type=int,
        default=640,
        metavar="PX",
        help="larger images are made smaller to this longest side first, because the network sees less "
        "than that and its edges would be smeared over many pixels; 0 = never (default: 640)",
    )
    add_scale_flags(parser)
    parser.add_argument("--no-mesh", action="store_true", help="leave out the mesh")
    parser.add_argument("--views", action="store_true", help="also write the views of cloud and mesh one by one")
    add_flags(parser, PARAMETER_FLAGS)
    parser.set_defaults(run=run)


def _add_camera(parser: Any) -> None:
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--intrinsics",
        type=finite_number(),
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="focal lengths and principal point in pixels of the image file",
    )
    camera.add_argument("--hfov", type=finite_number(), metavar="DEG", help="horizontal field of view, edge to edge")
    parser.add_argument(
        "--distortion",
        type=finite_number(),
        nargs="+",
        default=(),
        metavar="D",
        help="coefficients as in camera_info, with --intrinsics: k1 k2 p1 p2 [k3] of plumb_bob",
    )
    parser.add_argument("--distortion-model", choices=tuple(DISTORTION_LENGTHS), default="plumb_bob")


def run(arguments: argparse.Namespace) -> int:
    """Reconstructs every image, one line each. Returns 1 where some failed; their lines say why."""
    _check(arguments)
    config = scaled(config_of(arguments, _DEFAULTS), arguments)
    folder = writable_folder(arguments.output)
    known = declared_output(config.model)
    if known is not None:  # before the weights are fetched, converted and measured
        _check_scale(config.model.name, known, config.scale)
    reconstructor = DepthReconstructor.from_config(config)
    _check_scale(reconstructor.model.name, reconstructor.model.output, config.scale)
    cameras = _Cameras(arguments, reconstructor.model)
    failed = 0
    for number, path in enumerate(arguments.images, 1):
        label = f"[{number}/{len(arguments.images)}]"
        try:
            evidence = evidence_of(arguments, number - 1, config.scale)
            done = _reconstruct(path, evidence, folder / path.stem, cameras, reconstructor, arguments)
            print(label, one_line(done), flush=True)
        except MonoDepthError as error:
            print(label, f"error: {one_line(_named(error, path))}", file=sys.stderr, flush=True)
            failed += 1
    if failed:
        print(f"{failed} of {len(arguments.images)} images failed", file=sys.stderr)
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.distortion and not arguments.intrinsics:
        raise ConfigError("--distortion belongs to calibrated intrinsics: give --intrinsics FX FY CX CY with it")
    if arguments.max_side and arguments.max_side < 32:
        raise ConfigError(f"--max-side must be 0 or at least 32 pixels, got {arguments.max_side}")
    stems = [path.stem for path in arguments.images]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ConfigError(
            f"files are named by their image, and several are called '{twice[0]}': rename them, "
            "or run them one by one with another --output"
        )
    _check_inputs_stay(arguments)


def _check_inputs_stay(arguments: argparse.Namespace) -> None:
    """Raises ConfigError where an output may have the name of an input."""
    folder = arguments.output.resolve()
    for path in (*arguments.images, *arguments.reference, *arguments.points):
        place = path.resolve()
        for image in arguments.images:
            start = f"{image.stem}_"
            if place.parent == folder and place.name.startswith(start) and _OUTPUT.fullmatch(place.name[len(start) :]):
                raise ConfigError(f"{path} would be replaced by what is made of {image}: give another --output")


def _check_scale(name: str, output: Output, settings: ScaleSettings) -> None:
    source, metric = source_of(settings), output == "metric_depth"
    if not metric and not source.gives_metres:
        raise ModelError(no_metres(name))
    if source.gives_metres and source_in_effect(settings, metric) is None:
        raise ConfigError(not_needed(name, source.name))
    if idle := idle_varying(settings):
        raise ConfigError(idle)


class _Cameras:
    """The camera of each image, from the flags, its own EXIF data or the model's estimate."""

    def __init__(self, arguments: argparse.Namespace, model: DepthModel) -> None:
        self._arguments, self._model = arguments, model
        self._calibrated: tuple[int, int] | None = None
        self.note = ""  # about the camera of the last image

    def of(self, path: Path, rgb: Rgb) -> PinholeCamera:
        """Raises CalibrationError where there is none, or where intrinsics meet images of different sizes."""
        given, (height, width) = self._arguments, rgb.shape[:2]
        if given.hfov is not None:
            return PinholeCamera.from_hfov(width, height, given.hfov)
        if given.intrinsics is None:
            return self._own(path, rgb)
        fx, fy, cx, cy = given.intrinsics
        camera = PinholeCamera.from_intrinsics(width, height, fx, fy, cx, cy, given.distortion, given.distortion_model)
        if self._calibrated not in (None, camera.size):
            raise CalibrationError(
                f"--intrinsics belong to one size of image, got {width}x{height} after "
                f"{'x'.join(map(str, self._calibrated))}: run it on its own"
            )
        self._calibrated = camera.size
        return plausible(camera, "--intrinsics")

    def _own(self, path: Path, rgb: Rgb) -> PinholeCamera:
        """By the EXIF data, else as the model estimates it. Raises CalibrationError where neither gives one."""
        height, width = rgb.shape[:2]
        self.note = ""
        try:
            return camera_from_exif(path, width, height)
        except CalibrationError:
            K = self._model.predict([(rgb, PinholeCamera.from_hfov(width, height, _USUAL_HFOV_DEG))])[0].intrinsics
            if K is None:
                raise
            self.note = " as the model estimates it"
            return PinholeCamera(width, height, K)


def _reconstruct(
    path: Path,
    evidence: Evidence,
    base: Path,
    cameras: _Cameras,
    reconstructor: DepthReconstructor,
    arguments: argparse.Namespace,
) -> str:
    """Writes everything of one image and returns its line."""
    start, settings = time.perf_counter(), reconstructor.config.mesh
    if settings.texture and settings.format == "obj" and not arguments.no_mesh:
        check_textured_obj(_file(base, "mesh.obj"))  # before anything is written
    rgb = read_photo(path, reconstructor.config.camera.max_megapixels)
    rgb, camera = _shrunk(rgb, cameras.of(path, rgb), arguments.max_side)
    frame = reconstructor.process(rgb, camera, evidence=evidence)
    depth, points = frame.depth, frame.points
    if depth is None:
        raise DataError(frame.no_metres)
    if frame.sigma is None and reconstructor.config.filter.max_sigma:
        raise ConfigError(
            f"filter.max_sigma needs sigma, model {reconstructor.model.name} gives none: set model.uncertainty"
        )
    if frame.confidence is None and reconstructor.config.filter.min_confidence:
        raise ConfigError(
            f"filter.min_confidence needs confidence, model {reconstructor.model.name} gives none: leave it at 0"
        )
    assert points is not None, "points are wanted"
    cloud = cloud_from_organised(points)
    mesh = None if arguments.no_mesh else finish_mesh(make_mesh(points, settings), settings)
    _write(base, frame, cloud, mesh, settings.format, texture_of(mesh, points) if mesh and settings.texture else None)
    panels = _panels(cloud, mesh)
    note = f"by {reconstructor.model.name}{', scaled' if frame.scale else ''}{_guessed(arguments)}"
    write_png(_file(base, "overview.png"), overview(frame.rgb, depth, panels["cloud"], panels["mesh"], path.name, note))
    if arguments.views:
        _write_views(base, panels)
    near, far = depth_limits(depth)
    surface = f", {mesh_quality(mesh).text()}" if mesh else ""
    return (
        f"{path}: {camera.width}x{camera.height}, f {camera.fx:.0f} px{cameras.note}{_guessed(arguments)}, "
        f"depth {near:.2f} to {far:.2f} m, {len(cloud)} points{surface}{_known_about(frame)}, "
        f"{time.perf_counter() - start:.1f} s -> {base}_*"
    )


def _guessed(arguments: argparse.Namespace) -> str:
    return "" if arguments.hfov is None else f" (guessed: --hfov {arguments.hfov:g})"


def _known_about(frame: Frame) -> str:
    """Sigma and the fitted scale, where the frame has them."""
    text, scale = "", frame.scale
    if frame.sigma is not None and np.isfinite(frame.sigma).any():
        text += f", median sigma {np.nanmedian(frame.sigma):.2g} m"
    if scale is not None and not math.isnan(scale.inliers):
        text += f", scale {scale.scale:.4g} and shift {scale.shift:.4g} 1/m with {100 * scale.inliers:.0f} % inliers"
        text += "" if math.isnan(scale.residual) else f" and a residual of {100 * scale.residual:.0f} %"
        text += f", varying by up to {100 * scale.variation:.0f} %" if scale.factors is not None else ""
        text += f"; the fit is in doubt: {scale.doubt}: check the file and its place" if scale.doubt else ""
    return text


def _shrunk(rgb: Rgb, camera: PinholeCamera, max_side: int) -> tuple[Rgb, PinholeCamera]:
    """Image and camera at a longest side of `max_side` pixels (0: as they are)."""
    import cv2

    scale = max_side / max(camera.size) if max_side else 1.0
    if scale >= 1:
        return rgb, camera
    width, height = max(1, round(camera.width * scale)), max(1, round(camera.height * scale))
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), camera.resized(width, height)


def _write(
    base: Path,
    frame: Frame,
    cloud: Cloud,
    mesh: Mesh | None,
    mesh_format: str,
    texture: Texture | None,
) -> None:
    assert frame.depth is not None, "a cloud was made of it"
    write_depth_png(_file(base, "depth.png"), frame.depth)
    write_png(_file(base, "depth_plasma.png"), colorize_depth(frame.depth))
    if frame.sigma is not None:
        write_depth_png(_file(base, "sigma.png"), np.maximum(frame.sigma, np.float32(1e-3)))  # 0 means unknown
    write_cloud(cloud, _file(base, "cloud.ply"))
    if mesh:
        write_mesh(mesh, _file(base, f"mesh.{mesh_format}"), texture)


def _panels(cloud: Cloud, mesh: Mesh | None) -> dict[str, list[Panel]]:
    return {
        "cloud": [Panel(view_cloud(cloud, view), "Point cloud", view.name) for view in VIEWS],
        "mesh": [Panel(view_mesh(mesh, view), "Mesh", view.name) for view in VIEWS] if mesh else [],
    }


def _write_views(base: Path, panels: dict[str, list[Panel]]) -> None:
    for kind, views in panels.items():
        for number, panel in enumerate(views, 1):
            write_png(_file(base, f"{kind}_view{number}.png"), panel.image)


def _file(base: Path, ending: str) -> Path:
    return base.with_name(f"{base.name}_{ending}")


def _named(error: MonoDepthError, path: Path) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
