"""An image that several ask for: computed once by one configuration, again only for what it lacks."""

from __future__ import annotations

import numpy as np
from made_models import FakeModel, RelativeModel, picture, pinhole, reconstructor, wall
from sensor_msgs.msg import Image

from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Frame
from mono_depth_recon.once import Once
from mono_depth_recon.pipeline import Wanted
from mono_depth_recon.ros.node.arrival import Arrival, RawView
from mono_depth_recon.scale.evidence import NOTHING

CAMERA = pinhole(64, 48)
FIXED = with_values(Config(), {"scale.source": "fixed"})


class Asked:
    """An arrival, and how often its frame was computed."""

    def __init__(self, model: FakeModel) -> None:
        view = RawView(picture(CAMERA), CAMERA, 0.0)
        self.arrival = Arrival(Image(), 0.0, Once(lambda: view), NOTHING)
        self._running, self._model = reconstructor(model), model

    def compute(self, config: Config, points: bool = False) -> Frame:
        view = self.arrival.view()
        return self._running.process(view.rgb, view.camera, Wanted(points=points), config=config)

    @property
    def inferences(self) -> int:
        return len(self._model.seen)


def test_all_who_ask_share_one_frame() -> None:
    asked, config = Asked(FakeModel(wall)), Config()
    first = asked.arrival.frame(config, lambda: asked.compute(config))
    assert asked.arrival.frame(config, lambda: asked.compute(config)) is first
    assert asked.arrival.snapshot(config, lambda: asked.compute(config)) is first
    assert asked.inferences == 1


def test_points_are_computed_where_they_are_missing() -> None:
    asked, config = Asked(FakeModel(wall)), Config()
    assert asked.arrival.snapshot(config, lambda: asked.compute(config)).points is None
    whole = asked.arrival.frame(config, lambda: asked.compute(config, points=True), points=True)
    assert whole.points is not None and asked.arrival.snapshot(config, lambda: asked.compute(config)) is whole


def test_a_frame_is_of_its_configuration_and_a_snapshot_of_any_that_has_depth() -> None:
    asked, config, other = Asked(FakeModel(wall)), Config(), with_values(Config(), {"filter.max_range": 1.0})
    first = asked.arrival.frame(config, lambda: asked.compute(config))
    assert asked.arrival.snapshot(other, lambda: asked.compute(other)) is first
    second = asked.arrival.frame(other, lambda: asked.compute(other))
    assert second.depth is not None and np.isposinf(second.depth).all()


def test_a_snapshot_without_metres_is_tried_again_with_another_configuration() -> None:
    asked, config = Asked(RelativeModel(wall)), Config()
    for _ in range(2):
        assert asked.arrival.snapshot(config, lambda: asked.compute(config)).depth is None
    assert asked.inferences == 1
    assert asked.arrival.snapshot(FIXED, lambda: asked.compute(FIXED)).depth is not None
    assert asked.inferences == 2
