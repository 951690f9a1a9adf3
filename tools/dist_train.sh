#!/usr/bin/env bash
# Trains on several processes of this machine, or of several machines:
#   tools/dist_train.sh CONFIG PROCESSES [any option of tools/train.py]
# On each of NNODES machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_train.sh ...
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
exec "$(dirname "$0")/_torchrun.sh" "$processes" train.py "$config" --launcher pytorch "${@:3}"
