"""The image of a frame as the texture of its mesh: one texel a pixel, where vertex colours have one colour a voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Points, Rgb
from ..cloud.back_projection import unpack_rgb
from ..errors import DataError
from .mesh import Mesh

_JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Texture:
    """`image` (H, W, 3) uint8 RGB and `uv` (N, 2) float32 of every vertex: 0 to 1 from the left and from the top."""

    image: Rgb
    uv: NDArray[np.float32]

    def jpeg(self) -> bytes:
        """The image as a JPEG file."""
        import cv2

        encoded, data = cv2.imencode(
            ".jpg", np.ascontiguousarray(self.image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        if not encoded:
            raise DataError(f"cannot encode an image of shape {self.image.shape} as JPEG for a texture")
        return bytes(data)


def texture_of(mesh: Mesh, points: Points) -> Texture:
    """The texture of a mesh (optical frame) that was made of the organised cloud `points` (H, W, 4).

    The cloud has the colours of the whole image, also where depth is unknown, and its points determine the camera:
    columns grow linearly with x / z, rows with y / z. Raises DataError where they do not.
    """
    known = np.isfinite(points[..., :3]).all(axis=-1)
    rows, columns = np.nonzero(known)
    seen = points[known]
    height, width = points.shape[:2]
    uv = np.empty((len(mesh.vertices), 2), np.float32)
    for axis, (place, size) in enumerate(((columns, width), (rows, height))):
        ray = seen[:, axis].astype(np.float64) / seen[:, 2]
        if len(ray) < 2 or not np.ptp(ray) > 0:
            raise DataError("expected a cloud of more than one row and column for a texture: leave mesh.texture off")
        focal, centre = np.polyfit(ray, place, 1)
        pixel = focal * mesh.vertices[:, axis] / mesh.vertices[:, 2] + centre
        uv[:, axis] = np.clip((pixel + 0.5) / size, 0, 1)  # texels, as pixels, have their centres at halves
    return Texture(np.ascontiguousarray(unpack_rgb(points[..., 3])), uv)
