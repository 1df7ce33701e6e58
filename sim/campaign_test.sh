#!/bin/bash
# A campaign, dealt out to Bazel's shards and repetitions. Each has HOLDFAST_SEEDS
# seeds of its own, which follow each other from HOLDFAST_SEED on:
#
#   bazel test -c opt //sim:campaign_test --runs_per_test=20 \
#     --test_env=HOLDFAST_SEEDS=500 --test_env=HOLDFAST_DURATION=60s
set -euo pipefail
simulate=$1

if [[ -n ${TEST_SHARD_STATUS_FILE:-} ]]; then touch "$TEST_SHARD_STATUS_FILE"; fi
shards=${TEST_TOTAL_SHARDS:-1}
[[ $shards != 0 ]] || shards=1
shard=$(((${TEST_RUN_NUMBER:-1} - 1) * shards + ${TEST_SHARD_INDEX:-0}))
seeds=${HOLDFAST_SEEDS:-5}

"$simulate" campaign --seed="$((${HOLDFAST_SEED:-1} + shard * seeds))" \
  --seeds="$seeds" --duration="${HOLDFAST_DURATION:-5s}" \
  --tape-dir="${TEST_UNDECLARED_OUTPUTS_DIR:-.}"
