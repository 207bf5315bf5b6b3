#!/usr/bin/env bash
# Tests and benchmark on a GPU, with a Python that has torch with CUDA:
#   tools/gpu.sh [MODEL ...]     the models of the benchmark; five without it
# PYTHON (python3), OUTPUT (bench_output/gpu) and LIMIT_S (580 seconds for everything) are variables. Tests that need ROS
# run where it is installed. Tables are written after each row, so that what ends the run early leaves the rest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
python=${PYTHON:-python3} output=${OUTPUT:-bench_output/gpu} limit=${LIMIT_S:-580}
[ $# -gt 0 ] || set -- depth_anything_v2_small unetpp_lite midas_dpt_hybrid glpn_nyu unetpp_resnext50

"$python" - <<'EOF' || exit
import sys
from importlib.util import find_spec

packages = {
    "cv2": "opencv-python-headless", "lightning": "lightning", "numpy": "numpy", "PIL": "pillow", "pytest": "pytest",
    "safetensors": "safetensors", "scipy": "scipy", "segmentation_models_pytorch": "segmentation-models-pytorch",
    "timm": "timm", "torch": "torch", "transformers": "transformers", "yaml": "pyyaml",
}
missing = [name for module, name in packages.items() if find_spec(module) is None]
if missing:
    sys.exit(f"make gpu needs {' '.join(missing)} for {sys.executable}: python -m pip install {' '.join(missing)}")
import torch

if not torch.cuda.is_available():
    sys.exit(f"make gpu: torch {torch.__version__} of {sys.executable} sees no CUDA GPU")
EOF

mkdir -p "$output"
tests="test/models/runtimes test/training/test_device_augment.py"
"$python" -c 'import rclpy' 2>/dev/null && tests+=" test/ros/node/test_gpu_node.py"
# shellcheck disable=SC2086
timeout --foreground "$limit" "$python" -m pytest -m gpu -p no:cacheprovider $tests 2>&1 | tee "$output/tests.txt"
status=$?

measure() { # FOLDER MODEL and what else the benchmark takes, in what is left of the time
  local left=$((limit - SECONDS)) code=0
  if ((left > 0)); then
    timeout --foreground "$left" "$python" -m mono_depth_recon.cli benchmark --output "$output/$1" --models "$2" --runtimes torch \
      --random-weights --model.device cuda --repeats 20 "${@:3}" || code=$?
  fi
  if ((left <= 0 || code == 124)); then
    echo "make gpu: the $limit s of LIMIT_S are over: $1 is not measured, or not whole"
  elif ((code)); then
    status=1
  fi
}
for model in "$@"; do
  measure "$model" "$model" --precisions auto f16 bf16 f32 --pipeline --frames --operations
done
for model in "$@"; do # last, since it takes minutes to compile
  measure "$model-compiled" "$model" --precisions f16 bf16 --model.compile true
done
exit $status
