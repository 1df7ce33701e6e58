#!/bin/bash
# A run is a function of its seed: neither the heap's contents nor the
# environment's size (and with it all stack addresses) may change it.
set -euo pipefail

simulate="$1"

hash_of() {
  grep -o '"trace_hash":"[0-9a-f]*"'
}

big="$(head -c 65536 /dev/zero | tr '\0' 'x')"
for seed in 1 42 1234567; do
  args=("--seed=$seed" --duration=10s --json "--tape-dir=$TEST_TMPDIR")
  one="$(MALLOC_PERTURB_=17 "$simulate" "${args[@]}" | hash_of)"
  two="$(MALLOC_PERTURB_=202 HOLDFAST_TEST_FILLER="$big" \
    "$simulate" "${args[@]}" | hash_of)"
  if [[ -z "$one" || "$one" != "$two" ]]; then
    echo "seed $seed: two runs differ: $one, $two" >&2
    exit 1
  fi
  echo "seed $seed: $one twice"
done
