"""calibrate_camera: intrinsics from the images on `image` that show a calibration board; ends when it has them.

Hold the board still for a moment at each place: near and far, tilted to all sides, in every corner of the image.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...arrays import Rgb
from ...atomic import writable_folder
from ...calibration.board import DICTIONARY, Board
from ...calibration.camera_file import write_camera
from ...calibration.collection import ViewCollection
from ...calibration.intrinsics import LEAST_VIEWS, MODELS, calibrate, summary
from ...config import Value
from ...errors import DataError
from ...paths import expanded
from ...pictures.calibration import calibration_picture
from ...pictures.panels import write_png
from ..conversions import image_from_msg
from ..node_settings import declare_settings, parse_flags, run_node, setting
from ..subscriptions import AdaptiveSubscription


@dataclass(frozen=True)
class CalibrationSettings:
    """The board, the lens, and where the files go."""

    board: str = setting("8x6", "inner corners of a chessboard, or squares of a ChArUco board: COLUMNSxROWS")
    square: float = setting(0.025, "side of a square", unit="m", low=1e-4, high=10.0)
    marker: float = setting(0.0, "side of a marker, of a ChArUco board; 0 = a chessboard", unit="m", low=0.0, high=10.0)
    dictionary: str = setting(DICTIONARY, "of the markers, as in OpenCV")
    model: str = setting(MODELS[0], "of the lens; equidistant for fisheye", choices=MODELS)
    views: int = setting(20, "views of the board", low=LEAST_VIEWS, high=200)
    name: str = setting("camera", "camera_name in the file")
    output: str = setting("camera.yaml", "file for camera_info_url; a picture is written beside it")
    timeout: float = setting(600.0, "longest wait for all views", unit="s", low=1.0, high=1e5)


class BoardWatcher:
    """Collects views from `image`, one image at a time; `example` is the last image that gave one."""

    def __init__(self, node: Node, board: Board, wanted: int) -> None:
        self._node, self._board, self._wanted = node, board, wanted
        self._changed = threading.Condition()
        self._problem = ""
        self.collection: ViewCollection | None = None
        self.example: Rgb | None = None
        AdaptiveSubscription(node, Image, "image", self._on_image, "auto")

    def wait(self, timeout_s: float) -> tuple[ViewCollection, Rgb]:
        """Blocks until all views are there. Raises DataError where they are not in time, or images are no use."""
        with self._changed:
            self._changed.wait_for(lambda: self._problem or self._complete, timeout_s)
            if self._problem:
                raise DataError(self._problem)
            if self.collection is None or self.example is None or not self._complete:
                raise DataError(self._lack(timeout_s))
            return self.collection, self.example

    @property
    def _complete(self) -> bool:
        return self.collection is not None and self.collection.complete

    def _lack(self, timeout_s: float) -> str:
        topic = self._node.resolve_topic_name("image")
        if self.collection is None:
            return f"no image came on {topic} within {timeout_s:g} s: remap image to the camera's topic"
        found = len(self.collection.views)
        size = f"{self._board.columns}x{self._board.rows}"
        return f"{found} of {self._wanted} views of a board of {size} came on {topic} within {timeout_s:g} s"

    def _on_image(self, msg: Image) -> None:
        if self._complete or self._problem:
            return
        try:
            self._look(image_from_msg(msg))
        except DataError as error:
            self._say_problem(str(error))

    def _look(self, rgb: Rgb) -> None:
        size = rgb.shape[1], rgb.shape[0]
        if self.collection is None:
            self.collection = ViewCollection(size, self._wanted)
        if size != self.collection.size:
            raise DataError(f"expected images of {self.collection.size} pixels as at first, got {size}")
        if self.collection.add(self._board.find(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))):
            self._node.get_logger().info(f"{len(self.collection.views)} of {self._wanted} views")
            with self._changed:
                self.example = rgb
                self._changed.notify_all()

    def _say_problem(self, text: str) -> None:
        with self._changed:
            self._problem = text
            self._changed.notify_all()


def serve(node: Node, flags: Mapping[str, Value]) -> None:
    """Calibrates once and writes. Raises MonoDepthError."""
    settings = declare_settings(node, CalibrationSettings, flags)
    board = Board.parse(settings.board, settings.square, settings.marker, settings.dictionary)
    output = Path(expanded(settings.output)).absolute()
    writable_folder(output.parent)
    say = node.get_logger().info
    say(f"looking for a board of {settings.board} on {node.resolve_topic_name('image')}")
    collection, example = BoardWatcher(node, board, settings.views).wait(settings.timeout)
    made = calibrate(collection.views, collection.size, settings.model)
    write_camera(output, made.camera, settings.name)
    write_png(output.with_suffix(".png"), calibration_picture(made, collection.views, example, settings.name))
    for line in summary(made):
        say(line)
    say(f"written to {output}")


def main(args: Sequence[str] | None = None) -> int:
    """Calibrates once; 0 when done or stopped by SIGINT or SIGTERM, 1 with one line where it failed."""
    arguments = list(sys.argv if args is None else args)
    flags = parse_flags("calibrate_camera", __doc__ or "", CalibrationSettings, arguments)
    return run_node("calibrate_camera", lambda node: serve(node, flags), arguments)


if __name__ == "__main__":
    sys.exit(main())
