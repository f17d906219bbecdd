#!/usr/bin/env bash
# Train with several processes: dist_train.sh CONFIG PROCESSES [options of train.py]
# One process a GPU; without CUDA the processes share the CPU.
# NNODES, NODE_RANK, MASTER_ADDR, PORT: more than one machine. PYTHON: the interpreter.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of train.py]" >&2
    exit 2
fi
tools="$(cd "$(dirname "$0")" && pwd)"
config="$1"
processes="$2"
shift 2
case "$processes" in
'' | *[!0-9]* | 0*)
    echo "$0: PROCESSES must be a whole number of at least 1, got '$processes'" >&2
    exit 2
    ;;
esac
if [ ! -f "$config" ]; then
    echo "$0: there is no config file $config" >&2
    exit 2
fi
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$tools/train.py" "$config" --launcher pytorch "$@"
