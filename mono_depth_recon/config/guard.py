"""The group `guard`: when a frame is not to be believed, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param


@dataclass(frozen=True)
class GuardConfig:
    """Limits beyond which a frame is remarked upon; far beyond them it is unreliable. A limit of 0 is off."""

    enabled: bool = param(True, "judge every frame: its image, and its depth against that of the frame before")
    on_unreliable: str = param(
        "publish",
        "publish = unreliable frames are marked in scale and /diagnostics; withhold = they have no depth and cloud",
        choices=("publish", "withhold"),
    )
    max_jump: float = param(
        0.07,
        "largest change of scale from one frame to the next, as a share; where the scale flickers, 2.5 times its "
        "noise; 0 = off",
        low=0.0,
        high=10.0,
    )
    max_flicker: float = param(
        0.05,
        "largest noise of the scale from frame to frame, as a share; unreliable from twice as much; 0 = off",
        low=0.0,
        high=10.0,
    )
    max_change: float = param(
        0.25,
        "largest share of the compared places whose depth changes by more than 15 % although the scale does not; "
        "0 = off",
        low=0.0,
        high=1.0,
    )
    min_brightness: float = param(
        0.1, "an image is dark if 95 % of it is below this share of white; 0 = off", low=0.0, high=1.0
    )
    max_clipped: float = param(
        0.6, "an image is overexposed if more than this share of it is saturated; 0 or 1 = off", low=0.0, high=1.0
    )
    max_blur: float = param(
        7.0,
        "an image is blurred if its strong edges are wider, at a width of 320 pixels; 0 or 13 = off",
        unit="px",
        low=0.0,
        high=13.0,
    )
    min_texture: float = param(
        0.1, "an image has no texture if less than this share of it has any; 0 = off", low=0.0, high=1.0
    )
    max_gap: float = param(2.0, "frames further apart are not compared; 0 = always", unit="s", low=0.0, high=3600.0)
    smoothing: float = param(
        0.0,
        "share of the previous depth, moved with the camera, that is kept where the new one agrees to 10 %; 0 = off",
        low=0.0,
        high=0.95,
    )
