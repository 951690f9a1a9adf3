#!/usr/bin/env bash
# Starts a tool on several processes: _torchrun.sh PROCESSES TOOL [arguments of the tool]
# NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1) and PORT (29500) say where the others are.
set -euo pipefail
processes=$1 tool=$2
shift 2
options=(
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$processes"
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}"
)
# Signals of a cluster reach the processes, which save and stop; older versions of torch pass on
# SIGTERM alone.
if python -m torch.distributed.run --help | grep -q -e --signals-to-handle; then
    options+=(--signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2)
fi
exec python -m torch.distributed.run "${options[@]}" "$(dirname "$0")/$tool" "$@"
