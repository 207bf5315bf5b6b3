"""What loading processes send to a device that augments: drawn changes as arrays, and frames or their places.

Nothing here is done per pixel but for frames that the device does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.dataset import Problem

from .changes import Changes, Turned, Window, homography, shrunk

M = TypeVar("M", bound="Moving")


@dataclass(frozen=True)
class Held:
    """A frame on the device: row `row` of its bank number `bank`."""

    bank: int
    row: int


@dataclass(frozen=True)
class Delivered:
    """A frame that travels: (H, W, 3) uint8, (H, W) float16 metres, NaN unknown."""

    rgb: Rgb
    depth: NDArray[np.float16]


@dataclass(frozen=True)
class Recipe:
    """How one sample of a batch is made; `seed` is that of its noise, `scale` metres per metre of its target."""

    frame: Held | Delivered
    camera: PinholeCamera
    changes: Changes
    scale: float
    seed: int
    origin: str
    bad: tuple[Problem, ...]


class Moving:
    """Dataclasses whose tensors, also those of dataclasses in them, go to a device together."""

    def to(self: M, device: torch.device) -> M:
        """On a device; from pinned memory the copy overlaps with computation."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self: M) -> M:
        """In memory that a GPU copies from while it computes."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self: M, change: Callable[[Tensor], Tensor]) -> M:
        return replace(self, **{each.name: _changed(getattr(self, each.name), change) for each in fields(self)})  # type: ignore[arg-type, type-var]


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Moving):
        return value._each(change)
    if isinstance(value, list) and value and isinstance(value[0], Moving):
        return [each._each(change) for each in value]
    return value


@dataclass
class Group(Moving):
    """Samples whose frames lie together and have one size, one after the other.

    The frames are `rows` (n,) of bank number `bank`, or without one `rgb` (n, H, W, 3) and `depth` (n, H, W).
    Rows `window` (n, 4) of x, y, width, height are resampled to `sizes` (n, 2) width, height, at most `largest`.
    `maps` (n, 3, 3) go from pixels of the result to pixels of the frame, for depth; those of turned views have
    `small_maps` to the resampled window for colour, too, and `axes` (n, 3): depth in the frame over depth in the view,
    linear in (column, row, 1).
    """

    bank: int
    rows: Tensor
    rgb: Tensor | None
    depth: Tensor | None
    window: Tensor
    sizes: Tensor
    largest: tuple[int, int]
    maps: Tensor
    small_maps: Tensor | None
    axes: Tensor | None


@dataclass
class Some(Moving):
    """Samples that have a change, `at` (n,) in the batch, and its sizes, one row each.

    `order` (N,) takes each sample of a batch from the row of the batch and these samples, changed, behind it.
    """

    at: Tensor
    order: Tensor
    amount: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.at)

    def take(self, images: Tensor) -> Tensor:
        """These of a batch's images."""
        return images.index_select(0, self.at)

    def put(self, images: Tensor, changed: Tensor) -> Tensor:
        """The batch's images with these changed: a selection, which stays fast where torch must be deterministic."""
        return torch.cat((images, changed)).index_select(0, self.order)


@dataclass
class RecipeBatch(Moving):
    """Recipes of one size as arrays. `curves` (N, 3, 256) uint8, `flip` and `grey` (N,) bool, `scales` (N,).

    `order` (N,) takes each sample from the groups, one behind the other. `blur` has kernels (n, K), `motion`
    (n, K, K), `noise` levels and seeds (n,), `jpeg` qualities (n,).
    """

    width: int
    height: int
    groups: list[Group]
    order: Tensor
    flip: Tensor
    curves: Tensor
    grey: Tensor
    blur: Some
    motion: Some
    noise: Some
    jpeg: Some
    scales: Tensor
    origins: list[str]
    bad: list[Problem]

    def __len__(self) -> int:
        return len(self.origins)


def collate_recipes(recipes: Sequence[Recipe]) -> RecipeBatch:
    """Recipes of one size as a batch."""
    colours = [each.changes.colours for each in recipes]
    seeds = [each.seed for each in recipes]
    places = _grouped(recipes)
    return RecipeBatch(
        *recipes[0].changes.camera.size,
        [_group([recipes[place] for place in at]) for at in places],
        torch.from_numpy(np.argsort([place for at in places for place in at])),
        torch.tensor([each.changes.flip for each in recipes]),
        torch.from_numpy(np.stack([each.curves[:, 0].T for each in colours])),
        torch.tensor([each.grey for each in colours]),
        _some([_blur_kernel(each.blur_px) if each.blur_px else None for each in colours]),
        _some([each.motion for each in colours]),
        _some([np.asarray(each.noise) if each.noise else None for each in colours], seeds),
        _some([np.asarray(each.jpeg, np.float32) if each.jpeg else None for each in colours]),
        torch.tensor([each.scale for each in recipes]),
        [each.origin for each in recipes],
        [bad for each in recipes for bad in each.bad],
    )


def _some(amounts: Sequence[NDArray[np.float32] | None], seeds: Sequence[int] = ()) -> Some:
    """Those that are not None; kernels are padded with zeros, in the middle of the largest."""
    order = torch.arange(len(amounts))
    at = [place for place, amount in enumerate(amounts) if amount is not None]
    chosen = [amount for amount in amounts if amount is not None]
    order[at] = len(amounts) + torch.arange(len(at))
    side = max((amount.shape[0] for amount in chosen if amount.ndim), default=0)
    padded = [np.pad(amount, (side - amount.shape[0]) // 2) if amount.ndim else amount for amount in chosen]
    return Some(
        torch.tensor(at, dtype=torch.int64),
        order,
        torch.from_numpy(np.stack(padded)) if padded else torch.empty(0),
        torch.tensor([seeds[place] for place in at] if seeds else [], dtype=torch.int64),
    )


def _blur_kernel(sigma: float) -> NDArray[np.float32]:
    """(K,) with sum 1: the normal curve, cut where cv2.GaussianBlur cuts it."""
    radius = (round(6 * sigma + 1) | 1) // 2
    curve = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (curve / curve.sum()).astype(np.float32)


def _grouped(recipes: Sequence[Recipe]) -> list[list[int]]:
    """Places in the batch of each group."""
    places: dict[tuple[object, ...], list[int]] = {}
    for place, each in enumerate(recipes):
        bank = each.frame.bank if isinstance(each.frame, Held) else -1
        key = (bank, each.camera.size, isinstance(each.changes.geometry, Turned))
        places.setdefault(key, []).append(place)
    return list(places.values())


def _group(recipes: Sequence[Recipe]) -> Group:
    held = [each.frame for each in recipes if isinstance(each.frame, Held)]
    sent = [each.frame for each in recipes if isinstance(each.frame, Delivered)]
    rows = [_turned(each.camera, each.changes.geometry) for each in recipes]
    sizes = np.array([row.size for row in rows])
    width, height = sizes.max(axis=0)
    return Group(
        held[0].bank if held else -1,
        torch.tensor([each.row for each in held], dtype=torch.int64),
        torch.from_numpy(np.stack([each.rgb for each in sent])) if sent else None,
        torch.from_numpy(np.stack([each.depth for each in sent])) if sent else None,
        _numbers(row.window for row in rows),
        _numbers(row.size for row in rows),
        (int(width), int(height)),
        _numbers(row.map for row in rows),
        _numbers(row.small_map for row in rows) if rows[0].small_map is not None else None,
        _numbers(row.axis for row in rows) if rows[0].axis is not None else None,
    )


@dataclass(frozen=True)
class _Row:
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    map: NDArray[np.float64]
    small_map: NDArray[np.float64] | None = None
    axis: NDArray[np.float64] | None = None


def _turned(camera: PinholeCamera, geometry: Window | Turned) -> _Row:
    view = geometry.camera
    if isinstance(geometry, Window):
        x, y, width, height = geometry.x, geometry.y, geometry.width, geometry.height
        across, down = width / view.width, height / view.height
        to_source = np.array([[across, 0, x + across / 2 - 0.5], [0, down, y + down / 2 - 0.5], [0, 0, 1]])
        return _Row((x, y, width, height), view.size, to_source)
    small = shrunk(camera, view)
    return _Row(
        (0, 0, *camera.size),
        small.size,
        homography(camera, view, geometry.turn),
        homography(small, view, geometry.turn),
        geometry.turn[:, 2] @ np.linalg.inv(view.K),
    )


def _numbers(rows: Iterable[Any]) -> Tensor:
    return torch.from_numpy(np.array(list(rows), np.float32))
