"""Measurements of the reconstruction: integration into the map, its memory, clouds and meshes of a snapshot.

Each result is checked first, on a synthetic room with exact depth and poses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from statistics import median

import numpy as np

from .. import filters
from ..arrays import Depth, Mask
from ..camera import PinholeCamera
from ..cloud.back_projection import back_project
from ..cloud.cloud import cloud_from_organised
from ..cloud.voxel_grid import voxel_grid
from ..config import FusionConfig
from ..datasets.rooms.room import RoomSequence
from ..errors import DataError
from ..frames import Sample
from ..fusion.fusion import FUSED, Fusion, FusionFrame
from ..fusion.scale import on_grid
from ..mesh.surface import make_mesh
from ..pipeline import DepthReconstructor, Wanted
from .frame_path import Measurement, Settings, medians
from .rows import Row
from .scene import distance_to_walls, room

_SEED, _FRAMES, _LOOP = 20007, 60, 120
_PERIOD_MS = 100.0  # 10 Hz
_ROOMS, _LONG_VIEWS = (20011, 20012, 20013, 20014), 30  # visited in turn by the long run; frames of each
_APART_M = 12.0  # distance between them in the world
_LONG_FRAMES, _LONG_HZ, _LONG_BLOCKS = 6000, 10.0, 4000  # ten minutes; fewer blocks than the rooms need
_OFF = 0.05  # relative: a pixel this far from the truth is flying


@lru_cache(maxsize=1)
def _sequence() -> tuple[Sample, ...]:
    """Sixty frames of a synthetic room, 640x480, from four seconds of a handheld camera."""
    rooms = RoomSequence(_SEED, length=_LOOP)
    return tuple(rooms[number] for number in range(_FRAMES))


def integration(settings: Settings) -> Iterator[Row]:
    """Time of a keyframe from depth to map, 640x480 in voxels of 2 cm to 5 m, of true and of predicted depth.

    The map of the true depth must match it within 1 %, that of predicted depth must be closer to it than the
    predictions. The model runs before each frame, as in the node.
    """
    true = Fusion(replace(FusionConfig(), align=0.0, parallax=False))
    taken = [_added(true, sample, _true_depth(sample)) for sample in _sequence()]
    _check_map(true, 0.01)
    yield _keyframes("true", true, taken)
    model, fusion = DepthReconstructor.from_config(settings.config), Fusion(FusionConfig())
    taken, both, errors = [], [], []
    for sample in _sequence():
        start = time.perf_counter()
        depth = model.process(sample.rgb, sample.camera, Wanted(points=False)).depth
        if depth is None:
            raise DataError(f"the fusion benchmark needs a metric model, got {model.model.name}")
        between = time.perf_counter() - start
        taken.append(_added(fusion, sample, depth))
        errors.append(np.nanmedian(np.abs(depth / _true_depth(sample) - 1)))
        both += [] if taken[-1] is None else [between + taken[-1]]
    _check_map(fusion, float(np.median(errors)))
    yield _keyframes("predicted", fusion, taken)
    yield Row(
        "fusion: model and keyframe",
        1e3 * median(both),
        "ms",
        _PERIOD_MS,
        f"p95 {1e3 * np.quantile(both, 0.95):.0f} ms",
    )


def _added(fusion: Fusion, sample: Sample, depth: Depth) -> float | None:
    """Seconds for a keyframe; None for other frames."""
    frame = FusionFrame(sample.rgb, depth, sample.camera, sample.stamp, sample.T_world_camera)
    start = time.perf_counter()
    outcome = fusion.add(frame)
    return time.perf_counter() - start if outcome.status == FUSED else None


def _keyframes(depth: str, fusion: Fusion, taken: Sequence[float | None]) -> Row:
    seconds = [each for each in taken if each is not None]
    note = f"p95 {1e3 * np.quantile(seconds, 0.95):.0f} ms, {len(seconds)} keyframes, {fusion.map.blocks} blocks"
    return Row(f"fusion: a keyframe of {depth} depth", 1e3 * median(seconds), "ms", _PERIOD_MS, note)


def _true_depth(sample: Sample) -> Depth:
    assert sample.depth is not None, "rooms have depth"
    return sample.depth


def _check_map(fusion: Fusion, error: float) -> None:
    """The map's depth must be right within `error` (relative) in the median of the pixels, in the median frame."""
    found = []
    for sample in _sequence()[::8]:
        assert sample.T_world_camera is not None, "rooms have poses"
        small = sample.camera.resized(sample.camera.width // 4, sample.camera.height // 4)
        rendered = fusion.map.render(small, sample.T_world_camera, fusion.settings.depth_max)
        found.append(np.nanmedian(np.abs(rendered / on_grid(_true_depth(sample), rendered.shape) - 1)))
    if not np.median(found) < error:
        raise DataError(
            f"the map's depth must be right within {100 * error:.1f} %, it is off by "
            f"{100 * float(np.median(found)):.1f} %"
        )


def long_run(settings: Settings) -> Iterator[Row]:
    """Ten minutes at 10 Hz through four rooms: the number of blocks and the memory of the process must stay constant.

    The frames are small, rendered once and repeated, so that only the map is measured.
    """
    config = FusionConfig(align=0.0, parallax=False, max_blocks=_LONG_BLOCKS, keyframe_distance=0.0, max_speed=1000.0)
    fusion, camera, frames = Fusion(config), PinholeCamera.from_hfov(160, 120, 62.0), []
    for place, seed in enumerate(_ROOMS):
        sequence = RoomSequence(seed, camera, length=_LONG_VIEWS)
        for number in range(len(sequence)):
            sample = sequence[number]
            assert sample.T_world_camera is not None, "rooms have poses"
            T = sample.T_world_camera.copy()
            T[0, 3] += _APART_M * place
            frames.append((sample.rgb, _true_depth(sample), T))
    early = most = 0
    for number in range(_LONG_FRAMES):
        rgb, depth, T = frames[number % len(frames)]
        fusion.add(FusionFrame(rgb, depth, camera, number / _LONG_HZ, T))
        most = max(most, fusion.map.blocks)
        if number == _LONG_FRAMES // 10:
            early = _resident()
    if most > config.max_blocks or not fusion.map.evicted:
        raise DataError(f"the map must stay under {config.max_blocks} blocks and drop some, it had {most}")
    yield Row(
        "fusion: memory growth over ten minutes",
        (_resident() - early) / 2**20,
        "MiB",
        20.0,
        f"{fusion.counts[FUSED]} keyframes at {_LONG_HZ:g} Hz, after the first minute; {most} blocks at most, "
        f"{fusion.map.evicted} left",
    )


def _resident() -> int:
    """Bytes of resident memory of this process. Raises DataError if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError as error:
        raise DataError("measuring memory needs /proc/self/statm, which this system lacks") from error
    return pages * 4096


def snapshot(settings: Settings) -> Iterator[Row]:
    """The voxel grid of a full frame, Poisson at depth 8 after it, and the triangulated grid."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth, rgb = room(camera)
    points = back_project(depth, camera, rgb)
    cloud = cloud_from_organised(points)
    mesh = replace(settings.config.mesh, method="poisson", poisson_depth=8)
    thinned, _ = voxel_grid(cloud.points, cloud.colors, mesh.voxel_size)
    cubes = np.floor(cloud.points / np.float32(mesh.voxel_size) + np.float32(0.5)).astype(np.int64)
    if len(thinned) != len(np.unique(cubes, axis=0)):
        raise DataError("the voxel grid must leave one point in each occupied cube")
    (thinning,) = medians([lambda: voxel_grid(cloud.points, cloud.colors, mesh.voxel_size)], settings.repeats)
    yield Row("voxel grid of 640x480", 1e3 * thinning, "ms", 1000 / 30, f"{len(thinned)} points; 30 Hz")
    for method, off, limit in (("poisson", thinning, 3.0), ("grid", 0.0, 0.3)):
        chosen = replace(mesh, method=method)
        off_walls = np.quantile(distance_to_walls(make_mesh(points, chosen).vertices), 0.95)
        if off_walls > 0.02:
            raise DataError(
                f"95 % of the {method} mesh must lie within 2 cm of the walls, got {100 * off_walls:.1f} cm"
            )
        (seconds,) = medians([partial(make_mesh, points, chosen)], min(settings.repeats, 5))
        yield Row(f"snapshot: {method}{' of depth 8, after the voxel grid' if off else ''}", seconds - off, "s", limit)


def flying_pixels(settings: Settings) -> Iterator[Row]:
    """What `filter.edge_threshold` removes from exact depth that was averaged across edges, as by a small network."""
    flying = good = removed = lost = 0
    for sample in _sequence()[::8]:
        true = _true_depth(sample)
        seen = smeared(true)
        off: Mask = np.abs(seen - true) > _OFF * true
        taken = filters.flying_pixels(seen, settings.config.filter.edge_threshold)
        flying, good = flying + int(off.sum()), good + int((~off).sum())
        removed, lost = removed + int((taken & off).sum()), lost + int((taken & ~off).sum())
    yield Row(
        "filter: flying pixels that stay",
        100 * (1 - removed / flying),
        "%",
        5.0,
        f"{100 * flying / (flying + good):.1f} % of the pixels fly, {100 * _OFF:.0f} % of their depth or more",
    )
    yield Row("filter: good pixels that go", 100 * lost / good, "%", 10.0)


def smeared(depth: Depth) -> Depth:
    """Depth as a network of half the resolution predicts it: averaged and interpolated across edges."""
    import cv2

    height, width = depth.shape
    small = cv2.resize(depth, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


MEASUREMENTS: dict[str, Measurement] = {
    "fusion": integration,
    "fusion-memory": long_run,
    "snapshot": snapshot,
    "flying-pixels": flying_pixels,
}
