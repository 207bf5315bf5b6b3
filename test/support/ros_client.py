"""A ROS node in the test process that communicates with the nodes under test over DDS."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from processes import DEADLINE_S
from rcl_interfaces.msg import Parameter, SetParametersResult
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros.conversions import info_to_msg, rgb_to_msg

_POLL_S = 0.05  # for conditions without a message


class RosClient:
    """Publishes images, collects messages, calls services; every wait has a deadline."""

    def __init__(self, node_name: str = "recon_node") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("test_client", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._target = node_name
        self._arrived = threading.Condition()
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.times: dict[str, list[float]] = defaultdict(list)
        self._closing = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.2)

    def close(self) -> None:
        """Ends the thread, then the node."""
        self._closing = True
        self._thread.join(DEADLINE_S)
        self._executor.shutdown()
        self._context.try_shutdown()

    def listen(self, msg_type: type[Any], topic: str, reliable: bool = True, latched: bool = False) -> None:
        """Collects the messages of `topic` into `received[topic]` with their arrival in `times[topic]`."""

        def keep(msg: Any) -> None:
            with self._arrived:
                self.received[topic].append(msg)
                self.times[topic].append(time.monotonic())
                self._arrived.notify_all()

        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        self.node.create_subscription(
            msg_type, topic, keep, QoSProfile(depth=10, reliability=policy, durability=durability)
        )

    def wait_until(
        self, condition: Callable[[], bool], what: str | Callable[[], str], deadline: float = DEADLINE_S
    ) -> None:
        """Waits until `condition` holds; fails at the deadline with a message that names `what`, asked for then."""
        end = time.monotonic() + deadline
        with self._arrived:
            while not condition():
                if time.monotonic() > end:
                    counts = {topic: len(messages) for topic, messages in self.received.items()}
                    text = what if isinstance(what, str) else what()
                    pytest.fail(f"{text} did not happen within {deadline} s; received {counts}")
                self._arrived.wait(_POLL_S)

    def repeat(self, action: Callable[[], Any], until: Callable[[], bool], what: str, rate_hz: float = 10.0) -> None:
        """Repeats an action at `rate_hz` until a condition holds; fails at the deadline."""
        end = time.monotonic() + DEADLINE_S
        while not until():
            if time.monotonic() > end:
                counts = {topic: len(messages) for topic, messages in self.received.items()}
                pytest.fail(f"{what} did not happen within {DEADLINE_S} s; received {counts}")
            action()
            time.sleep(1 / rate_hz)

    def wait_for(self, topic: str, count: int = 1, deadline: float = DEADLINE_S) -> Any:
        """Waits for `count` messages of `topic` and returns the last of them."""
        self.wait_until(lambda: len(self.received[topic]) >= count, f"{count} messages on {topic}", deadline)
        return self.received[topic][count - 1]

    def forget(self) -> None:
        """Clears the received messages."""
        with self._arrived:
            self.received.clear()
            self.times.clear()

    def call(self, service_type: Any, name: str, request: Any, deadline: float = DEADLINE_S) -> Any:
        """Calls a service and returns its reply."""
        client = self.node.create_client(service_type, name)
        if not client.wait_for_service(deadline):
            pytest.fail(f"no service {name} within {deadline} s")
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(deadline):
            pytest.fail(f"{name} did not answer within {deadline} s")
        self.node.destroy_client(client)
        return future.result()

    def trigger(self, name: str, deadline: float = DEADLINE_S) -> Trigger.Response:
        """Calls a std_srvs/Trigger service."""
        reply: Trigger.Response = self.call(Trigger, name, Trigger.Request(), deadline)
        return reply

    def set_parameter(self, name: str, value: Any) -> SetParametersResult:
        """Sets a parameter as `ros2 param set` does."""
        parameter: Parameter = RosParameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        result: SetParametersResult = self.call(SetParameters, f"{self._target}/set_parameters", request).results[0]
        return result

    def describe_parameter(self, name: str) -> Any:
        """Describes a parameter as `ros2 param describe` does."""
        request = DescribeParameters.Request(names=[name])
        return self.call(DescribeParameters, f"{self._target}/describe_parameters", request).descriptors[0]

    def change_state(self, transition: int) -> bool:
        """Runs a lifecycle transition, given by its id in lifecycle_msgs/Transition."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, f"{self._target}/change_state", request).success)

    def state(self) -> str:
        """The lifecycle state's name."""
        return str(self.call(GetState, f"{self._target}/get_state", GetState.Request()).current_state.label)

    def camera(
        self, image_topic: str = "image", info_topic: str = "camera_info", reliable: bool = True, depth: int = 5
    ) -> TestCamera:
        """A camera driver on these topics; its publishers keep `depth` messages."""
        return TestCamera(self, image_topic, info_topic, reliable, depth)


class TestCamera:
    """Publishes images with their camera_info, stamped by a counter of nanoseconds."""

    __test__ = False

    def __init__(self, client: RosClient, image_topic: str, info_topic: str, reliable: bool, depth: int) -> None:
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=depth, reliability=policy)
        self._client = client
        self._images = client.node.create_publisher(Image, image_topic, qos)
        self._infos = client.node.create_publisher(CameraInfo, info_topic, qos)
        self._count = 0

    def header(self) -> Header:
        """The next header: stamps increase by a millisecond."""
        self._count += 1
        return Header(frame_id="camera_optical_frame", stamp=Time(sec=100, nanosec=self._count * 1_000_000))

    def publish(self, rgb: NDArray[np.uint8], camera: PinholeCamera, acknowledged: bool = False) -> Header:
        """Publishes one frame, the image after its camera_info, if wanted once that is received; returns its header."""
        header = self.header()
        self.send_info(info_to_msg(camera, header), acknowledged)
        self.send(rgb_to_msg(rgb, header))
        return header

    def send(self, msg: Image) -> None:
        """Publishes any image message."""
        self._images.publish(msg)

    def send_info(self, msg: CameraInfo, acknowledged: bool = False) -> None:
        """Publishes any camera_info message; with `acknowledged` waits until it is received.

        That takes up to 3 s, but no time where the publisher keeps one message: a full history sends a heartbeat with
        every message.
        """
        self._infos.publish(msg)
        assert not acknowledged or self._infos.wait_for_all_acked(Duration(seconds=DEADLINE_S))

    def stream(
        self,
        rgb: NDArray[np.uint8],
        camera: PinholeCamera,
        until: Callable[[], bool],
        what: str,
        rate_hz: float = 10.0,
    ) -> None:
        """Publishes the same frame at `rate_hz` until a condition on what was received holds."""
        self._client.repeat(lambda: self.publish(rgb, camera), until, what, rate_hz)


@contextmanager
def ros_client(node_name: str = "recon_node") -> Iterator[RosClient]:
    """A RosClient that is closed at the end; ROS_DOMAIN_ID comes from the environment."""
    client = RosClient(node_name)
    try:
        yield client
    finally:
        client.close()
