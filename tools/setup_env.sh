#!/usr/bin/env bash
# Makes and fills .venv with pinned versions: `setup_env.sh demo` what the demo needs, `setup_env.sh test` everything.
# Does nothing where that stands already. PYTHON=python3.12 picks another interpreter for a new .venv. For tools/matrix.sh:
# VENV names another folder, ROS_WHEELS=jazzy takes the wheels of that distribution, NUMPY=1 the last numpy 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:?usage: tools/setup_env.sh demo|test}
venv=${VENV:-.venv}
python=${PYTHON:-python3}
[ ! -x "$venv/bin/python" ] || python=$venv/bin/python

say() { printf '[set-up] %s\n' "$*"; }
fail() { printf '[set-up] %s\n' "$*" >&2; exit 1; }

step() {  # step "what" command ...: one line before, the seconds after
  local what=$1 begin=$SECONDS
  shift
  say "$what ..."
  "$@"
  say "$what: $((SECONDS - begin)) s"
}

check_python() {
  command -v "$python" >/dev/null || fail "Python 3.11 or newer is needed, but there is no '$python': sudo apt install python3"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed for the pinned" \
    "set-up, $python is $("$python" -V): name a newer one (make $target PYTHON=python3.12), or use ROS 2's own Python with colcon (README)"
}

# A sourced ROS 2 is used as it is: the environment sees its packages and gets no ROS wheels.
ros_is_sourced() { [ -n "${ROS_DISTRO:-}" ] && "$python" -c 'import rclpy' 2>/dev/null; }

missing_system_packages() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null || "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
  "$python" - <<'EOF'
import ctypes
needed_by_open3d = {"libusb-1.0.so.0": "libusb-1.0-0", "libEGL.so.1": "libegl1", "libGL.so.1": "libgl1", "libX11.so.6": "libx11-6",
                    "libudev.so.1": "libudev1", "libidn2.so.0": "libidn2-0", "libgomp.so.1": "libgomp1"}
for library, package in needed_by_open3d.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
EOF
}

install_system_packages() {
  local packages
  packages=$(missing_system_packages | xargs)
  [ -n "$packages" ] || return 0
  command -v apt-get >/dev/null || fail "missing system packages, named as in Debian: $packages"
  [ "$(id -u)" = 0 ] || fail "missing system packages, please run: sudo apt-get install -y $packages"
  say "apt-get install $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086  # one word per package
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

# The tests look at the report of an evaluation in a browser. Where there is none to be had they skip that, and say so.
install_browser() {
  ! { command -v chromium && command -v chromedriver; } >/dev/null || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    if apt-cache show chromium-driver >/dev/null 2>&1; then
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
      return
    fi
  fi
  say "no chromium with chromedriver: the tests of the report in a browser will skip (Debian: sudo apt-get install" \
    "chromium chromium-driver)"
}

make_venv() {
  [ ! -x "$venv/bin/python" ] || return 0
  if [ "$ros" = wheels ]; then
    "$python" -m venv "$venv"
  else
    "$python" -m venv --system-site-packages "$venv"
  fi
}

# The messages and cv_bridge of an installed ROS 2 are compiled against its numpy: an older major version stays, and what
# is pinned to a release that needs numpy 2 takes an older one.
write_constraints() {
  if [ "${NUMPY:-}" = 1 ] || { [ "$ros" != wheels ] &&
    "$venv/bin/python" -c 'import numpy, sys; sys.exit(numpy.__version__ >= "2")' 2>/dev/null; }; then
    grep -vE '^(numpy|opencv-python-headless|ml-dtypes)==' constraints.txt
    echo 'numpy>=1.26,<2'
  else
    cat constraints.txt
  fi >"$venv/constraints.txt"
  [ "${ROS_WHEELS:-kilted}" = jazzy ] || return 0
  sed -i '/^ros-/d' "$venv/constraints.txt"
  printf 'ros-rclpy==7.1.6\n' >>"$venv/constraints.txt"
  printf 'ros-%s-msgs==5.3.6\n' sensor std geometry nav visualization diagnostic >>"$venv/constraints.txt"
}

pip_install() {
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --use-pep517 --no-build-isolation \
    -c "$venv/constraints.txt" "$@"
}

cure_torchvision() {  # only a CPU build of torch beside a CUDA build of torchvision needs it: see the file
  "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' || return 0
  "$venv/bin/python" -c 'import torchvision' 2>/dev/null && return 0
  local site
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp tools/torchvision_schemas.py "$site/_torchvision_schemas.py"
  echo 'import _torchvision_schemas' >"$site/torchvision_schemas.pth"
  "$venv/bin/python" -c 'import torchvision' || fail "torchvision does not load beside this torch: see above"
}

install_demo() {
  step "setuptools" pip_install setuptools
  step "numpy, OpenCV, OpenVINO" pip_install -e .
  [ "$ros" != wheels ] || step "ROS 2 from wheels" pip_install -e '.[ros]'
  step "Open3D" pip_install -e '.[open3d]'
}

install_test() {
  # torch first and by itself: what comes after must accept the build that is there, not bring another one.
  step "torch" pip_install torch
  step "models, training, documentation and test tools" pip_install -e '.[torch,export,datasets,explain,train,docs,test]'
  step "torchvision check" cure_torchvision
}

check_python
ros=wheels
! ros_is_sourced || ros="$ROS_DISTRO"
version=$("$python" -c 'import platform; print(platform.python_version())')
key=$(cat constraints.txt setup.py tools/setup_env.sh tools/torchvision_schemas.py | sha256sum | cut -c1-16)-$ros-$version-${ROS_WHEELS:-}-${NUMPY:-}
made_for=$(cat "$venv/made-for" 2>/dev/null || echo "$ros")
[ "$made_for" = "$ros" ] || fail "$venv was made for ROS 2 '$made_for', now it is '$ros': remove $venv (make distclean)," \
  "or use a shell as then"

done_with() { [ "$(cat "$venv/set-up-$1" 2>/dev/null)" = "$key" ]; }
if done_with test || done_with "$target"; then exit 0; fi

case $target in demo | test) ;; *) fail "the target is demo or test, got '$target'" ;; esac
[ "$ros" != wheels ] || [ "$(uname -m)" = x86_64 ] || fail "ROS 2 as wheels exists for x86_64 only," \
  "this is $(uname -m): source a ROS 2 installation first"
step "system packages" install_system_packages
step "environment in $venv (ROS 2: $ros)" make_venv
echo "$ros" >"$venv/made-for"
write_constraints
if ! done_with demo; then
  install_demo
  echo "$key" >"$venv/set-up-demo"
fi
if [ "$target" = test ]; then
  step "browser" install_browser
  install_test
  echo "$key" >"$venv/set-up-test"
fi
say "ready for 'make $target' in $SECONDS s"
