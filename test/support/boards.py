"""Rendered views of calibration boards, by cameras that are known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mono_depth_recon.calibration.board import Board
from mono_depth_recon.camera import PinholeCamera

SIZE, PX = (640, 480), 40
CHESS = Board(7, 5, 0.03)
CHARUCO = Board(8, 6, 0.03, 0.022)
PLAIN = PinholeCamera.from_intrinsics(*SIZE, 580, 588, 326, 234, (-0.21, 0.06, 0.001, -0.0015, 0.0))
FISHEYE = PinholeCamera.from_intrinsics(*SIZE, 300, 302, 322, 236, (-0.02, 0.004, -0.001, 0.0), "equidistant")
POSES = [  # turn about x and y in degrees, place of the board's middle in units of its distance, distance in metres
    *((0, 0, 0.0, 0.0, 0.36), (30, 0, -0.2, 0.1, 0.36), (-30, 5, 0.2, -0.12, 0.38), (0, 32, 0.18, 0.12, 0.36)),
    *((5, -32, -0.18, -0.12, 0.36), (22, 22, 0.0, 0.1, 0.34), (-22, 20, 0.05, -0.1, 0.4), (20, -24, -0.2, 0.0, 0.45)),
]


def picture(board: Board) -> NDArray[np.uint8]:
    """The board from above, PX pixels a square, and a white margin of a square."""
    if board.marker_m:
        image = board.charuco().generateImage((board.columns * PX, board.rows * PX))
        return np.pad(image, PX, constant_values=255)
    squares = (np.indices((board.rows + 1, board.columns + 1)).sum(0) % 2 * 255).astype(np.uint8)
    return np.pad(np.kron(squares, np.ones((PX, PX), np.uint8)), PX, constant_values=255)


def rays(camera: PinholeCamera, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """x / z and y / z (N, 2) of pixels (N, 1, 2)."""
    undistort = cv2.fisheye.undistortPoints if camera.distortion_model == "equidistant" else cv2.undistortPoints
    return undistort(pixels, camera.K, np.array(camera.D))[:, 0]


def seen(board: Board, camera: PinholeCamera, pose: tuple[float, ...]) -> NDArray[np.uint8]:
    """What a camera sees of a board: every pixel's ray meets the plane."""
    turn_x, turn_y, x, y, z = pose
    z *= camera.fx / 580
    R = cv2.Rodrigues(np.radians([turn_x, 0, 0]))[0] @ cv2.Rodrigues(np.radians([0, turn_y, 0]))[0]
    v, u = np.indices(SIZE[::-1])
    points = np.stack([u, v], -1).reshape(-1, 1, 2).astype(np.float64)
    seen_along = np.concatenate([rays(camera, points), np.ones((len(points), 1))], 1)
    middle = np.array([x * z, y * z, z])
    with np.errstate(divide="ignore", invalid="ignore"):
        met = seen_along * ((middle @ R[:, 2]) / (seen_along @ R[:, 2]))[:, None] - middle
    plane = picture(board)
    place = (met @ R)[:, :2] / board.square_m * PX
    place += np.array([plane.shape[1], plane.shape[0]]) / 2 - 0.5
    grid = place.reshape(*u.shape, 2).astype(np.float32)
    image = cv2.remap(plane, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderValue=150)
    return cv2.GaussianBlur(image, (3, 3), 0)
