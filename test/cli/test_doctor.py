"""`mono-depth-recon doctor`: one page, a failure of any kind in its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono_depth_recon.cli import doctor, main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    entry = tmp_path / "cache/mono_depth_recon/runtimes/net-0123"
    entry.mkdir(parents=True)
    (entry / "model.bin").write_bytes(bytes(3_000_000))
    return tmp_path


@pytest.mark.parametrize("failing", ["", "cloud"])
def test_the_page_names_versions_cache_models_and_tests(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    monkeypatch.setattr(doctor, "_tested", lambda code: (f"'{failing}'" not in code, "as told"))
    assert main(["doctor"]) == (1 if failing else 0)
    page = capsys.readouterr().out
    names = ("version        mono_depth_recon ", "libraries      Python 3.", "machine        ", "GPU driver     ")
    assert [line[:15] for line in page.splitlines()[:4]] == [name[:15] for name in names]
    assert "ROS_DISTRO=kilted" in page or "rclpy is not found" in page
    assert "their cache    ~/cache/mono_depth_recon/runtimes: 1 entries, 3 MB" in page and str(home) not in page
    assert "in the package: unetpp_lite, unetpp_mobile" in page and "cached: none" in page


def test_each_test_has_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_tested", lambda code: ("'map'" not in code, "as told"))
    assert main(["doctor"]) == 1
    tests = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("test")]
    assert [words[1] for words in tests][:4] == ["images", "cloud", "map", "model"]
    assert [words[2] for words in tests][:4] == ["ok,", "ok,", "FAILED,", "ok,"]


@pytest.mark.parametrize(
    ("code", "passed", "text"),
    [
        ("print('fine')", True, "fine"),
        ("raise ValueError('no such thing')", False, "the fresh process ended with 1: ValueError: no such thing"),
        ("import os; os.kill(os.getpid(), 11)", False, "the fresh process ended with -11: it printed nothing"),
    ],
)
def test_what_breaks_is_a_line(code: str, passed: bool, text: str) -> None:
    assert doctor._tested(code) == (passed, text)


@pytest.mark.parametrize("name", ["images", "cloud"])
def test_parts_pass_their_tests(name: str) -> None:
    assert doctor.CHECKS[name]()
