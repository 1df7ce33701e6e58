#!/usr/bin/env bash
# What joining and trimming cost the appends that go on meanwhile: three servers
# over mutual TLS on loopback with a log of $1 MiB of records of 1 KiB, else
# 1024, and a client with 64 appends of 1 KiB under way. In turn, $2 times, else
# 5: how many a second are acknowledged while an empty server joins and catches
# up, and while a quarter of the log is trimmed and dropped on every server, each
# between two calm whiles; then the log is trimmed to its first length. The
# medians, and those of each ratio to the calm before and after.
#
#   bazel run //bench:join_cost [-- MIB [ROUNDS]]
# shellcheck source=tests/processes.sh
source tests/processes.sh
mib=${1:-1024}
rounds=${2:-5}
# shellcheck disable=SC2034  # for start_node
segment_mib=64

make_ca
for id in 1 2 3 4; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
issue --client=ops --role=admin
# shellcheck disable=SC2034  # for ops
client=(--certs="$certs" --as=ops)
servers=$(address 1),$(address 2),$(address 3)
bootstrap=1=$(address 1),2=$(address 2),3=$(address 3)
for id in 1 2 3; do start_node $id --bootstrap="$bootstrap"; done
await_leader 1 2 3
bench/catch_up_bench fill "$servers" "$certs" app "$mib" 1024 64 \
  2>> "$work/fill.log" || fail "filling the log"

mkfifo "$work/lines" "$work/rates"
bench/load "$servers" "$certs" app 1024 64 < "$work/lines" > "$work/rates" \
  2> "$work/load.log" &
extra_pids+=($!)
exec 3> "$work/lines" 5< "$work/rates"
rate=
# Since the last time.
next_rate() {
  echo >&3
  read -r -t $patience rate <&5 || fail "expected a rate, found none"
}

# The first segment that a trim drops is gone; the others follow one by one,
# while the rate is measured.
oldest=()
dropped() { [ ! -e "${oldest[$1]}" ]; }

# Into `rate`, that of a while without anything else.
calm_rate() {
  sleep 4 # what went before is off the disk
  next_rate
  sleep 8
  next_rate
}

# Into `first` and `next`, the leader's offsets.
read_offsets() {
  await_leader 1 2 3
  read -r first next < <(status_line "$leader" |
    sed -En 's/.* offsets ([0-9]+) to ([0-9]+),.*/\1 \2/p')
}

# trim_to OFFSET: and waits until every server has dropped something.
trim_to() {
  local id segments
  for id in 1 2 3; do
    segments=("$work/data$id"/*.segment)
    oldest[id]=${segments[0]}
  done
  ops trim --before="$1"
  expect_code 0
  sleep 4
  for id in 1 2 3; do await "server $id to have dropped it" dropped $id; done
}

calm_rate
for ((round = 1; round <= rounds; round++)); do
  before=$rate
  start_node 4 --join
  await "server 4 to wait to be joined" waits 4
  next_rate
  seconds=$(bench/catch_up_bench join "$servers" "$certs" ops 4 \
    "$(address 4)" 2>> "$work/join.log") || fail "the join"
  next_rate
  joining=$rate
  ops leave --id=4
  expect_code 0
  stop_hard 4
  rm -rf "$work/data4"
  calm_rate
  between=$rate

  read_offsets
  next_rate
  trim_to $((first + (next - first) / 4))
  next_rate
  trimming=$rate
  read_offsets
  trim_to $((next - mib * 1024))
  calm_rate
  echo "calm $before/s; joining $joining/s, $seconds s; calm $between/s;" \
    "trimming $trimming/s; calm $rate/s"
  echo "$before $joining $between $trimming $rate" >> "$work/found"
done
median() {
  awk "{ print $1 }" "$work/found" | sort -n | awk '{ v[NR] = $1 }
    END { printf "%.0f", (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'
}
# shellcheck disable=SC2016  # awk's
echo "median: calm $(median '$3')/s; joining takes" \
  "$(median '100 - 200 * $2 / ($1 + $3)') %, trimming" \
  "$(median '100 - 200 * $4 / ($3 + $5)') % of it"
