"""What NVIDIA's driver and TensorRT's library say of this machine, without importing torch: it takes milliseconds."""

from __future__ import annotations

import ctypes

_TENSORRT_MAJORS = range(12, 7, -1)  # of libnvinfer.so, newest first


def driver_sees_gpu() -> bool:
    """Whether NVIDIA's driver finds a GPU."""
    driver = _driver()
    count = ctypes.c_int(0)
    return bool(driver and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0)


def gpu_name() -> str:
    """The first GPU's name, for caches that machines share; 'none' where there is none."""
    driver, device, name = _driver(), ctypes.c_int(0), ctypes.create_string_buffer(256)
    if not driver or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, 256, device):
        return "none"
    return name.value.decode("utf-8", "replace")


def tensorrt_version() -> str:
    """The number of the library libnvinfer that the loader finds, 'unknown' where it finds none.

    A wheel keeps it in a folder of its own: its version is that of the package.
    """
    for major in _TENSORRT_MAJORS:
        try:
            return str(ctypes.CDLL(f"libnvinfer.so.{major}").getInferLibVersion())
        except (OSError, AttributeError):  # no such library, or another one of this name
            continue
    return "unknown"


def _driver() -> ctypes.CDLL | None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver
        return None
    return driver if driver.cuInit(0) == 0 else None
