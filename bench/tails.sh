#!/usr/bin/env bash
# One server over mutual TLS on loopback, and readers that follow its log, each
# on a connection of its own: what the server takes of memory, and how long a
# record takes to all of them. Readers: $1, else 10,000.
#
#   bazel run //bench:tails [-- READERS]
# shellcheck source=tests/processes.sh
source tests/processes.sh
readers=${1:-10000}

make_ca
issue --node=1 --hosts=127.0.0.1
issue --client=app
start_node 1 --bootstrap=1="$(address 1)"
await_leader 1
memory_kib() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/${pid[1]}/status"; }
before=$(memory_kib VmRSS)
mkfifo "$work/end"
: > "$work/found"
exec 3<> "$work/end"
bench/tails_bench "$(address 1)" "$certs" app "$readers" < "$work/end" \
  > "$work/found" 2> "$work/tails.log" &
tails_pid=$!
extra_pids+=("$tails_pid")
patience=300
all_had() {
  kill -0 "$tails_pid" 2>/dev/null || fail "the readers have ended"
  [ "$(grep -c 'all had' "$work/found")" = 3 ]
}
await "all readers to have three records" all_had
cat "$work/found"
after=$(memory_kib VmRSS)
echo "server: $((before / 1024)) MiB before, $((after / 1024)) MiB with the readers," \
  "$(($(memory_kib VmHWM) / 1024)) MiB at most;" \
  "$(((after - before) * 1024 / readers)) bytes for each reader"
