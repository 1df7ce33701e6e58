#!/usr/bin/env bash
# Three servers over mutual TLS on loopback, a client that appends one record
# after another, and a leader that is killed (SIGKILL) and started again, 20
# times: how long nothing was acknowledged, each time; the median and the most.
# And, to compare with, the longest time between two acknowledgements when
# nothing happens.
#
#   bazel run //bench:failover
# shellcheck source=tests/processes.sh
source tests/processes.sh

make_ca
for id in 1 2 3; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
servers=$(address 1),$(address 2),$(address 3)
bootstrap=1=$(address 1),2=$(address 2),3=$(address 3)
for id in 1 2 3; do start_node $id --bootstrap="$bootstrap"; done
await_leader 1 2 3

mkfifo "$work/marks" "$work/gaps"
bench/append_gaps "$servers" "$certs" app < "$work/marks" > "$work/gaps" &
extra_pids+=($!)
exec 3> "$work/marks" 5< "$work/gaps"
# What was the longest gap until now.
gap=
next_gap() {
  echo >&3
  read -r -t $patience gap <&5 || fail "expected a gap, found none"
}

sleep 1
next_gap
sleep 2
next_gap
echo "calm: $gap ms"
for ((kill = 1; kill <= 20; kill++)); do
  await_leader 1 2 3
  next_gap
  kill -KILL "${pid[$leader]}"
  wait "${pid[$leader]}" 2>/dev/null
  sleep 2
  next_gap
  echo "kill $kill of server $leader: $gap ms"
  echo "$gap" >> "$work/found"
  start_node "$leader" --bootstrap="$bootstrap"
  sleep 1
done
sort -n "$work/found" | awk '{ g[NR] = $1 }
  END { printf "median %.1f ms, most %.1f ms\n", (g[10] + g[11]) / 2, g[NR] }'
