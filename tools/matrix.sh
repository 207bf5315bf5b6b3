#!/usr/bin/env bash
# Runs the tests with other versions than the pinned ones, each row in an environment of its own below .matrix/:
#   tools/matrix.sh [TEXT [ARGUMENTS OF PYTEST]]     rows whose name contains TEXT; all without it
# Pythons that are not installed are said and left out. The table at the end is Markdown.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# name | python | wheels of ROS 2 (none: the tests without ROS) | numpy
rows="kilted-numpy2|python3|kilted|
jazzy-numpy2|python3|jazzy|
kilted-numpy1|python3|kilted|1
jazzy-numpy1|python3|jazzy|1
python3.10|python3.10||
python3.11|python3.11||
python3.12|python3.12||
python3.13|python3.13||"

text=${1:-}
[ $# -eq 0 ] || shift

versions() {
  "$1/bin/python" - <<'EOF'
import importlib.metadata as metadata
import platform


def version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


print(platform.python_version(), version("ros-rclpy"), version("numpy"), sep=" | ")
EOF
}

set_up_without_ros() {  # by the ranges of setup.py: the exact pins are for the Pythons that `make test` uses
  local venv=$1 python=$2
  [ ! -e "$venv/done" ] || return 0
  "$python" -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet "setuptools<80" wheel &&
    "$venv/bin/python" -m pip install --quiet --no-build-isolation torch &&
    "$venv/bin/python" -m pip install --quiet --no-build-isolation \
      -e '.[open3d,torch,export,datasets,explain,train,docs,test]' &&
    touch "$venv/done"
}

set_up() {  # set_up venv python wheels numpy
  if [ -n "$3" ]; then
    VENV=$1 PYTHON=$2 ROS_WHEELS=$3 NUMPY=$4 tools/setup_env.sh test
  else
    set_up_without_ros "$1" "$2"
  fi
}

table="| row | Python | rclpy | numpy | what happened |
| --- | --- | --- | --- | --- |"
add() { table+=$'\n'"| $1 | $2 | $3 |"; }

failed=0
while IFS='|' read -r name python wheels numpy; do
  [[ $name == *"$text"* ]] || continue
  if ! "$python" -c "" 2>/dev/null; then  # pyenv has names for Pythons that it will not start
    add "$name" "- | - | -" "$python is not installed"
    continue
  fi
  venv=.matrix/$name
  mkdir -p .matrix
  if ! set_up "$venv" "$python" "$wheels" "$numpy"; then
    failed=1
    add "$name" "- | - | -" "the set-up failed"
    continue
  fi
  chosen=()
  [ -n "$wheels" ] || chosen=(-m "not (ros or soak)" --ignore test/ros)
  "$venv/bin/python" -m pytest --numprocesses "${JOBS:-2}" --dist loadfile --max-worker-restart 0 \
    "${chosen[@]}" "$@" </dev/null |
    tee ".matrix/$name.txt"
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed=1
  add "$name" "$(versions "$venv")" "$(tail -n 1 ".matrix/$name.txt" | tr -d =)"
done <<<"$rows"
printf '\n%s\n' "$table"
exit "$failed"
