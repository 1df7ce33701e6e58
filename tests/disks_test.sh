#!/usr/bin/env bash
# Three real processes, whose disks decay, fill up, fail, hang and lose power:
# flipped, zeroed, cut and swapped files of stopped and of running servers; a file
# system that is full; errors and hangs from below (disks/faulty_disk.cc); and
# what wasn't synced, taken back after a kill of all three
# (disks/volatile_disk.cc). After each, every server has every line that was
# acknowledged, and what is stored is intact.
# HOLDFAST_BIN: another binary than the one Bazel built.

# A file system of its own to be filled needs a mount, which nobody else sees.
if [ -z "${DISKS_TEST_MOUNTS:-}" ]; then
  if [ "$(id -u)" = 0 ]; then how=(-m); else how=(-r -m); fi
  if unshare "${how[@]}" true 2> /dev/null; then
    DISKS_TEST_MOUNTS=yes exec unshare "${how[@]}" bash "$0" "$@"
  fi
  DISKS_TEST_MOUNTS=no
fi
# shellcheck source=tests/processes.sh
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

faults=$PWD/tests/faulty_disk.so
volatile=$PWD/tests/volatile_disk.so
for library in "$faults" "$volatile"; do
  [ -e "$library" ] || { echo "no library at $library" >&2; exit 1; }
done
servers=$(address 1),$(address 2),$(address 3)
bootstrap=1=$(address 1),2=$(address 2),3=$(address 3)
segment_mib=1

# Scrubbing finds at once what nobody reads.
start() {
  start_node "$1" --bootstrap="$bootstrap" --reserve-mib=2 \
    --scrub-mib-per-second=1000 "${@:2}"
}
# Above the files order$1/... that faulty_disk.cc reads. A library sees what threads
# call, and nothing of io_uring, which all other servers here have, where it works.
start_on_faulty_disk() {
  mkdir -p "$work/order$1"
  LD_PRELOAD=$faults FAULTY_DISK=$work/order$1 FAULTY_DISK_OF=$work/data$1 \
    start "$1" --disk=threads
}
# What it doesn't sync may be lost.
start_on_volatile_disk() {
  mkdir -p "$work/volatile$1"
  LD_PRELOAD=$volatile VOLATILE_DISK=$work/volatile$1 \
    VOLATILE_DISK_OF=$work/data$1 start "$1" --disk=threads
}
order() { echo "${3:-}" > "$work/order$1/$2"; }
revoke() { rm -f "$work/order$1/$2"; }
# Since when something of server $1's disk hangs.
hangs() { [ -s "$work/order$1/hung" ]; }
hung_since() { sed -n '1s/ .*//p' "$work/order$1/hung"; }

batch=0
append_lines() {
  batch=$((batch + 1))
  seq -f "batch $batch line %.0f $(printf '%0200d' 0)" "$1" > "$work/input"
  input=$work/input run "$holdfast" append --servers="$servers" \
    "${client[@]}" --timeout=60s
  expect_code 0
  cat "$work/input" >> "$work/all"
}
# What server $1 stores, which ends for it and starts again.
expect_intact() {
  terminate "$1"
  run "$holdfast" inspect --verify --data-dir="$work/data$1"
  expect_code 0
  grep -q "no damage found" "$work/out" ||
    fail "expected no damage at server $1, found: $(head -c 500 "$work/out")"
}
# All that was acknowledged is there; what wasn't may be, too.
expect_acknowledged() {
  run "$holdfast" read --servers="$servers" "${client[@]}" --from=0 --timeout=60s
  expect_code 0
  grep -Fxv -f "$work/out" "$work/all" > "$work/missing" &&
    fail "expected all lines that were acknowledged; missing is $(head -n 1 "$work/missing")"
  cp "$work/out" "$work/all"
}
has_ended() { process_gone "${pid[$1]}"; }
await_end() {
  await "the end of server $1" has_ended "$1"
  wait "${pid[$1]}"
  code=$?
  [ $code != 0 ] || fail "expected another exit code than 0 of server $1"
  grep -q "$2" "$work/node$1.log" ||
    fail "expected \"$2\" in the log of server $1"
  unset "pid[$1]"
}

# The segments of server $1 that are written no more, oldest first.
sealed() { ls "$work/data$1"/*.segment | head -n -2; }
segment() { sealed "$1" | sed -n "$2p"; }
flip() {
  local byte
  byte=$(od -An -tu1 -j"$2" -N1 "$1")
  # shellcheck disable=SC2059
  printf "\\x$(printf '%x' $((byte ^ 16)))" |
    dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
zero() { dd if=/dev/zero of="$1" bs=4096 seek="$2" count="$3" conv=notrunc status=none; }

# How often server $1 has found its log damaged; that it has once more.
declare -A damages=()
count_damages() { grep -c 'event=log_damaged' "$work/node$1.log"; }
note_damages() { damages[$1]=$(count_damages "$1"); }
found_damage() { [ "$(count_damages "$1")" -gt "${damages[$1]}" ]; }
expect_damage() { await "event=log_damaged in the log of server $1" found_damage "$1"; }

start_case "three servers and a log of many segments"
make_ca
for id in 1 2 3; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app --role=admin
for id in 1 2 3; do start $id; done
await_leader 1 2 3
echo "disks are served by $(grep -ho ' disk=.*' "$work"/node?.log | sort -u)"
append_lines 20000
expect_logs_equal
[ "$(sealed 1 | wc -l)" -ge 4 ] || fail "expected at least 4 segments"

start_case "a stopped server's files are flipped, zeroed, cut and swapped"
damage_stopped() {
  local id=$1
  terminate "$id"
  note_damages "$id"
  "${@:2}"
  start "$id"
  expect_logs_equal
  expect_damage "$id"
  expect_intact "$id"
  start "$id"
}
flip_some() {
  local n
  for n in 100 4200 70000 500000; do flip "$(segment 3 2)" $n; done
  flip "$(segment 3 1)" 300000
}
damage_stopped 3 flip_some
zero_some() { zero "$(segment 1 2)" 1 5; zero "$(segment 1 3)" 0 1; }
damage_stopped 1 zero_some
cut_one() { truncate -s 300000 "$(segment "$1" 3)"; }
damage_stopped 2 cut_one 2
swap_two() {
  local a b
  a=$(segment "$1" 1) b=$(segment "$1" 3)
  mv "$a" "$work/swapped" && mv "$b" "$a" && mv "$work/swapped" "$b"
}
damage_stopped 3 swap_two 3

start_case "one copy of each is enough of what a server is and has promised"
expect_logs_equal
terminate 3
flip "$work/data3/hardstate-0" 20
flip "$work/data3/identity" 30
start 3
expect_logs_equal
expect_intact 3

start_case "without any it can't come back but as a new server"
flip "$work/data3/hardstate-0" 20
flip "$work/data3/hardstate-1" 20
start 3
await_end 3 'hardstate'
append_lines 10
ops leave --id=3
expect_done "server 3 left"
rm -r "$work/data3"
start_waiting 3 --reserve-mib=2 --scrub-mib-per-second=1000
join 3
expect_logs_equal
expect_intact 3
start 3
await_leader 1 2 3

# What it was like before a server mends it: each is found, and named.
start_case "inspect finds whatever is wrong with a directory"
terminate 1
expect_found() {  # $1 in the output, after the rest was done to a copy
  rm -rf "$work/data9"
  cp -r "$work/data1" "$work/data9"
  "${@:2}"
  run "$holdfast" inspect --verify --data-dir="$work/data9"
  expect_code 1
  grep -q "DAMAGED: .*$1" "$work/out" ||
    fail "expected \"$1\" after ${*:2}, found: $(head -c 500 "$work/out")"
}
cp -r "$work/data1" "$work/data9"
run "$holdfast" inspect --verify --data-dir="$work/data9"
expect_code 0
[ "$(cat "$work/out")" = "no damage found" ] ||
  fail "expected one line, found: $(head -c 500 "$work/out")"
lose() { rm "$(segment 9 "$1")"; }
expect_found "a segment is missing" lose 2
expect_found "no checkpoint stands for" lose 1
expect_found "the header is segment" swap_two 9
zero_header() { zero "$(segment 9 2)" 0 1; }
expect_found "header is gone" zero_header
not_a_copy() { rm "$work/data9/$1"; }
expect_found "missing" not_a_copy hardstate-1
others_hard_state() { cp "$work"/data2/hardstate-? "$work/data9/"; }
expect_found "another data directory" others_hard_state
others_copy() { cp "$work/data2/identity" "$work/data9/identity.copy"; }
expect_found "another data directory" others_copy
zero_all() { zero "$(segment 9 2)" 0 260; }
expect_found "a segment is missing" zero_all
expect_found "a segment is missing\|was synced" cut_one 9
no_hard_state() { rm "$work"/data9/hardstate-?; }
expect_found "missing" no_hard_state
no_identity() { rm "$work"/data9/identity "$work"/data9/identity.copy; }
expect_found "missing" no_identity
other_identity() { cp "$work"/data2/identity* "$work/data9/"; }
expect_found "another data directory" other_identity
start 1
expect_logs_equal

start_case "two servers have damage in different places"
terminate 1
terminate 2
note_damages 1
note_damages 2
flip "$(segment 1 1)" 200000
flip "$(segment 2 2)" 200000
start 1
start 2
expect_logs_equal
expect_damage 1
expect_damage 2
append_lines 10
expect_logs_equal
for id in 1 2; do
  expect_intact $id
  start $id
done
await_leader 1 2 3

start_case "a running server's files are flipped, zeroed, cut and swapped"
damage_running() {
  note_damages "$1"
  "${@:2}"
  expect_logs_equal
  expect_damage "$1"
  append_lines 10
  expect_logs_equal
  expect_intact "$1"
  start "$1"
  await_leader 1 2 3
}
flip_and_zero() { flip "$(segment 2 1)" 123456; zero "$(segment 2 2)" 20 2; }
damage_running 2 flip_and_zero
damage_running 1 cut_one 1
# It has both open, and goes on; its next start finds them under the wrong names.
note_damages 3
swap_two 3
append_lines 10
expect_logs_equal
terminate 3
start 3
expect_logs_equal
expect_damage 3
expect_intact 3
start 3
await_leader 1 2 3

start_case "a block that the device refuses to read"
terminate 3
start_on_faulty_disk 3
await_leader 1 2 3
append_lines 10
file=$(segment 3 2)
note_damages 3
order 3 read-error "$(stat -c %i "$file") 200000"
expect_logs_equal
expect_damage 3
expect_intact 3
start_on_faulty_disk 3
revoke 3 read-error

start_case "writes that fail end a server, with the reason, and lose nothing"
expect_logs_equal
order 3 write-error
append_lines 100
await_end 3 'write .*Input/output error'
revoke 3 write-error
start_on_faulty_disk 3
expect_logs_equal
expect_intact 3
start_on_faulty_disk 3

start_case "so do syncs"
order 3 sync-error
append_lines 100
await_end 3 'sync .*Input/output error'
revoke 3 sync-error
start_on_faulty_disk 3
expect_logs_equal
expect_intact 3
start_on_faulty_disk 3
await_leader 1 2 3

start_case "a leader whose disk hangs hands over in time, and still answers"
leads() { find_leader 1 2 3 && [ "$leader" = 3 ]; }
lead_by_3() {
  run "$holdfast" transfer --servers="$servers" "${client[@]}" --to=3 --timeout=20s
  leads
}
# Servers $2... have said $1 since server 3's disk hangs; of the first of them,
# after so many milliseconds, into `took_ms`.
said_since() {
  local said
  hangs 3 || return
  said=$(cd "$work" && cat "${@:2}" |
    awk -v since="$(hung_since 3)" -v what="$1" '
      $1 >= since && index($0, what) { print $1 }' | sort | head -n 1)
  [ -n "$said" ] &&
    took_ms=$(($(date -d "${said#time=}" +%s%3N) -
      $(date -d "$(hung_since 3 | cut -d= -f2)" +%s%3N)))
}
# By the servers' own clock. 1.5 s is what it may take to step down, and as much
# again is enough for an election: this is four times that, on a busy machine.
expect_said_within() {
  await "\"$2\" of ${*:3}" said_since "$2" "${@:3}"
  echo "\"$2\" of ${*:3} after $took_ms ms"
  [ "$took_ms" -le "$1" ] || fail "expected that within $1 ms, found $took_ms"
}
for what in hang hang-write; do
  await "server 3 to lead" lead_by_3
  rm -f "$work/order3/hung"
  order 3 $what
  append_lines 10
  expect_said_within 6000 'event=role role=follower' node3.log
  expect_said_within 12000 'event=role role=leader' node1.log node2.log
  await_leader 1 2
  status_line 3 | grep -q ', follower, ' ||
    fail "expected a follower's status of server 3"
  revoke 3 $what
  append_lines 10
  expect_logs_equal
done
expect_intact 3
start_on_faulty_disk 3
await_leader 1 2 3

start_case "a leader whose reads hang leads on, and only who reads there waits"
# Anew, it has in memory only what it read at its start: the log's end.
await "server 3 to lead" lead_by_3
append_lines 10
count_roles() { grep -c 'event=role' "$work/node3.log"; }
roles=$(count_roles)
rm -f "$work/order3/hung"
order 3 hang-read
append_lines 10
run "$holdfast" read --servers="$(address 3)" "${client[@]}" --local --from=0 \
  --count=1 --timeout=3s
if [ "$code" = 0 ] || [ -s "$work/out" ]; then
  fail "expected no answer to a read at server 3"
fi
hangs 3 || fail "expected a read that hangs"
append_lines 1000
status_line 3 | grep -q ', leader, ' || fail "expected a leader's status of server 3"
for id in 1 2; do
  await "$(wc -l < "$work/all") lines at server $id" has_all $id
  cmp "$work/all" "$work/read$id" || fail "expected all of the log at server $id"
done
[ "$(count_roles)" = "$roles" ] || fail "expected server 3 to lead all the while"
revoke 3 hang-read
append_lines 10
expect_logs_equal
expect_intact 3
start 3
await_leader 1 2 3

start_case "the power of all three fails, and fails again"
# Little at a time, so that something is always under way.
feed() {
  local n
  for ((n = 0; n < 40; n++)); do
    seq -f "batch $batch line $n %.0f $(printf '%0200d' 0)" 100 |
      tee -a "$work/fed$round"
    sleep 0.02
  done
}
acknowledged_beyond() { [ "$(wc -l < "$work/out")" -gt "$1" ]; }
for id in 1 2 3; do
  terminate $id
  start_on_volatile_disk $id
done
await_leader 1 2 3
: > "$work/losses"
for round in 1 2 3 4; do
  batch=$((batch + 1))
  : > "$work/fed$round"
  : > "$work/out"
  feed | timeout -k 5 $patience "$holdfast" append --servers="$servers" \
    "${client[@]}" --timeout=60s --print-offsets \
    > "$work/out" 2> "$work/err.log" &
  appending=$!
  await "appends" acknowledged_beyond $((round * 500))
  kill -KILL "${pid[@]}" 2> /dev/null
  kill "$appending" 2> /dev/null
  wait "${pid[@]}" "$appending" 2> /dev/null
  pid=()
  head -n "$(wc -l < "$work/out")" "$work/fed$round" >> "$work/all"
  for id in 1 2 3; do
    "$PWD/tests/lose_power" "$work/volatile$id" "$work/data$id" "$round$id" \
      >> "$work/losses" || fail "lose_power $work/data$id"
    start_on_volatile_disk $id
  done
  await_leader 1 2 3
  expect_acknowledged
  expect_logs_equal
done
grep -q '[1-9][0-9]* torn' "$work/losses" ||
  fail "expected torn writes, found: $(cat "$work/losses")"
for id in 1 2 3; do
  expect_intact $id
  start $id
done
await_leader 1 2 3

start_case "what no server has is named, and all else is read"
# The same part of the oldest segment, of records that no start needs to read.
for id in 1 2 3; do
  terminate $id
  cp "$(segment $id 1)" "$work/kept$id"
  zero "$(segment $id 1)" 20 60
  start_node $id --bootstrap="$bootstrap" --reserve-mib=2 \
    --scrub-mib-per-second=0
done
await_leader 1 2 3
run "$holdfast" read --servers="$servers" "${client[@]}" --timeout=60s
expect_code 1
expect_line "records from offset [0-9]* up to [0-9]* \(exclusive\) are lost"
run "$holdfast" read --servers="$servers" "${client[@]}" --timeout=60s --skip-lost
expect_code 0
read -r from end < <(sed -n \
  's/.* from offset \([0-9]*\) up to \([0-9]*\) .*/\1 \2/p' "$work/err.log")
[ $((end - from)) -gt 100 ] || fail "expected more to be lost than $from to $end"
cmp <(sed "$((from + 1)),${end}d" "$work/all") "$work/out" ||
  fail "expected all lines but those from $from to $end"
run "$holdfast" tail --servers="$servers" "${client[@]}" --timeout=60s --skip-lost
cmp <(sed "$((from + 1)),${end}d" "$work/all") "$work/out" ||
  fail "expected the same of a tail"
status_of "$leader" | grep -q "records are lost, .* $from to $end" ||
  fail "expected a status that says so"
append_lines 10
# One disk's mirror brings it back, for all.
file=$(segment 2 1)
terminate 2
cp "$work/kept2" "$file"
start 2
for id in 1 3; do
  terminate $id
  start $id
done
await_leader 1 2 3
expect_logs_equal
for id in 1 2 3; do
  expect_intact $id
  start $id
done
await_leader 1 2 3

# As long as there is room; so little at once that the reserve is more.
fill() {
  batch=$((batch + 1))
  seq -f "batch $batch fills %.0f $(printf '%0200d' 0)" 2000 > "$work/input"
  input=$work/input run "$holdfast" append --servers="$servers" \
    "${client[@]}" --timeout=2s --print-offsets
  head -n "$(wc -l < "$work/out")" "$work/input" >> "$work/all"
  [ "$code" != 0 ]
}

is_full() { status_of "$1" | grep -q 'full'; }

start_case "a full file system refuses records until there is room"
if [ "$DISKS_TEST_MOUNTS" = yes ]; then
  for id in 1 2 3; do
    terminate $id
    mkdir "$work/small$id"
    mount -t tmpfs -o size=24m tmpfs "$work/small$id" || fail "can't mount"
    mv "$work/data$id" "$work/small$id/data"
    ln -s "$work/small$id/data" "$work/data$id"
    start $id
  done
  await_leader 1 2 3
  await "a full disk" fill
  expect_code 3
  grep -Eq 'disk is full|disks of too many servers are full' "$work/err.log" ||
    fail "expected the reason, found: $(head -c 500 "$work/err.log")"
  is_full "$leader" || fail "expected a status that says so"
  for id in 1 2 3; do
    kill -0 "${pid[$id]}" 2> /dev/null || fail "server $id has ended"
  done
  # The leader may end and another one be elected.
  find_leader 1 2 3
  terminate "$leader"
  start "$leader"
  await_leader 1 2 3
  # Somebody makes room elsewhere on the disk...
  for id in 1 2 3; do mount -o remount,size=32m "$work/small$id"; done
  append_lines 100
  expect_acknowledged
  expect_logs_equal
  # ... or trims the log.
  await "a full disk" fill
  kept_from=20000
  ops trim --before=$kept_from
  expect_code 0
  append_lines 100
  expect_logs_equal

  start_case "a server that is full alone is helped by a trim, too"
  find_leader 1 2 3
  alone=$((leader % 3 + 1))
  for id in 1 2 3; do
    [ $id = $alone ] || mount -o remount,size=96m "$work/small$id"
  done
  # More than it has room for, and than its reserve holds.
  append_lines 60000
  await "server $alone to be full" is_full $alone
  kept_from=80000
  ops trim --before=$kept_from
  expect_code 0
  append_lines 100
  expect_logs_equal
else
  echo "SKIPPED: a full file system: nothing can be mounted here"
fi

start_case "a log that may not become longer refuses records until it is trimmed"
for id in 1 2 3; do
  expect_intact $id
  start $id --max-log-bytes=20000000
done
await_leader 1 2 3
await "a log of 20 MB" fill
expect_code 3
grep -q 'may have at most 20000000: trim it' "$work/err.log" ||
  fail "expected the reason, found: $(head -c 500 "$work/err.log")"
kept_from=$(($(wc -l < "$work/all") - 40000))
ops trim --before=$kept_from
expect_code 0
append_lines 100
expect_logs_equal
for id in 1 2 3; do expect_intact $id; done

echo "all is well: $(wc -l < "$work/all") lines, $SECONDS s"
