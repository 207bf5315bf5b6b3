"""The demo as a user starts it: its files, its output, and that no process stays behind."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from processes import DEADLINE_S, Process, Processes

from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import Cloud
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.errors import MonoDepthError
from mono_depth_recon.ros.tools import demo_processes
from mono_depth_recon.ros.tools.demo import CAMERAS_PAGE, FILES, main, tum_source
from mono_depth_recon.ros.tools.demo_processes import Children, own_domain

# At its own 15 frames a second, with which a busy machine does not keep up, and no limit but that of the tests.
PATIENT = f"""
import dataclasses, sys
from mono_depth_recon.ros.tools import demo
demo._START_S = demo._SNAPSHOTS_S = demo._SERVICE_S = {DEADLINE_S}
rooms, more = demo.rooms_source(), sys.argv.pop(1).split()
demo.rooms_source = lambda: dataclasses.replace(rooms, arguments=[*rooms.arguments, *more])
sys.exit(demo.main())
"""
DEMO = ("-c", PATIENT, "")
SMALL = ("-c", PATIENT, "--length 4 --width 320 --height 240")  # frames of the room, which take long to render
MARK = "MONO_DEPTH_RECON_DEMO_TEST"


Marked = Callable[[], dict[int, str]]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Marked]:
    """Marks the environment of what the test starts; the function gives what still runs with it: pid, command line."""
    mark = f"{MARK}={uuid.uuid4()}"
    monkeypatch.setenv(MARK, mark.partition("=")[2])

    def running() -> dict[int, str]:
        return {pid: line for pid, line in _processes_with(mark) if pid != os.getpid()}

    yield running
    for pid in running():
        os.kill(pid, signal.SIGKILL)


def _processes_with(mark: str) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it is gone, or another user's
            continue


def check_output(folder: Path, process: Process, shape: tuple[int, int] = (480, 640)) -> None:
    """Files, their sizes and what they say about one frame."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    rgb, depth = (cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for name in ("rgb.png", "depth.png"))
    assert rgb.shape == (*shape, 3) and depth.shape == shape and depth.dtype == np.uint16
    assert (depth > 0).mean() > 0.5
    assert _elements(folder / "cloud.ply")["vertex"] == (depth > 0).sum()
    mesh = _elements(folder / "mesh.ply")
    assert mesh["vertex"] > 1000 and mesh["face"] > 1000
    for name in FILES:
        if name.endswith(".png"):
            picture = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
            assert picture.std() > 5, f"{name} shows nothing"
    assert min(cv2.imread(str(folder / "overview.png")).shape[:2]) > 1000
    results = json.loads((folder / "recording.json").read_text())
    assert results["frame"]["stamp"] == results["mesh"]["stamp"]
    check_cleaned(folder)
    assert results["steady"]["frames_in"] > 0 and results["steady"]["frames_out"] > 0
    for text in ("overview.png", "From colour image to cloud: p50", "While the mesh was made", "came out"):
        assert text in process.output
    assert "Traceback" not in process.output


def check_cleaned(folder: Path) -> None:
    """The cleaned cloud is what cleaning makes of the cloud."""
    import open3d as o3d

    cloud, cleaned = (o3d.io.read_point_cloud(str(folder / f"{name}.ply")) for name in ("cloud", "cloud_cleaned"))
    colors = np.rint(np.asarray(cloud.colors) * 255).astype(np.uint8)
    expected = clean_cloud(Cloud(np.asarray(cloud.points, np.float32), colors), MeshConfig())
    np.testing.assert_array_equal(np.asarray(cleaned.points, np.float32), expected.points)


def _elements(ply: Path) -> dict[str, int]:
    header = ply.read_bytes()[:1000].split(b"end_header")[0].decode()
    return {words[1]: int(words[2]) for line in header.splitlines() if (words := line.split())[0] == "element"}


def test_the_demo_of_the_synthetic_camera(processes: Processes, tmp_path: Path, marked: Marked) -> None:
    """The slowest test: a room is rendered, frames flow, a mesh is made, all is drawn."""
    output = tmp_path / "demo"
    process = processes.python(*SMALL, "--output", output, "--seconds", "2")
    assert process.wait() == 0, process.output
    check_output(output, process, (240, 320))
    assert not marked()


@pytest.mark.soak
def test_the_demo_of_two_cameras_in_one_room(processes: Processes, tmp_path: Path, marked: Marked) -> None:
    process = processes.python(*SMALL, "--cameras", "front,left", "--seconds", "2", cwd=tmp_path)
    assert process.wait(4 * DEADLINE_S) == 0 and not marked()
    output = tmp_path / "demo_output"
    assert sorted(path.name for path in output.iterdir()) == [CAMERAS_PAGE, "front", "left"]
    for name in ("front", "left"):
        assert sorted(path.name for path in (output / name).iterdir()) == sorted(FILES)
        results = json.loads((output / name / "recording.json").read_text())
        assert f"{name}: {results['steady']['frames_out']} of {results['steady']['frames_in']} frames" in process.output
    pages = [cv2.imread(str(output / name / "overview.png")) for name in ("front", "left")]
    assert np.array_equal(cv2.imread(str(output / CAMERAS_PAGE)), np.concatenate(pages))
    assert not np.array_equal(*(cv2.imread(str(output / name / "rgb.png")) for name in ("front", "left")))


def test_the_demo_on_real_frames_shows_test_frames_only(
    processes: Processes, tmp_path: Path, marked: Marked, tum_folder: Callable[[str], Path]
) -> None:
    folder, output = tum_folder("rgbd_dataset_freiburg1_rpy_part"), tmp_path / "demo"
    source = tum_source(folder, "")
    assert source.arguments[1:6] == ["--loop", "--first", "121", "--last", "140"]
    assert "CC BY 4.0" in source.attribution and "unseen frames" in source.attribution
    process = processes.python(*DEMO, "--output", output, "--seconds", "2", "--data", folder)
    assert process.wait() == 0, process.output
    check_output(output, process)
    assert "20 frames of rgbd_dataset_freiburg1_rpy_part" in process.output
    assert not marked()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_no_process_and_no_file(
    processes: Processes, tmp_path: Path, marked: Marked, sent: signal.Signals, status: int
) -> None:
    output = tmp_path / "demo"
    process = processes.python(*DEMO, "--output", output, env={"TMPDIR": str(tmp_path)})
    process.wait_for("node: ready")  # the camera still renders
    assert len(marked()) >= 3
    assert process.stop(sent) == status
    assert not marked()
    assert not list(output.iterdir()) and not list(tmp_path.glob("mono_depth_recon_held_*"))
    assert process.output.splitlines()[-1] == "demo: stopped"


def test_a_child_that_dies_ends_the_demo_with_its_last_words(
    processes: Processes, tmp_path: Path, marked: Marked
) -> None:
    process = processes.python(*DEMO, "--output", tmp_path / "demo")
    process.wait_for("node: ready")
    os.kill(next(pid for pid, line in marked().items() if "recon_node" in line), signal.SIGKILL)
    assert process.wait() == 1
    assert "demo: node was ended by SIGKILL; its last lines:" in process.output
    assert not marked()


def test_even_a_killed_demo_leaves_no_process(processes: Processes, tmp_path: Path, marked: Marked) -> None:
    process = processes.python(*DEMO, "--output", tmp_path / "demo", env={"TMPDIR": str(tmp_path)})
    process.wait_for("node: ready")
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    end = time.monotonic() + DEADLINE_S
    while marked() and time.monotonic() < end:
        time.sleep(0.05)
    assert not marked()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "demo: nowhere does not exist: expected a TUM folder"),
        (["--data", "nowhere", "--cameras", "front"], "demo: --cameras is for the synthetic room, a folder has one"),
        (["--cameras", "front,front"], "demo: cameras must name each camera once, got 'front' 2 times"),
        (["--output", "/proc/demo"], "demo: cannot make the folder /proc/demo"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_1(
    processes: Processes, tmp_path: Path, arguments: list[str], message: str
) -> None:
    process = processes.python(*DEMO, *arguments, cwd=tmp_path)
    assert process.wait() == 1
    assert process.output.startswith(message) and process.output.count("\n") == 1


def test_an_endless_measurement_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seconds", "inf"])
    assert "argument --seconds: value must be 0.1 to 86400, got inf" in capsys.readouterr().err


def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deaf.py").write_text(
        "import signal, sys, time\n"
        "for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, signal.SIG_IGN)\n"
        "print('[INFO] [1.5] [deaf]: ready: I hear nothing', flush=True)\n"
        "time.sleep(100)\n"
    )
    monkeypatch.setattr(demo_processes, "_DEADLINES_S", ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2)))
    said: list[tuple[str, str]] = []
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with Children(tmp_path, env, lambda who, line: said.append((who, line))) as children:
        child = children.start("child", "deaf", [])
        children.watch(lambda: child.is_ready, "it to be ready", DEADLINE_S)
        assert len(marked()) == 1
    assert not marked() and child.exit_status == -signal.SIGKILL
    assert said == [("child", "ready: I hear nothing")]


def test_watching_ends_at_its_deadline(tmp_path: Path, marked: Marked) -> None:
    (tmp_path / "silent.py").write_text("import time\ntime.sleep(100)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with Children(tmp_path, env, lambda who, line: None) as children:
        child = children.start("child", "silent", [])
        with pytest.raises(MonoDepthError, match="expected it to be ready within 0.3 s"):
            children.watch(lambda: child.is_ready, "it to be ready", 0.3)
    assert not marked()


def test_two_demos_have_two_domains() -> None:
    with own_domain() as first, own_domain() as second:
        assert first["ROS_DOMAIN_ID"] != second["ROS_DOMAIN_ID"]
        assert first["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_a_recording_is_played_at_15_frames_a_second_at_most(tmp_path: Path) -> None:
    """30 Hz at half speed; keyframes of 1 Hz with their pauses shortened."""
    assert _play_flags(tmp_path / "fast", 1 / 30) == {"--rate": 0.5, "--max-gap": pytest.approx(0.5 / 15, abs=1e-4)}
    assert _play_flags(tmp_path / "slow", 1.0) == {"--rate": 1.0, "--max-gap": pytest.approx(1 / 15, abs=1e-4)}


def _play_flags(folder: Path, gap: float) -> dict[str, float]:
    folder.mkdir()
    picture = np.zeros((48, 64), np.uint16)
    cv2.imwrite(str(folder / "depth.png"), picture)
    cv2.imwrite(str(folder / "rgb.png"), picture.astype(np.uint8))
    for name in ("rgb", "depth"):
        (folder / f"{name}.txt").write_text("".join(f"{10 + gap * i:.6f} {name}.png\n" for i in range(5)))
    source = tum_source(folder, "50 50 31.5 23.5")
    assert "TUM" not in source.attribution  # somebody's own frames
    words = source.arguments
    return {flag: float(words[words.index(flag) + 1]) for flag in ("--rate", "--max-gap")}
