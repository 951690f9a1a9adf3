#!/usr/bin/env bash
# Measures a checkpoint on several processes:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [any option of tools/test.py]
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [options of tools/test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 processes=$3
exec "$(dirname "$0")/_torchrun.sh" "$processes" test.py "$config" "$checkpoint" \
    --launcher pytorch "${@:4}"
