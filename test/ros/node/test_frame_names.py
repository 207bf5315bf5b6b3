"""What the node says of frame_ids (a leading slash, none at all) and of depth where a colour image belongs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mono_depth_recon.config import Config
from mono_depth_recon.decoding import StreamBits
from mono_depth_recon.errors import DataError
from mono_depth_recon.ros.conversions import depth_to_msg
from mono_depth_recon.ros.node.frame_line import FrameLine
from mono_depth_recon.ros.node.registration import Registration


def said(image: str, info: str) -> list[str]:
    """What the node warns of, for these frames."""
    warned: list[str] = []
    log = SimpleNamespace(once=warned.append, warn=warned.append)
    config = Config()
    line: Any = SimpleNamespace(_log=log, _infos=SimpleNamespace(camera=lambda *_: None, guess=""), _config=config)
    FrameLine._camera(line, Image(header=Header(frame_id=image)), CameraInfo(header=Header(frame_id=info)), 4, 3)
    return warned


def test_a_slash_is_no_other_frame_and_said() -> None:
    assert said("lens", "lens") == [] == said("lens", "/lens")
    slash = said("/lens", "lens")
    assert len(slash) == 1 and slash[0].startswith("frame_id '/lens' of the image begins with a slash")
    assert said("/lens", "/lens") == slash
    assert [text.partition(":")[0] for text in said("lens", "other")] == [
        "camera_info has frame_id 'other', the image 'lens'"
    ]


def test_an_image_without_a_frame_is_said() -> None:
    (text,) = said("", "")
    assert text.startswith("the image has no frame_id, and so have the outputs")


@pytest.mark.parametrize(
    ("topic", "encoding", "warned"),
    [
        ("/camera/depth/image_raw", "mono16", True),
        ("/camera/aligned_depth_to_color/image", "16UC1", True),
        ("/camera/color/image_raw", "rgb8", False),
        ("/camera/infra1/image_rect_raw", "mono16", False),
    ],
)
def test_depth_as_the_image_is_named_and_taken_as_grey(topic: str, encoding: str, warned: bool) -> None:
    warnings: list[str] = []
    line: Any = SimpleNamespace(
        _log=SimpleNamespace(once=warnings.append),
        _image_subscription=SimpleNamespace(topic=topic),
        _config=Config(),
        _bits=StreamBits(),
        _camera=lambda *_: None,
    )
    pixels = {"rgb8": np.full((3, 4, 3), 90, np.uint8)}.get(encoding, np.full((3, 4), 1000, np.uint16))
    msg = Image(height=3, width=4, encoding=encoding, step=pixels[0].nbytes, data=pixels.tobytes())
    assert FrameLine._view(line, msg, CameraInfo).rgb.shape == (3, 4, 3)
    assert [text.partition(": ")[0] for text in warnings] == [
        f"{topic} looks like depth ({encoding}) and is taken as grey"
    ] * warned


def test_reference_depth_of_the_same_frame_is_registered() -> None:
    depth = np.ones((3, 4), np.float32)
    registration: Any = SimpleNamespace(_info=None, _subscription=SimpleNamespace(topic="/reference_camera_info"))
    for own, image in (("/lens", "lens"), ("lens", "/lens"), ("/lens", "/lens")):
        np.testing.assert_array_equal(
            Registration.view(registration, depth_to_msg(depth, Header(frame_id=own)), image), depth
        )
    with pytest.raises(DataError, match="32FC1 must be metres, got a median of 1000, as of millimetres"):
        Registration.view(registration, depth_to_msg(depth * 1000, Header(frame_id="lens")), "lens")
    with pytest.raises(DataError, match="reference depth is in the frame 'ir', the image in 'lens'"):
        Registration.view(registration, depth_to_msg(depth, Header(frame_id="/ir")), "/lens")
