#!/usr/bin/env bash
# Trains both embedded models one after the other, and writes everything that their cards say:
#   tools/train_embedded.sh DATA [KEY=VALUE ...]     DATA holds nyu_depth_v2 and tum; settings for both runs
# PYTHON (python3), OUTPUT (runs/embedded), START (card that unetpp_lite begins with; empty: ImageNet weights of its
# encoder), EPOCHS and STEPS (of every stage) are variables. On a GPU batches are larger. The same command goes on after
# a stop. The models of the package stay as they are: the new ones lie in OUTPUT/models.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3} output=${OUTPUT:-runs/embedded}
start=${START-mono_depth_recon/models/embedded/unetpp_lite.json}
[ $# -gt 0 ] || { sed -n '2,7s/^# \?//p' "${BASH_SOURCE[0]}"; exit 2; }
data=$(realpath "$1")
shift
mkdir -p "$output"
output=$(realpath "$output")
validation=$data/nyu_depth_v2:360:427

for_all=(data.split_file="$PWD/training/configs/nyu_splits.txt" data.sources.2.path="$output/views" "$@")
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  for_all=(precision=mixed_bfloat16 loader.workers=$(($(nproc) - 1)) threads=4 "${for_all[@]}")
  batch=96
fi

stages() { # COUNT: settings of that many stages
  for ((i = 0; i < $1; i++)); do
    [ -z "${batch:-}" ] || echo "stages.$i.batch=$batch"
    [ -z "${EPOCHS:-}" ] || echo "stages.$i.epochs=$EPOCHS"
    [ -z "${STEPS:-}" ] || echo "stages.$i.steps=$STEPS"
  done
}

train() { # NAME STAGES CARD (that it begins with, or empty) and settings of its own
  local name=$1 run=$output/$1 card=$output/models/$1.json words=("${for_all[@]}" "${@:4}")
  local config=training/configs/$name.yaml
  mapfile -t -O "${#words[@]}" words < <(stages "$2")
  if [ -e "$run/last.ckpt" ]; then words+=(--resume); elif [ -n "$3" ]; then words+=(--init "$3"); fi
  "$python" -m training.train_unetpp --config "$config" --data "$data" --output "$run" "${words[@]}"
  "$python" -m training.export_unetpp "$run/best.ckpt" --output "$output/models"
  "$python" -m training.calibrate_size "$card" "$validation"
  "$python" -m training.calibrate_sigma "$card" --config "$config" --rooms 8 --frames "$validation"
  "$python" -m training.report_lenses "$card" "$validation" --config "$config"
  "$python" -m training.report_card "$card" --config "$config" --data "$data"
}

desk=$data/tum/rgbd_dataset_freiburg1_rpy_part:0:100
[ -d "$output/views/part1" ] || "$python" -m training.novel_views "$desk" "$output/views/part1" --views 1200
train unetpp_lite 1 "$start" network.encoder_weights="$([ -n "$start" ] && echo none || echo imagenet)"
train unetpp_mobile 2 "" distill.card="$output/models/unetpp_lite.json"
