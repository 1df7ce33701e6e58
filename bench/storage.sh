#!/usr/bin/env bash
# What holding fast costs, and how fast it is: three servers over mutual TLS on
# loopback with a log of $1 MiB of records of 1 KiB, else 1024. In turn, $2 times,
# else 5:
# - appends of 1 KiB, 64 under way, for 8 s while all servers look for damage at
#   the default rate, and for 8 s while none does;
# - from when a server has found a damaged block of its log until its file is
#   whole again, with the others' help;
# - a plain sequential read of a server's segments, and a start of the server that
#   has no resume points and reads all of them, neither in the page cache.
# The medians, and those of the ratios.
#
#   bazel run //bench:storage [-- MIB [ROUNDS]]
# shellcheck source=tests/processes.sh
source tests/processes.sh
mib=${1:-1024}
rounds=${2:-5}
# shellcheck disable=SC2034  # for start_node
segment_mib=64

make_ca
for id in 1 2 3; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
servers=$(address 1),$(address 2),$(address 3)
bootstrap=1=$(address 1),2=$(address 2),3=$(address 3)

# start_all SCRUB-MIB-PER-SECOND
start_all() {
  for id in 1 2 3; do
    start_node $id --bootstrap="$bootstrap" --scrub-mib-per-second="$1"
  done
  await_leader 1 2 3
}
end_all() { for id in 1 2 3; do terminate $id; done; }
serves() { status_of "$1" | head -n 1 | grep -q ', follower, \|, leader, '; }
now() { date +%s.%N; }
since() { awk "BEGIN { printf \"%.3f\", $(now) - $1 }"; }
drop_cached() {
  local file
  for file in "$work/data$1"/*.segment; do
    dd if="$file" iflag=nocache count=0 status=none
  done
}
median() {
  awk "{ print $2 }" "$work/$1" | sort -n | awk '{ v[NR] = $1 }
    END { printf "%.4g", (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'
}

start_all 4
bench/catch_up_bench fill "$servers" "$certs" app "$mib" 1024 64 \
  2>> "$work/fill.log" || fail "filling the log"

# Into `rate`, that of appends with scrubbing at so many MiB a second.
measure_appends() {
  end_all
  start_all "$1"
  mkfifo "$work/lines" "$work/rates"
  bench/load "$servers" "$certs" app 1024 64 < "$work/lines" > "$work/rates" \
    2> "$work/load.log" &
  local load=$!
  extra_pids+=($load)
  exec 3> "$work/lines" 5< "$work/rates"
  sleep 2
  echo >&3
  read -r -t $patience _ <&5 || fail "expected a rate, found none"
  sleep 8
  echo >&3
  read -r -t $patience rate <&5 || fail "expected a rate, found none"
  exec 3>&- 5<&-
  kill $load 2> /dev/null
  wait $load 2> /dev/null
  rm "$work/lines" "$work/rates"
}

# Into `seconds`, of the repair of a block in the midst of a segment.
damaged() { grep -q event=log_damaged "$work/node3.log"; }
measure_repair() {
  terminate 3
  local segments file inode found
  segments=("$work"/data3/*.segment)
  file=${segments[$1 % (${#segments[@]} - 2)]}
  dd if=/dev/zero of="$file" bs=4096 seek=5000 count=1 conv=notrunc status=none
  inode=$(stat -c %i "$file")
  : > "$work/node3.log"
  start_node 3 --bootstrap="$bootstrap" --scrub-mib-per-second=10000
  while ! damaged; do
    process_gone "${pid[3]}" && fail "server 3 ended"
    sleep 0.005
  done
  found=$(now)
  while [ "$(stat -c %i "$file")" = "$inode" ]; do sleep 0.005; done
  seconds=$(since "$found")
}

# Into `read_seconds` and `start_seconds`.
measure_start() {
  terminate 3
  rm -f "$work"/data3/*.resume
  drop_cached 3
  local begun
  begun=$(now)
  cat "$work"/data3/*.segment > /dev/null
  read_seconds=$(since "$begun")
  drop_cached 3
  begun=$(now)
  start_node 3 --bootstrap="$bootstrap" --scrub-mib-per-second=0
  while ! taken $((base + 3)); do sleep 0.005; done
  start_seconds=$(since "$begun")
  await "server 3 to serve" serves 3
}

for ((round = 1; round <= rounds; round++)); do
  # What came before tells in the next one.
  for scrub in $((round % 2 * 4)) $((4 - round % 2 * 4)); do
    measure_appends $scrub
    if [ $scrub = 0 ]; then without=$rate; else scrubbing=$rate; fi
  done
  measure_repair $round
  measure_start
  echo "scrubbing $scrubbing/s, not $without/s; a block repaired in $seconds s;" \
    "read in $read_seconds s, started in $start_seconds s"
  echo "$scrubbing $without $seconds $read_seconds $start_seconds" >> "$work/found"
done
# shellcheck disable=SC2016  # awk's
echo "median: scrubbing costs $(median found '100 - 100 * $1 / $2') % of" \
  "$(median found '$2')/s; a block is repaired in $(median found '$3') s; a start" \
  "reads at $(median found '100 * $4 / $5') % of a plain read's speed, which took" \
  "$(median found '$4') s"
