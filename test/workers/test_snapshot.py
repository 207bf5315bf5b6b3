"""The snapshot worker: right results, and nothing left behind however it ends. Every wait has a deadline."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from processes import DEADLINE_S

from mono_depth_recon.arrays import Points
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.config import FusionConfig, MeshConfig
from mono_depth_recon.errors import DataError, MonoDepthError
from mono_depth_recon.mesh.surface import make_mesh
from mono_depth_recon.workers.map import MapWorker, ResetJob
from mono_depth_recon.workers.snapshot import CloudJob, MeshJob, SnapshotResult, SnapshotWorker, snapshot_folder


@pytest.fixture(scope="module")
def points() -> Points:
    """A wavy wall, 320x240: fine enough that Poisson depth 10 runs for many seconds."""
    camera = PinholeCamera.from_hfov(320, 240, 60.0)
    v, u = np.mgrid[:240, :320]
    depth = (2 + 0.1 * np.sin(u / 9) * np.cos(v / 7)).astype(np.float32)
    return back_project(depth, camera, np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8))


@pytest.fixture
def worker() -> Iterator[SnapshotWorker]:
    with SnapshotWorker() as running:
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[SnapshotWorker]:
    """A worker for all tests that leave it as it is."""
    with SnapshotWorker() as running:
        yield running


SLOW = MeshConfig(poisson_depth=10, voxel_size=0.0)


def test_the_worker_makes_what_this_process_makes(lasting: SnapshotWorker, points: Points, tmp_path: Path) -> None:
    import open3d as o3d

    settings = MeshConfig(voxel_size=0.03, poisson_depth=7, marker_triangles=500)
    result = lasting.submit(MeshJob(settings, tmp_path / "mesh.ply"), points).result(DEADLINE_S)
    here = make_mesh(points, settings)
    back = o3d.io.read_triangle_mesh(str(result.path))
    assert (result.vertices, result.triangles) == (len(here.vertices), len(here.triangles))
    np.testing.assert_array_equal(np.asarray(back.vertices, np.float32), here.vertices)
    np.testing.assert_array_equal(np.rint(np.asarray(back.vertex_colors) * 255), here.colors)
    assert 0 < result.seconds < DEADLINE_S
    assert result.preview is not None and 100 < len(result.preview.triangles) <= 500


def test_jobs_run_in_order_and_never_overwrite(lasting: SnapshotWorker, points: Points, tmp_path: Path) -> None:
    settings = MeshConfig(method="grid", marker_triangles=1000)
    mesh_job = MeshJob(settings, tmp_path / "a.glb")
    jobs: list[MeshJob | CloudJob] = [mesh_job, mesh_job, CloudJob(settings, tmp_path / "a.ply")]
    results = [future.result(DEADLINE_S) for future in [lasting.submit(job, points) for job in jobs]]
    assert [result.path.name for result in results] == ["a.glb", "a_2.glb", "a.ply"]
    assert results[0].triangles == 2 * 239 * 319
    preview = results[0].preview
    assert preview is not None and 500 < len(preview.triangles) <= 1000
    assert results[2].triangles == 0 and results[2].preview is None and results[2].vertices > 1000


def test_no_marker_no_preview(points: Points, tmp_path: Path) -> None:
    job = MeshJob(MeshConfig(method="grid", marker_triangles=0), tmp_path / "a.ply")
    assert job.run(points).preview is None


def test_points_are_taken_at_the_call(worker: SnapshotWorker, points: Points, tmp_path: Path) -> None:
    """The caller may reuse its buffer while the worker is still starting."""
    buffer = points.copy()
    future = worker.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), buffer)
    buffer[:] = np.nan
    assert future.result(DEADLINE_S).vertices > 1000


def test_an_expected_error_comes_back_as_it_is_and_the_worker_lives_on(
    lasting: SnapshotWorker, points: Points, tmp_path: Path
) -> None:
    pid = lasting.start().result(DEADLINE_S)
    nothing = np.full_like(points, np.nan)
    with pytest.raises(DataError, match="valid depth"):
        lasting.submit(MeshJob(MeshConfig(), tmp_path / "a.ply"), nothing).result(DEADLINE_S)
    with pytest.raises(DataError, match="No such file or directory"):
        lasting.submit(CloudJob(MeshConfig(), tmp_path / "gone" / "a.ply"), points).result(DEADLINE_S)
    assert lasting.start().result(DEADLINE_S) == pid and not list(tmp_path.iterdir())


def test_a_killed_worker_fails_its_job_and_the_next_one_gets_a_new_worker(
    worker: SnapshotWorker, points: Points, tmp_path: Path
) -> None:
    pid = _start_slow_job(worker, points, tmp_path)
    (tmp_path / f".slow.ply.{pid}.part").write_text("half a file")
    os.kill(pid, signal.SIGKILL)
    future = worker.submit(CloudJob(MeshConfig(), tmp_path / "cloud.ply"), points)
    assert future.result(DEADLINE_S).vertices > 1000
    assert worker.start().result(DEADLINE_S) != pid
    assert [file.name for file in tmp_path.iterdir()] == ["cloud.ply"]
    with pytest.raises(MonoDepthError, match=r"slow\.ply was not made: .*SIGKILL.*mesh\.voxel_size"):
        _slow_futures[pid].result(DEADLINE_S)


def test_a_worker_killed_between_jobs_is_replaced_unnoticed(
    worker: SnapshotWorker, points: Points, tmp_path: Path
) -> None:
    pid = worker.start().result(DEADLINE_S)
    os.kill(pid, signal.SIGKILL)
    _wait_until(lambda: _state(pid) is None)  # it does not stay as a zombie either
    assert worker.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), points).result(DEADLINE_S).vertices > 1000


def test_a_worker_that_stands_still_is_ended_and_replaced(
    worker: SnapshotWorker, points: Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = worker.start().result(DEADLINE_S)
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr("mono_depth_recon.workers.process._LOOK_S", 0.01)
        job = worker.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), points)
        with pytest.raises(MonoDepthError, match=r"a.ply was not made: the snapshot worker stood still for 0 s"):
            job.result(DEADLINE_S)
    assert _state(pid) is None and worker.deaths == 1
    assert worker.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), points).result(DEADLINE_S).vertices > 1000


def test_close_ends_a_running_job_at_once_and_fails_the_queue(points: Points, tmp_path: Path) -> None:
    worker = SnapshotWorker()
    pid = _start_slow_job(worker, points, tmp_path)
    queued = worker.submit(CloudJob(MeshConfig(), tmp_path / "cloud.ply"), points)
    worker.close()  # without waiting for the job: its file would be there
    assert _state(pid) is None and not list(tmp_path.iterdir())
    for future in (_slow_futures[pid], queued):
        with pytest.raises(MonoDepthError, match="stopping"):
            future.result(0)
    worker.close()  # twice does no harm
    with pytest.raises(MonoDepthError, match="stopping"):
        worker.submit(CloudJob(MeshConfig(), tmp_path / "cloud.ply"), points)


def test_interrupts_are_the_parents_business(lasting: SnapshotWorker, points: Points, tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the worker too."""
    pid = lasting.start().result(DEADLINE_S)
    os.kill(pid, signal.SIGINT)
    assert lasting.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), points).result(DEADLINE_S).vertices > 1000
    os.kill(pid, signal.SIGINT)
    assert lasting.start().result(DEADLINE_S) == pid


def test_the_worker_is_polite_and_light(points: Points, tmp_path: Path) -> None:
    with SnapshotWorker(threads=1, niceness=7) as worker:
        worker.submit(CloudJob(MeshConfig(), tmp_path / "a.ply"), points).result(DEADLINE_S)
        pid = worker.start().result(DEADLINE_S)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 7 + os.getpriority(os.PRIO_PROCESS, 0)
        assert b"OMP_NUM_THREADS=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        mapped = Path(f"/proc/{pid}/maps").read_text()
    assert not [name for name in ("rclpy", "libtorch", "openvino") if name in mapped]


def test_the_map_runs_on_idle_cores_only() -> None:
    with MapWorker() as worker:
        pid = worker.start().result(DEADLINE_S)
        worker.submit(ResetJob(FusionConfig())).result(DEADLINE_S)
        threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, mono_depth_recon.workers.snapshot; "
        "print(*{'rclpy', 'torch', 'openvino', 'open3d', 'cv2', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, env=_environment(), check=True
    )
    assert done.stdout.strip() == ""


PARENT = """
import signal, sys, threading
from pathlib import Path
import numpy as np
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.workers.snapshot import MeshJob, SnapshotWorker

worker = SnapshotWorker()
points = np.load(sys.argv[1])
print(worker.start().result(), flush=True)
worker.submit(MeshJob(MeshConfig(poisson_depth=10, voxel_size=0.0), Path(sys.argv[2]) / 'slow.ply'), points)
try:
    threading.Event().wait()
except KeyboardInterrupt:
    pass
finally:
    worker.close()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(end: signal.Signals, points: Points, tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", points)
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = [sys.executable, "-c", PARENT, str(tmp_path / "points.npy"), str(folder)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as parent:
        pid = _first_number(parent)
        _wait_until(lambda: _cpu_seconds(pid) > 1.5)  # in the middle of the Poisson solver, which holds Python's lock
        parent.send_signal(end)
        assert parent.wait(DEADLINE_S) == (0 if end == signal.SIGINT else -end)
        _wait_until(lambda: _state(pid) in (None, "Z"))  # init may be slow to collect an orphan
        assert parent.stderr is not None and parent.stderr.read() == ""
    assert not list(folder.iterdir())


def test_the_folder_is_the_directory_or_the_ros_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    assert snapshot_folder(MeshConfig()) == tmp_path / "ros" / "mono_depth_recon"
    monkeypatch.delenv("ROS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert snapshot_folder(MeshConfig()) == tmp_path / ".ros" / "mono_depth_recon"
    assert snapshot_folder(dataclasses.replace(MeshConfig(), directory="~/meshes")) == tmp_path / "meshes"
    assert (tmp_path / "meshes").is_dir()


_slow_futures: dict[int, Future[SnapshotResult]] = {}


def _start_slow_job(worker: SnapshotWorker, points: Points, folder: Path) -> int:
    """Starts a mesh that takes many seconds and returns the worker's process id once it is well under way."""
    pid = worker.start().result(DEADLINE_S)
    _slow_futures[pid] = worker.submit(MeshJob(SLOW, folder / "slow.ply"), points)
    _wait_until(lambda: _cpu_seconds(pid) > 1.5)
    assert not _slow_futures[pid].done()
    return pid


def _wait_until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        pause.wait(0.01)


def _state(pid: int) -> str | None:
    """The process's state letter (Z: dead, not yet collected), None where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _first_number(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
    assert ready, "the parent said nothing"
    return int(process.stdout.readline())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
