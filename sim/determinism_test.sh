#!/bin/bash
# A run is a function of its seed: neither the heap's contents nor the
# environment's size (and with it all stack addresses) may change it. Nor may
# TLS's keys, which are never the same.
set -euo pipefail

simulate="$1"

for tls in off on; do
  for seed in 1 42 1234567; do
    "$simulate" diff --seed="$seed" --seeds=2 --duration=10s --tls="$tls" \
      "--tape-dir=$TEST_TMPDIR"
  done
done
