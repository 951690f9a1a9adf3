#!/usr/bin/env bash
# Extracts features on several processes; each writes its own rows:
#   tools/dist_extract.sh CONFIG CHECKPOINT PROCESSES --out DIR [any option of extract_features.py]
# For a network by name CHECKPOINT is "-": tools/dist_extract.sh timm/resnet18 - 2 --out D --images F
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT|- PROCESSES --out DIR [options of extract_features.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 processes=$3
model=("$config")
[ "$checkpoint" = - ] || model+=("$checkpoint")
exec "$(dirname "$0")/_torchrun.sh" "$processes" extract_features.py "${model[@]}" \
    --launcher pytorch "${@:4}"
