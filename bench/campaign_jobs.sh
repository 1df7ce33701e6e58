#!/usr/bin/env bash
# How a campaign of the simulator scales with --jobs: the seeds 1 to $1, else 400,
# as they are drawn, with 1 job, 2, 4 and so on, and as many as there are
# processors. Of each: seconds, CPU seconds, seeds and events per second, and how
# many times as fast as one job it was. The hashes are the same, or it fails.
#
#   bazel run -c opt //bench:campaign_jobs [-- SEEDS]
set -euo pipefail
seeds=${1:-400}
case $seeds in
  '' | *[!0-9]*) echo "campaign_jobs: expected a number of seeds, found '$seeds'" >&2; exit 64 ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/campaign-jobs.XXXXXX")
trap 'rm -rf "$work"' EXIT

counts=()
for ((jobs = 1; jobs < $(nproc); jobs *= 2)); do counts+=("$jobs"); done
counts+=("$(nproc)")

# field NAME: of the last summary.
field() { sed -n 's/.*"'"$1"'":"\{0,1\}\([0-9a-f]*\).*/\1/p' "$work/summary"; }

printf '%5s %9s %9s %9s %11s %8s\n' jobs s "CPU s" seeds/s events/s times
one='' hash=''
for jobs in "${counts[@]}"; do
  TIMEFORMAT='%U %S'
  { time sim/simulate campaign --seeds="$seeds" --jobs="$jobs" --json \
    --tape-dir="$work" > "$work/out" 2> "$work/err"; } 2> "$work/time" || {
    tail -n 20 "$work/err" >&2
    exit 1
  }
  tail -n 1 "$work/out" > "$work/summary"
  ms=$(field wall_ms)
  [ -n "$one" ] || one=$ms hash=$(field trace_hash)
  [ "$hash" = "$(field trace_hash)" ] || {
    echo "campaign_jobs: other runs with $jobs jobs than with one" >&2
    exit 1
  }
  awk -v jobs="$jobs" -v ms="$ms" -v one="$one" -v seeds="$seeds" \
    -v events="$(field events)" '{
      printf "%5d %9.1f %9.1f %9.1f %11.0f %8.2f\n", jobs, ms / 1000, $1 + $2,
        seeds * 1000 / ms, events * 1000 / ms, one / ms
    }' "$work/time"
done
