"""The settings of all sources: the group `scale` of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param

# OpenCV's predefined ones, without DICT_ before their names.
DICTIONARIES = (
    *(f"{side}X{side}_{count}" for side in (4, 5, 6, 7) for count in (50, 100, 250, 1000)),
    "ARUCO_ORIGINAL",
    *(f"APRILTAG_{family}" for family in ("16h5", "25h9", "36h10", "36h11")),
)


@dataclass(frozen=True)
class ScaleSettings:
    """From relative disparity to metres: 1 / depth = scale * disparity + shift."""

    source: str = param("none", "name of the source")  # `config` adds help and choices from the table
    scale: float = param(1.0, "fixed: 1/m per unit of disparity", unit="1/m", low=1e-9, high=1e9)
    shift: float = param(0.0, "fixed, marker: inverse depth at disparity 0", unit="1/m", low=-1e3, high=1e3)
    smoothing: float = param(
        0.8,
        "share of the previous fits kept in a new one that differs by no more than noise; 0 = each frame on its own",
        low=0.0,
        high=0.99,
    )
    gate: float = param(
        0.3,
        "a fit that is in doubt, or of a single object, counts if it changes depth by no more than this share, else "
        "once three in a row agree; 0 = always",
        low=0.0,
        high=10.0,
    )
    timeout: float = param(
        2.0, "the last fit is used for so long where a frame has none; 0 = for ever", unit="s", low=0.0, high=3600.0
    )
    on_timeout: str = param(
        "withhold",
        "after scale.timeout: withhold = no depth, cloud and mesh; stale = depth by the last fit (of a metric model "
        "without any: as predicted), marked stale in scale and /diagnostics",
        choices=("withhold", "stale"),
    )
    correct_metric: str = param(
        "off",
        "correct the metres of a metric model by scale.source too: factor = 1 / depth is multiplied by scale; affine = "
        "and shift is added",
        choices=("off", "factor", "affine"),
    )
    varying: bool = param(
        False,
        "reference, points, odometry: inverse depth is also multiplied by a smooth field over the image (2/3 to 3/2) "
        "that agrees with the anchors, for a model that bends surfaces",
    )
    marker_size: float = param(0.16, "marker: length of the black square's side", unit="m", low=0.001, high=100.0)
    marker_dictionary: str = param(
        "APRILTAG_36h11", "marker: OpenCV's dictionary of ArUco or AprilTag", choices=DICTIONARIES
    )
    marker_id: int = param(-1, "marker: the id that has this size; -1 = all do", low=-1, high=100_000)
    gravity: str = param(
        "tf",
        "ground_plane: where down is known from: tf = scale.base_frame is level; imu = the topic imu (at rest or "
        "moving gently); level = the camera does not roll and looks scale.camera_pitch below the horizon",
        choices=("tf", "imu", "level"),
        live=False,
    )
    base_frame: str = param(
        "base_footprint", "ground_plane: frame of TF on the floor below the camera, z up (REP 120)", live=False
    )
    camera_height: float = param(
        0.0, "ground_plane: height of the camera above the floor; 0 = by TF", unit="m", low=0.0, high=100.0
    )
    camera_pitch: float = param(
        0.0, "ground_plane, level: angle of the optical axis below the horizon", unit="deg", low=-90.0, high=90.0
    )
    odom_frame: str = param(
        "odom", "odometry: frame of TF in which the camera's motion is smooth and in metres (REP 105)", live=False
    )
    extrinsic: str = param(
        "",
        "points: pose of their frame in the camera's optical frame, 'x y z qx qy qz qw' in metres; empty = TF",
        live=False,
    )
