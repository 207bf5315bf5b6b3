"""Fixtures for all tests: real data, ROS domains of their own, and processes that are gone when a test ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from floor import floor_model
from markers import markers_of
from processes import LOCALHOST, Installation, Processes, copy_sources, reserved_domain, run_checked

__all__ = ["floor_model"]

# A shell's background job ignores Ctrl-C and its children inherit that; the processes that tests interrupt must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each test the markers that follow from its location, before -m selects by them."""
    for item in items:
        for marker in markers_of(item):
            item.add_marker(marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows, with a failure, what the processes of the test wrote."""
    report = yield
    started = getattr(item, "funcargs", {}).get("processes")
    if report.failed and started is not None:
        report.sections += started.outputs()
    return report


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Conversions and measurements of runtimes go into a cache of this run: none of the user's is read or left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks as small as those of the tests only wait for each other's threads."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a row's small checkpoint, by the row's name; written once."""
    from shrunken import write_shrunken

    root = tmp_path_factory.mktemp("checkpoints")

    def find(name: str) -> Path:
        folder = root / name
        return folder if folder.is_dir() else write_shrunken(name, folder)

    return find


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real frames that MONO_DEPTH_RECON_DATA names; without it the test skips."""
    value = os.environ.get("MONO_DEPTH_RECON_DATA", "")
    if not value:
        pytest.skip("MONO_DEPTH_RECON_DATA names no folder of real frames")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"MONO_DEPTH_RECON_DATA must name a folder, got {value}")
    return folder


@pytest.fixture
def tum_folder(data_folder: Path) -> Callable[[str], Path]:
    """`tum_folder("freiburg1_rpy_part")` is that TUM folder of the real data; the test skips where it is missing."""

    def find(name: str) -> Path:
        found = next((path.parent for path in sorted(data_folder.glob(f"**/{name}/rgb.txt"))), None)
        if found is None:
            pytest.skip(f"no TUM folder {name} below {data_folder}")
        return found

    return find


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain of this test's own, set here and, by inheritance, in the processes that the test starts."""
    with reserved_domain() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        for name, value in LOCALHOST.items():
            monkeypatch.setenv(name, value)
        yield number


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes, killed when the test ends, however it ends."""
    started = Processes(tmp_path)
    try:
        yield started
    finally:
        started.kill_all()


@pytest.fixture(scope="session")
def pip_installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The package as `pip install .` installs it."""
    folder = tmp_path_factory.mktemp("pip")
    sources = copy_sources(folder / "mono_depth_recon")
    run_checked(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--ignore-installed",  # else pip removes the one that is tested here
            "--prefix",
            str(folder / "prefix"),
            str(sources),
        ],
        folder,
    )
    return Installation(folder / "prefix")
