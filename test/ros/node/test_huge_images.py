"""The node and compressed images that claim more pixels than they should."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from encoded import png_of
from processes import Processes
from ros_client import ros_client
from sensor_msgs.msg import CompressedImage, Image

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.ros.conversions import image_from_msg, info_to_msg

CAMERA = PinholeCamera.from_hfov(320, 240, 60)


def test_a_few_bytes_that_claim_a_huge_image_cost_one_frame(processes: Processes, ros_domain: int) -> None:
    """The limit is the parameter's; the image after them comes out whole."""
    rgb = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    parameters = ["image_transport:=compressed", "camera.max_megapixels:=0.08", "model.runtime:=openvino"]
    words = [word for parameter in parameters for word in ("-p", parameter)]
    words += ["-r", "image:=/cam/image", "-r", "camera_info:=/cam/camera_info"]
    with ros_client() as client:
        node = processes.python("-m", "mono_depth_recon.ros.node.recon_node", "--ros-args", *words)
        node.wait_for("ready")
        client.listen(Image, "rgb/image_rect")
        publisher = client.node.create_publisher(CompressedImage, "/cam/image/compressed", 5)
        driver = client.camera("/cam/unused", "/cam/camera_info")

        def send(data: bytes) -> None:
            header = driver.header()
            driver.send_info(info_to_msg(CAMERA, header))
            publisher.publish(CompressedImage(header=header, format="png", data=array("B", data)))

        client.repeat(lambda: send(png_of(60_000, 60_000)), lambda: "60000x60000 pixels" in node.output, "the warning")
        client.repeat(lambda: send(png.tobytes()), lambda: bool(client.received["rgb/image_rect"]), "a whole image")
        assert np.array_equal(image_from_msg(client.received["rgb/image_rect"][0]), rgb)
        assert "frame dropped: compressed image of format 'png' has 60000x60000 pixels, more than 0.08" in node.output
        assert "Traceback" not in node.output
