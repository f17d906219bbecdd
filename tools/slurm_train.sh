#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK: what to ask for. SRUN_ARGS: further options of srun.
set -eu
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]" >&2
    exit 2
fi
tools="$(cd "$(dirname "$0")" && pwd)"
partition="$1"
job_name="$2"
config="$3"
work_dir="$4"
shift 4
gpus="${GPUS:-8}"
gpus_per_node="${GPUS_PER_NODE:-8}"
if [ "$gpus" -lt "$gpus_per_node" ]; then
    gpus_per_node="$gpus"
fi
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
# SRUN_ARGS holds several options: it is split at spaces on purpose
# shellcheck disable=SC2086
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/train.py" "$config" \
    --work-dir="$work_dir" --launcher=slurm "$@"
