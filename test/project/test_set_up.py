"""The steps of the set-up and their order, with stubs of python, pip, apt-get and make: nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import DEADLINE_S, ROOT

# A stub of python3 and, copied into .venv, of the environment's python, which records its calls. Questions about the
# interpreter itself go to the real one; the test decides which libraries are present.
PYTHON = """#!/bin/bash
case "$*" in
  "-m venv"*) mkdir -p "${!#}/bin"; cp "$0" "${!#}/bin/python"; echo "$*" >>"$LOG" ;;
  "-m pip"*) echo "$*" >>"$LOG"; exit "${PIP_STATUS:-0}" ;;
  *"import rclpy"*) exit "${RCLPY_STATUS:-1}" ;;
  *"import sys, torch"*) exit 1 ;;
  *"sys.version_info < (3, 11)"*) exit "${OLD_STATUS:-0}" ;;
  *"import numpy"*) exit "${NUMPY_2_STATUS:-1}" ;;
  "-") echo "${MISSING:-}" ;;
  *) exec "$REAL" "$@" ;;
esac
"""
RECORD = """#!/bin/bash
echo "$(basename "$0") $*" >>"$LOG"
"""


@dataclass
class Machine:
    """A copy of the files that the set-up reads, with the stubs first on PATH."""

    root: Path
    stubs: Path
    log: Path

    def set_up(self, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the set-up as `make` does."""
        return self.run([str(self.root / "tools" / "setup_env.sh"), target], **environment)

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the tree with the stubs."""
        others = ("ROS_", "MONO_", "MAKE", "MFLAGS")  # the tests may run under make themselves
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        clean |= {
            "PATH": f"{self.stubs}:/usr/bin:/bin",
            "LOG": str(self.log),
            "REAL": sys.executable,
            "PYTHON": "python3",
        }
        return subprocess.run(
            command,
            cwd=self.root,
            env=clean | environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def add_stub(self, name: str, text: str = RECORD) -> None:
        """Adds a stub program that precedes the real ones."""
        path = self.stubs / name
        path.write_text(text)
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """The calls recorded since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def installed(self) -> list[str]:
        """The packages of each pip call since the last time."""
        return [line.partition("constraints.txt ")[2] for line in self.calls() if line.startswith("-m pip install")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with Python, where nothing is set up."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "setup.py", "Makefile"):
        shutil.copy2(ROOT / name, root)
    shutil.copytree(ROOT / ".ci", root / ".ci")
    machine = Machine(root, tmp_path / "stubs", tmp_path / "log")
    machine.stubs.mkdir()
    machine.add_stub("python3", PYTHON)
    for name in ("apt-get", "apt-cache", "chromium", "chromedriver"):
        machine.add_stub(name)
    return machine


def test_the_demo_takes_no_torch_and_is_installed_once(machine: Machine) -> None:
    first = machine.set_up("demo")
    assert first.returncode == 0, first.stderr
    assert "ready for 'make demo'" in first.stdout
    assert machine.installed() == ["setuptools", "-e .", "-e .[ros]", "-e .[open3d]"]
    second = machine.set_up("demo")
    assert (second.returncode, second.stdout, machine.calls()) == (0, "", [])


def test_the_tests_add_torch_first_and_by_itself(machine: Machine) -> None:
    machine.set_up("demo")
    machine.calls()
    assert machine.set_up("test").returncode == 0
    assert machine.installed() == ["torch", "-e .[torch,export,datasets,explain,train,docs,test]"]
    assert machine.set_up("demo").stdout == "", "the environment of the tests serves the demo"


def test_a_change_of_what_is_installed_installs_again(machine: Machine) -> None:
    machine.set_up("demo")
    for name in ("constraints.txt", "setup.py", "tools/setup_env.sh"):
        machine.calls()
        with (machine.root / name).open("a") as file:
            file.write("# changed\n")
        assert machine.set_up("demo").returncode == 0
        assert machine.installed()[0] == "setuptools", name


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    assert machine.set_up("demo", PIP_STATUS="1").returncode != 0
    assert machine.installed() == ["setuptools"], "nothing goes on after a failure"
    assert machine.set_up("demo").returncode == 0
    assert len(machine.installed()) == 4


def test_a_sourced_ros_2_is_used_as_it_is(machine: Machine) -> None:
    """No ROS wheels, its packages visible, and no numpy of another major version than it is compiled against."""
    result = machine.set_up("demo", ROS_DISTRO="jazzy", RCLPY_STATUS="0", NUMPY_2_STATUS="0")
    assert result.returncode == 0, result.stderr
    calls = machine.calls()
    assert calls[0] == "-m venv --system-site-packages .venv"
    assert not [line for line in calls if "[ros]" in line]
    pins = (machine.root / ".venv" / "constraints.txt").read_text().splitlines()
    assert "numpy>=1.26,<2" in pins
    assert not [pin for pin in pins if pin.startswith(("numpy==", "opencv"))]
    assert [pin for pin in pins if pin.startswith("openvino==")]


def test_an_environment_is_not_shared_between_wheels_and_a_sourced_ros_2(machine: Machine) -> None:
    machine.set_up("demo")
    result = machine.set_up("demo", ROS_DISTRO="jazzy", RCLPY_STATUS="0")
    assert result.returncode == 1
    assert ".venv was made for ROS 2 'wheels', now it is 'jazzy': remove .venv" in result.stderr


def test_an_old_python_is_named_in_one_line(machine: Machine) -> None:
    result = machine.set_up("demo", OLD_STATUS="1")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in result.stderr
    assert machine.calls() == []


def test_no_python_is_named_in_one_line(machine: Machine) -> None:
    result = machine.set_up("demo", PYTHON="python9")
    assert result.returncode == 1
    assert "there is no 'python9'" in result.stderr


def test_missing_system_packages_are_installed_as_root(machine: Machine) -> None:
    machine.add_stub("id", "#!/bin/bash\necho 0\n")
    assert machine.set_up("demo", MISSING="libusb-1.0-0").returncode == 0
    assert machine.calls()[:2] == ["apt-get update -qq", "apt-get install -y -qq --no-install-recommends libusb-1.0-0"]


def test_without_root_the_command_is_shown(machine: Machine) -> None:
    machine.add_stub("id", "#!/bin/bash\necho 1000\n")
    result = machine.set_up("demo", MISSING="libusb-1.0-0")
    assert result.returncode == 1
    assert "sudo apt-get install -y libusb-1.0-0" in result.stderr
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("user", "offered", "installed"), [("0", "0", True), ("0", "100", False), ("1000", "0", False)]
)
def test_the_tests_get_a_browser_where_one_can_be_installed(
    machine: Machine, user: str, offered: str, installed: bool
) -> None:
    """As root if apt offers one; otherwise the set-up continues and states which tests will skip."""
    without = machine.root.parent / "bin"  # all programs of this machine except its browser
    without.mkdir()
    for program in Path("/usr/bin").iterdir():
        if not program.name.startswith("chrom"):
            (without / program.name).symlink_to(program)
    for name in ("chromium", "chromedriver"):
        (machine.stubs / name).unlink()
    machine.add_stub("id", f"#!/bin/bash\necho {user}\n")
    machine.add_stub("apt-cache", f"#!/bin/bash\nexit {offered}\n")
    result = machine.set_up("test", PATH=f"{machine.stubs}:{without}")
    assert result.returncode == 0, result.stderr
    asked = [line for line in machine.calls() if "chromium-driver" in line]
    assert asked == (["apt-get install -y -qq --no-install-recommends chromium chromium-driver"] if installed else [])
    assert ("the tests of the report in a browser will skip" in result.stdout) is not installed


def test_another_processor_without_ros_2_is_an_error(machine: Machine) -> None:
    machine.add_stub("uname", "#!/bin/bash\necho aarch64\n")
    result = machine.set_up("demo")
    assert result.returncode == 1
    assert "source a ROS 2 installation first" in result.stderr


# make and CI


def planned(machine: Machine, *arguments: str) -> str:
    """The commands make would run."""
    return machine.run(["make", "--dry-run", *arguments]).stdout


def test_make_demo_sets_up_and_runs_the_demo(machine: Machine) -> None:
    assert planned(machine, "demo").splitlines() == [
        "tools/setup_env.sh demo",
        '.venv/bin/python -m mono_depth_recon.ros.tools.demo --output "demo_output" ',
    ]
    assert planned(machine, "demo", "DATA=/data/my desk").endswith('--data "/data/my desk"\n')


def test_make_test_runs_everything_and_make_check_the_fast_tests(machine: Machine) -> None:
    linters = [
        "tools/setup_env.sh test",
        ".venv/bin/ruff check",
        ".venv/bin/ruff format --check",
        ".venv/bin/mypy",
        ".venv/bin/shellcheck tools/*.sh .ci/run",
    ]
    tests = ".venv/bin/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0 "
    lines = planned(machine, "test").splitlines()
    assert lines[:5] == linters and lines[-2:] == [
        "NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict",
        tests,
    ]
    assert all(".venv/bin/check-jsonschema " in line for line in lines[5:-2])
    lines = planned(machine, "check").splitlines()
    assert lines[:5] == linters
    assert lines[-1].startswith(f'{tests}-m "not (ros or torch or browser or slow or soak)" ')


def test_make_alone_lists_every_target(machine: Machine) -> None:
    shown = machine.run(["make"]).stdout
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    targets = [name for name in phony.split()[1:] if name != "help" and not name.startswith("setup-")]
    assert not [name for name in targets if name not in shown]


@pytest.mark.parametrize("has_data", [True, False])
def test_ci_runs_make_test_with_the_data_folder_where_there_is_one(machine: Machine, has_data: bool) -> None:
    machine.add_stub("make", '#!/bin/bash\necho "make $* ${MONO_DEPTH_RECON_DATA:-without data}" >>"$LOG"\n')
    beside_the_tree = (ROOT / ".ci" / "run").read_text().partition("data=$(cd .. && pwd)/")[2].split()[0]
    data = machine.root.parent / beside_the_tree
    if has_data:
        data.mkdir(parents=True)
    assert machine.run([str(machine.root / ".ci" / "run")]).returncode == 0
    assert machine.calls() == [f"make test {data if has_data else 'without data'}"]
