#!/usr/bin/env bash
# Trains on a Slurm cluster: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# GPUS (8) processes in all, GPUS_PER_NODE (8), CPUS_PER_TASK (8), PORT (29500), SRUN_ARGS.
# A minute before the end of its time the job saves and stops (SIGUSR1); --resume continues it.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2
    exit 2
fi
partition=$1 job=$2 config=$3
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
per_node=$((per_node < gpus ? per_node : gpus))
export MASTER_PORT=${PORT:-29500}
# shellcheck disable=SC2086  # SRUN_ARGS holds several words
exec srun --partition="$partition" --job-name="$job" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --gres="gpu:$per_node" --cpus-per-task="${CPUS_PER_TASK:-8}" \
    --kill-on-bad-exit=1 --signal=USR1@60 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$config" --launcher slurm "${@:4}"
