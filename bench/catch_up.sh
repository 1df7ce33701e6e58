#!/usr/bin/env bash
# How fast an empty server that joins gets the log, compared with a plain copy of
# as many bytes: one process reads the same segment files, another writes what
# comes to files of a segment's size and syncs each (plain_copy.cc), over the
# same kind of connection (mutual TLS on loopback) and of file access. The log:
# $1 MiB, else 512; one leader with nothing else to do, its files not in the page
# cache. Both are timed from their first step (the dial, the order to join) until
# the last byte is synced on the other side, in turn, $2 times, else 5; the
# medians, and the median of each pair's ratio. Beside it the CPU that the two
# processes took, which a machine with other work disturbs less.
#
#   bazel run //bench:catch_up [-- MIB [ROUNDS ["RECORD-BYTESxRECORDS-IN-A-BATCH ..."]]]
# shellcheck source=tests/processes.sh
source tests/processes.sh
mib=${1:-512}
rounds=${2:-5}
# shellcheck disable=SC2034  # for start_node
segment_mib=64

# The leader's segments leave the page cache, unless they are being written.
drop_cached() {
  local file
  for file in "$work"/data1/*.segment; do
    dd if="$file" iflag=nocache count=0 status=none
  done
}

# copied: the seconds that it took; copy_cpu: those of CPU, in both processes.
copy_once() {
  drop_cached
  : > "$work/receiver.out"
  bench/plain_copy receive "$work/copy" "$certs" 3 "$(address 3)" \
    > "$work/receiver.out" 2>> "$work/copy.log" &
  local receiver=$!
  extra_pids+=("$receiver")
  await "the receiver to listen" grep -q listening "$work/receiver.out"
  bench/plain_copy send "$work/data1" "$certs" 4 "$(address 3)" "$mib" \
    > "$work/sender.out" 2>> "$work/copy.log" || fail "the copy"
  wait "$receiver"
  copied=$(head -n 1 "$work/sender.out")
  copy_cpu=$(awk '$1 == "cpu" { s += $2 } END { print s }' \
    "$work/sender.out" "$work/receiver.out")
  rm -rf "$work/copy"
}

# Of CPU, that servers 1 and 2 have taken.
node_ticks() {
  awk '{ s += $14 + $15 } END { print s }' "/proc/${pid[1]}/stat" "/proc/${pid[2]}/stat"
}

# caught_up and catch_up_cpu: likewise.
catch_up_once() {
  start_node 2 --join
  await "server 2 to wait to be joined" waits 2
  drop_cached
  local before
  before=$(node_ticks)
  caught_up=$(bench/catch_up_bench join "$(address 1)" "$certs" ops 2 \
    "$(address 2)" 2>> "$work/join.log") || fail "the join"
  catch_up_cpu=$(awk "BEGIN { print ($(node_ticks) - $before) / $(getconf CLK_TCK) }")
  ops leave --id=2
  expect_code 0
  stop_hard 2
  rm -rf "$work/data2"
}

# measure RECORD-BYTES RECORDS-IN-A-BATCH
measure() {
  rm -rf "$work/data1"
  start_node 1 --bootstrap=1="$(address 1)"
  await_leader 1
  bench/catch_up_bench fill "$(address 1)" "$certs" app "$mib" "$1" "$2" \
    2>> "$work/fill.log" || fail "filling the log"
  : > "$work/found"
  local round
  for ((round = 1; round <= rounds; round++)); do
    copy_once
    catch_up_once
    echo "$copied $caught_up $copy_cpu $catch_up_cpu" >> "$work/found"
  done
  stop_hard 1
  echo "records of $1 bytes, $2 in a batch:"
  awk -v mib="$mib" '{
    printf "  copy %.0f MiB/s, catch-up %.0f MiB/s, ratio %.2f; CPU %.2f s, %.2f s\n",
           mib / $1, mib / $2, $1 / $2, $3, $4 }' "$work/found"
  echo "  median: copy $(median "$mib / \$1") MiB/s," \
    "catch-up $(median "$mib / \$2") MiB/s, ratio $(median "100 * \$1 / \$2") %"
}
# Of an awk expression, over the rounds.
median() {
  awk "{ print $1 }" "$work/found" | sort -n | awk '{ v[NR] = $1 }
    END { printf "%.0f", (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'
}

make_ca
for id in 1 2 3 4; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
issue --client=ops --role=admin
client=(--certs="$certs" --as=ops)
# shellcheck disable=SC2034  # for ops
servers=$(address 1)
for shape in ${3:-65536x1 1024x64 1024x1}; do
  measure "${shape%x*}" "${shape#*x}"
done
