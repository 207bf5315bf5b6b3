"""The guard in the frame path: frames are marked or withheld, per camera, and the parameters take effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from made_models import FakeModel, RelativeModel, reconstructor
from made_walks import CAMERA, pose, view

from mono_depth_recon.arrays import Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import with_values
from mono_depth_recon.frames import Frame, Prediction, Sample
from mono_depth_recon.models.base import View
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.sequence import fuse_sequence, predicted

RGB, DEPTH = view(pose())
BLACK = np.zeros_like(RGB)


class WalkModel(FakeModel):
    """Predicts the true depth of the box times `factor`."""

    def __init__(self) -> None:
        super().__init__(lambda camera: DEPTH.copy())
        self.factor = 1.0

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        return [Prediction(depth=DEPTH * np.float32(self.factor), sigma=0.1 * DEPTH) for _ in batch]


def made(model: FakeModel, **values: Any) -> DepthReconstructor:
    return reconstructor(model, filter__edge_threshold=0.0, **values)


def judged(model: WalkModel, path: DepthReconstructor, factors: Sequence[float], rgb: Rgb = RGB) -> list[Frame]:
    frames = []
    for i, model.factor in enumerate(factors):
        frames.append(path.process(rgb, CAMERA, stamp=i / 15))
    return frames


def test_an_unreliable_frame_is_marked() -> None:
    model = WalkModel()
    frames = judged(model, made(model), (1, 1, 1.1, 1))
    assert [frame.judgement.level for frame in frames if frame.judgement] == ["OK", "OK", "ERROR", "OK"]
    jump = frames[2]
    assert jump.depth is not None and jump.points is not None and jump.judgement is not None
    np.testing.assert_array_equal(jump.depth, DEPTH * np.float32(1.1))
    assert not jump.judgement.withheld and jump.no_metres == ""


def test_an_unreliable_frame_is_withheld_by_parameter() -> None:
    model = WalkModel()
    frames = judged(model, made(model, guard__on_unreliable="withhold"), (1, 1, 1.1, 1))
    assert [frame.depth is None for frame in frames] == [False, False, True, False]
    jump = frames[2]
    assert jump.points is None and jump.sigma is None and jump.judgement is not None and jump.judgement.withheld
    assert jump.no_metres == "depth is withheld: scale jumped: depth is +10 % off that of the frames before"


@pytest.mark.parametrize("setting", [{"guard__enabled": False}, {"guard__max_jump": 0.2}])
def test_what_is_allowed_is_not_remarked_upon(setting: dict[str, Any]) -> None:
    model = WalkModel()
    frames = judged(model, made(model, guard__on_unreliable="withhold", **setting), (1, 1, 1.1, 1))
    assert all(frame.depth is not None for frame in frames)
    levels = [None if frame.judgement is None else frame.judgement.level for frame in frames]
    assert levels == [None if "guard__enabled" in setting else "OK"] * 4


def test_a_dark_image_is_withheld_without_a_frame_before() -> None:
    model = WalkModel()
    (frame,) = judged(model, made(model, guard__on_unreliable="withhold"), (1,), BLACK)
    assert frame.depth is None and "depth is withheld: dark image: 95 % of it is at most 0 %" in frame.no_metres


def test_the_image_of_a_relative_model_without_metres_is_judged_too() -> None:
    frame = made(RelativeModel(lambda camera: DEPTH)).process(BLACK, CAMERA)
    assert frame.judgement is not None and frame.judgement.level == "ERROR" and not frame.judgement.withheld
    assert "set scale.source" in frame.no_metres, "the reason for no depth is another"


def test_a_withheld_frame_of_a_recording_is_left_out_of_its_map() -> None:
    """Four frames of which the third jumps."""
    model = WalkModel()
    factors, made_depths = iter((1.0, 1.0, 1.3, 1.0)), []
    path = made(model, guard__on_unreliable="withhold", fusion__parallax=False, fusion__align=0.0)

    def frame_of(sample: Sample) -> Frame:
        model.factor = next(factors)
        made_depths.append(predicted(path, None)(sample))
        return made_depths[-1]

    samples = [Sample(RGB, CAMERA, stamp=i / 15, name=f"frame {i}", T_world_camera=np.eye(4)) for i in range(4)]
    config = with_values(path.config, {"fusion.keyframe_distance": 0.0})
    scene = fuse_sequence(samples, frame_of, config)
    assert [frame.judgement is not None and frame.judgement.withheld for frame in made_depths] == [0, 0, 1, 0]
    assert np.isnan(made_depths[2].depth).all()
    assert scene.places == [0, 1, 3] and scene.unreliable == 1
    assert scene.notes == ["frame 2: no depth: no pixel has depth up to fusion.depth_max (5 m)"]


def test_each_camera_has_its_own_past() -> None:
    """Frames of two cameras alternate; the second one's depth is always 1.5 times the first one's."""
    model, other = WalkModel(), PinholeCamera.from_hfov(CAMERA.width, CAMERA.height, 62)
    path = made(model)
    for i in range(4):
        for camera, model.factor in ((CAMERA, 1.0), (other, 1.5)):
            judgement = path.process(RGB, camera, stamp=i / 15).judgement
            assert judgement is not None and judgement.level == "OK" and judgement.compared == (i > 0)


def test_the_temporal_filter_is_in_the_frame_path() -> None:
    model = WalkModel()
    frames = judged(model, made(model, guard__smoothing=0.5), (1, 1, 1.02))
    assert frames[2].depth is not None and frames[2].points is not None
    ratio = frames[2].depth / DEPTH
    assert 1.005 < np.median(ratio) < 1.015
    np.testing.assert_array_equal(frames[2].points[..., 2], frames[2].depth)
