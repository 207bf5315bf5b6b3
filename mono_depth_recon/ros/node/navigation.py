"""points_safe and scan: obstacles for planners, placed by TF from the robot's base frame to the camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from ...cloud.obstacles import planar_scan, safe_points, surroundings
from ...config import Config
from ...errors import DataError, MonoDepthError
from ...frames import Frame
from ...transforms import frame_name, seconds
from ...trusted import safe_settings, trusted_depth
from ..conversions import scan_to_msg, xyz_to_msg
from ..frame_worker import FrameWorker
from ..mapping.tf import TransformsWhileWanted, awaited
from ..publications import Publications
from ..tf_messages import TF_MISSING
from ..throttled_log import ThrottledLog

_PATIENCE_S = 0.5  # for a transform that is younger than the image
_GRACE_S = 2.0  # without transforms before it is said: those of the start may still come
_LONGEST_SCAN_S = 10.0  # between two images; more is a pause
_NO_TF = f"points_safe and scan are not published: {TF_MISSING}"


@dataclass(frozen=True)
class _Offer:
    header: Header
    frame: Frame
    config: Config


class Navigation:
    """Publishes points_safe and scan of the offered frames until `close`, in a thread of its own, which waits for TF.

    To be constructed, looked after (`look`, about every second) and closed in the thread that runs callbacks. TF is
    received only while somebody subscribes. `failed(error)` receives an unexpected error of the thread.
    """

    def __init__(
        self,
        node: LifecycleNode,
        publications: Publications,
        log: ThrottledLog,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._node, self._publications, self._log = node, publications, log
        self._changed, self._closing = threading.Condition(), False
        self._tf = TransformsWhileWanted(node, self._changed, self._log, _NO_TF)
        self._failing_since: float | None = None
        self._last_scan_s: float | None = None
        self._worker: FrameWorker[_Offer] = FrameWorker(self._take, self._refuse, lambda: 0.0, failed)
        self.look()

    def look(self) -> None:
        """Begins or ends to listen to TF, as somebody subscribes or nobody."""
        self._tf.look(any(self._publications.wants_navigation()))

    def offer(self, header: Header, frame: Frame, config: Config) -> None:
        """Hands over a frame, which replaces one that still waits."""
        if frame.depth is not None and self._tf.source is not None and any(self._publications.wants_navigation()):
            self._worker.put(_Offer(header, frame, config))

    def close(self) -> None:
        """Ends every wait, the thread and TF."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.close()
        self._tf.close()

    def _take(self, offer: _Offer) -> None:
        settings, camera_frame = safe_settings(offer.config), frame_name(offer.header.frame_id)
        base, tf = frame_name(settings.base_frame), self._tf.source
        if tf is None:
            return
        if base == camera_frame:
            raise DataError(f"safe.base_frame '{base}' is the frame of the images: name the robot's base, with z up")
        T_base_camera = awaited(
            lambda: tf.pose(base, camera_frame, offer.header.stamp),
            self._changed,
            _PATIENCE_S,
            lambda: self._closing,
        )
        self._failing_since = None
        seen = surroundings(trusted_depth(offer.frame, offer.config), offer.frame.camera, T_base_camera, settings)
        cloud_wanted, scan_wanted = self._publications.wants_navigation()
        if cloud_wanted:
            points = safe_points(seen, settings.voxel_size)
            self._publications.points_safe.publish(xyz_to_msg(points, offer.header))
        if scan_wanted:
            scan = planar_scan(seen, offer.config.filter.min_range, settings)
            header = Header(stamp=offer.header.stamp, frame_id=base)
            self._publications.scan.publish(scan_to_msg(scan, header, self._scan_time(header)))

    def _scan_time(self, header: Header) -> float:
        """Seconds since the last scan, 0 if there is none or it is too old or younger."""
        stamp, last = seconds(header.stamp), self._last_scan_s
        self._last_scan_s = stamp
        return stamp - last if last is not None and 0 < stamp - last < _LONGEST_SCAN_S else 0.0

    def _refuse(self, error: MonoDepthError) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= _GRACE_S and not self._closing:
            self._log.rarely(
                f"points_safe and scan are not published: {error}; let TF lead from safe.base_frame to the camera "
                "(robot_state_publisher, static_transform_publisher)",
                "navigation",
            )
