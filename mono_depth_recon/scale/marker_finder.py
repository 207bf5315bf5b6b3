"""Finding fiducials in image after image, with bounded work for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Rgb
from ..errors import DataError
from .settings import ScaleSettings

MOST = 4  # markers that are followed: one would do
_REFINED = 0.5  # of a cell of the marker: where its corners are refined; the default leaves small ones 2 % too small
_MARGIN, _MARGIN_PX, _SAME_PX = 0.5, 16.0, 4.0  # of a marker's size: how far it may move from image to image
_COARSE_PX = 352  # longer side of the image in which the large ones are looked for
_PART_PX = (320, 240)  # of the image itself, in which the small ones are
_SMALL_PX, _SMALLEST_PX = 24, 12  # shortest side in a coarse image; and of any square that is compared with markers
_MOST_SQUARES = 400  # that are compared in one part of an image
_THRESHOLD_PX = 13  # window of the adaptive threshold
_CONTRAST, _BRIGHT_BORDER = 20.0, 0.2  # of grey levels, at least; share of the border's cells, at most
_OUTWARD_PX = 0.7  # corners found are the centres of pixels within the square
_WITHIN = (0.3, 0.7)  # a cell: where it is read, across and down

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Grey = NDArray[np.uint8]


class MarkerFinder:
    """Finds markers in image after image: around where they were, and new ones in one part of each image.

    Parts are the whole image at a coarse size, in turn with one of overlapping windows at full size. All are searched
    in the first image, one in each further, or in every second while markers are followed. Its squares, at most 400,
    are compared with all ids at once, and what resembles a marker is looked at again at full size, at most four.
    """

    def __init__(self) -> None:
        self._images = self._searched = 0
        self._last: list[tuple[int, F64]] = []

    def find(self, rgb: Rgb, settings: ScaleSettings) -> list[tuple[int, F64]]:
        """As `detected`, of at most `MOST` markers; a new one may be seen some images later."""
        import cv2

        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        followed = [each for each in self._last if settings.marker_id in (each[0], -1)]
        found = _around(followed, grey, settings)
        for part in self._due(grey, len(found)):
            proposed = [each for each in _proposed(grey, part, settings) if not _is_among(found, each)]
            for new in _around(proposed[: MOST - len(found)], grey, settings):
                if not _is_among(found, new):
                    found.append(new)
        self._images += 1
        self._last = found
        return found

    def _due(self, grey: Grey, followed: int) -> Sequence[_Part]:
        """The parts that are searched in this image."""
        parts = _parts(grey.shape[1], grey.shape[0])
        if self._images == 0:
            return tuple(dict.fromkeys(parts))
        if followed == MOST or (followed and self._images % 2):
            return ()
        self._searched += 1
        return (parts[self._searched % len(parts)],)


def detected(rgb: Rgb, settings: ScaleSettings) -> list[tuple[int, F64]]:
    """Id and corners (4, 2), pixels clockwise from the marker's top left, of the wanted markers in an image."""
    import cv2

    return _detected(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), settings)


def _is_among(found: Sequence[tuple[int, F64]], one: tuple[int, F64]) -> bool:
    """Whether its middle is within one of the markers found."""
    middle = one[1].mean(axis=0)
    return any(np.linalg.norm(middle - other.mean(axis=0)) < 0.5 * np.ptp(other, axis=0).max() for _, other in found)


def _around(places: Sequence[tuple[int, F64]], grey: Grey, settings: ScaleSettings) -> list[tuple[int, F64]]:
    """Markers of these ids near to these corners."""
    found: list[tuple[int, F64]] = []
    for wanted, corners in places:
        margin = _MARGIN * np.ptp(corners, axis=0).max() + _MARGIN_PX
        low = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
        high = np.ceil(corners.max(axis=0) + margin).astype(int)
        near = np.ascontiguousarray(grey[low[1] : high[1], low[0] : high[0]])
        for number, at in _detected(near, replace(settings, marker_id=wanted)) if min(near.shape) > 0 else ():
            if all(np.abs(at + low - other).max() > _SAME_PX for _, other in found):
                found.append((number, at + low))
    return found


@dataclass(frozen=True)
class _Part:
    """What one search sees: the window [top, bottom) x [left, right) of an image, made smaller by `factor`."""

    left: int
    top: int
    right: int
    bottom: int
    factor: int = 1


@functools.lru_cache(maxsize=4)
def _parts(width: int, height: int) -> tuple[_Part, ...]:
    """All parts of an image of that size. What is too small for a coarse image is whole in one of the windows."""
    factor = max(1, -(-max(width, height) // _COARSE_PX))
    coarse, overlap = _Part(0, 0, width, height, factor), _SMALL_PX * factor
    if factor == 1:
        return (coarse,)
    across, down = (list(_spans(size, part, overlap)) for size, part in zip((width, height), _PART_PX, strict=True))
    windows = [_Part(left, top, right, bottom) for top, bottom in down for left, right in across]
    return tuple(part for window in windows for part in (coarse, window))


def _spans(size: int, part: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Ranges of equal length that cover `size` pixels, `overlap` of which are in two, about `part` long without it."""
    count = max(1, round(size / part))
    for i in range(count):
        yield max(0, size * i // count - overlap // 2), min(size, size * (i + 1) // count + overlap // 2)


def _proposed(grey: Grey, part: _Part, settings: ScaleSettings) -> list[tuple[int, F64]]:
    """What looks like one of the wanted markers in a part of the image, the surest first: id and corners in it."""
    import cv2

    window = np.ascontiguousarray(grey[part.top : part.bottom, part.left : part.right])
    if part.factor > 1:
        share = 1 / part.factor
        window = cv2.resize(window, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    squares = _squares(window, settings)
    codes = _codes(settings.marker_dictionary)
    numbers, errors = codes.read(window, squares)
    wanted = settings.marker_id
    order = [i for i in np.argsort(errors, kind="stable") if numbers[i] >= 0 and wanted in (numbers[i], -1)]
    moved = part.factor * (squares.astype(np.float64) + 0.5) - 0.5 + (part.left, part.top)
    return [(int(numbers[i]), moved[i]) for i in order]


def _squares(grey: Grey, settings: ScaleSettings) -> F32:
    """(N, 4, 2): the corners of dark quadrangles in an image, whatever is within them; of too many the largest."""
    import cv2

    if min(grey.shape) <= _THRESHOLD_PX:
        return np.empty((0, 4, 2), np.float32)
    parameters = _parameters()
    parameters.adaptiveThreshWinSizeMin = parameters.adaptiveThreshWinSizeMax = _THRESHOLD_PX
    parameters.minMarkerPerimeterRate = 4 * _SMALLEST_PX / max(grey.shape)
    parameters.minMarkerDistanceRate = 0.0  # else the edge of its white border may stand for a marker
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_NONE
    known, _, unknown = _searched(grey, _family(settings.marker_dictionary, 0), parameters)
    corners = np.reshape([*known, *unknown], (-1, 4, 2)).astype(np.float32)
    out = corners - corners.mean(axis=1, keepdims=True)
    if len(out) > _MOST_SQUARES:
        largest = np.argsort(-np.square(out).sum(axis=(1, 2)), kind="stable")[:_MOST_SQUARES]
        corners, out = corners[largest], out[largest]
    return corners + np.float32(_OUTWARD_PX) * out / np.linalg.norm(out, axis=2, keepdims=True)


@dataclass(frozen=True, eq=False)
class _Codes:
    """The markers of a dictionary: `cells` along a side without the border, `signs` (cells^2, 4 ids), 1 is white."""

    cells: int
    most_errors: int
    signs: F32

    def read(self, grey: Grey, squares: F32) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The id in each of the `squares` (N, 4, 2), -1 where there is none, and in how many cells it differs."""
        side = self.cells + 2
        shades = _shades(grey, squares, side)
        dark, bright = shades.min(axis=(1, 2), initial=255), shades.max(axis=(1, 2), initial=0)
        white = shades > (0.5 * (dark + bright))[:, None, None]
        inside = white[:, 1:-1, 1:-1].reshape(-1, self.cells**2)
        border = white.sum(axis=(1, 2)) - inside.sum(axis=1)
        likely = np.flatnonzero((bright - dark > _CONTRAST) & (border <= _BRIGHT_BORDER * 4 * (side - 1)))
        agree = np.where(inside[likely], np.float32(1), np.float32(-1)) @ self.signs
        numbers, errors = np.full(len(squares), -1), np.full(len(squares), self.cells**2)
        if len(likely):
            best = agree.argmax(axis=1)
            wrong = np.rint((self.cells**2 - agree[np.arange(len(best)), best]) / 2).astype(int)
            numbers[likely] = np.where(wrong <= self.most_errors, best % (self.signs.shape[1] // 4), -1)
            errors[likely] = wrong
        return numbers, errors


def _shades(grey: Grey, squares: F32, side: int) -> F32:
    """(N, side, side): the mean grey of cells of quadrangles (N, 4, 2), by the projective map of the unit square.

    That map: Heckbert, Fundamentals of Texture Mapping and Image Warping (1989), section 2.2.3.
    """
    import cv2

    if not len(squares):
        return np.empty((0, side, side), np.float32)
    p0, p1, p2, p3 = squares.transpose(1, 2, 0)  # (2, N) each
    (dx1, dy1), (dx2, dy2), (sx, sy) = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = dx1 * dy2 - dx2 * dy1
    area = np.where(area == 0, np.float32(1), area)
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    along, down, start = p1 - p0 + g * p1, p3 - p0 + h * p3, p0
    at = ((np.arange(side)[:, None] + _WITHIN) / side).ravel().astype(np.float32)
    u, v = at[None, None, :], at[None, :, None]
    depth = g[:, None, None] * u + h[:, None, None] * v + 1
    x, y = (
        (a[:, None, None] * u + b[:, None, None] * v + c[:, None, None]) / depth
        for a, b, c in zip(along, down, start, strict=True)
    )
    rows = len(squares) * len(at)
    read = cv2.remap(grey, x.reshape(rows, -1), y.reshape(rows, -1), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    fine = len(_WITHIN)
    return read.reshape(len(squares), side, fine, side, fine).mean(axis=(2, 4), dtype=np.float32)


@functools.lru_cache(maxsize=2)
def _codes(dictionary: str) -> _Codes:
    family = _family(dictionary)
    cells, turns = family.markerSize, np.reshape(family.bytesList, (len(family.bytesList), 4, -1))
    bits = np.unpackbits(turns[:, 0], axis=1)
    spare = bits.shape[1] - cells**2  # the last byte has its bits at its end
    bits = np.delete(bits, np.s_[bits.shape[1] - 8 : bits.shape[1] - 8 + spare], axis=1).reshape(-1, cells, cells)
    turned = np.concatenate([np.rot90(bits, turn, axes=(1, 2)) for turn in range(4)]).reshape(-1, cells**2)
    return _Codes(cells, family.maxCorrectionBits, np.ascontiguousarray(2.0 * turned.T - 1, np.float32))


def _aruco() -> Any:
    import cv2

    aruco: Any = getattr(cv2, "aruco", None)
    if aruco is None:
        raise DataError("scale.source=marker needs OpenCV's module aruco: install OpenCV 4.7 or newer")
    return aruco


def _family(dictionary: str, only: int = -1) -> Any:
    """A dictionary of OpenCV, with `only` one id if there is such: each square is compared with every id (1 ms)."""
    aruco = _aruco()
    code = getattr(aruco, f"DICT_{dictionary}")
    get = aruco.Dictionary_get if hasattr(aruco, "Dictionary_get") else aruco.getPredefinedDictionary
    family = get(code)
    if 0 <= only < len(family.bytesList):
        family.bytesList = family.bytesList[only : only + 1]
    return family


def _parameters() -> Any:
    aruco = _aruco()
    new = not hasattr(aruco, "DetectorParameters_create")
    return aruco.DetectorParameters() if new else aruco.DetectorParameters_create()


def _searched(
    grey: Grey, family: Any, parameters: Any
) -> tuple[Sequence[F32], NDArray[np.int32] | None, Sequence[F32]]:
    """Corners and ids of markers, and the corners of other squares."""
    aruco = _aruco()
    if hasattr(aruco, "ArucoDetector"):  # OpenCV 4.7
        corners, numbers, others = aruco.ArucoDetector(family, parameters).detectMarkers(grey)
    else:
        corners, numbers, others = aruco.detectMarkers(grey, family, parameters=parameters)
    return corners, numbers, others


def _detected(grey: Grey, settings: ScaleSettings) -> list[tuple[int, F64]]:
    wanted, parameters = settings.marker_id, _parameters()
    parameters.cornerRefinementMethod = _aruco().CORNER_REFINE_SUBPIX
    if hasattr(parameters, "relativeCornerRefinmentWinSize"):
        parameters.relativeCornerRefinmentWinSize = _REFINED
    family = _family(settings.marker_dictionary, wanted)
    first = max(0, wanted) if len(family.bytesList) == 1 else 0
    corners, found, _ = _searched(grey, family, parameters)
    numbers = [] if found is None else (np.ravel(found) + first).tolist()
    pairs = zip(numbers, corners, strict=True)
    return [(n, np.reshape(c, (4, 2)).astype(np.float64)) for n, c in pairs if wanted in (n, -1)]
