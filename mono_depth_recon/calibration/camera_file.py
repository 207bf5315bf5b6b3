"""The YAML file of a camera that camera_info_manager reads and writes (camera_calibration_parsers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_atomically
from ..camera import PinholeCamera
from ..config import read_yaml
from ..errors import CalibrationError, ConfigError
from ..plausibility import plausible
from ..printing import encoded


def write_camera(path: Path, camera: PinholeCamera, name: str) -> None:
    """Writes the camera, atomically. Raises DataError if it cannot be written."""
    write_atomically(path, [encoded(camera_text(camera, name))])


def camera_text(camera: PinholeCamera, name: str) -> str:
    """The text of the file; `name` is what camera_info_manager compares with the driver's camera_name."""
    import yaml

    rotation = np.eye(3) if camera.R is None else camera.R
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.rectified.K
    head = {"image_width": camera.width, "image_height": camera.height, "camera_name": name}
    tail = {
        "camera_matrix": _matrix(camera.K),
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": _matrix(np.array([camera.D or (0.0,) * 5])),
        "rectification_matrix": _matrix(rotation),
        "projection_matrix": _matrix(projection),
    }
    return yaml.safe_dump({**head, **tail}, sort_keys=False, default_flow_style=None, allow_unicode=True)


def _matrix(values: Any) -> dict[str, Any]:
    rows, columns = values.shape
    return {"rows": rows, "cols": columns, "data": [float(value) for value in values.ravel()]}


def read_camera(path: Path) -> PinholeCamera:
    """The camera of a file. Raises CalibrationError where it is none, or cannot belong to its image."""
    what = "a camera's YAML as camera_info_manager writes it"
    try:
        tree = read_yaml(path, "camera")
        camera = PinholeCamera(
            int(tree["image_width"]),
            int(tree["image_height"]),
            _array(tree, "camera_matrix", (3, 3)),
            tuple(float(value) for value in tree["distortion_coefficients"]["data"]),
            str(tree.get("distortion_model", "plumb_bob")),
            _array(tree, "rectification_matrix", (3, 3)) if "rectification_matrix" in tree else None,
            _array(tree, "projection_matrix", (3, 4)) if "projection_matrix" in tree else None,
        )
    except ConfigError as error:
        raise CalibrationError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:100]
        raise CalibrationError(f"{path}: expected {what}, got other contents ({reason})") from error
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error
    return plausible(camera, str(path))


def _array(tree: Any, name: str, shape: tuple[int, int]) -> Any:
    return np.array(tree[name]["data"], np.float64).reshape(shape)
