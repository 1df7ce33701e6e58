#!/usr/bin/env bash
# A cluster of real processes that grows from one server to five and shrinks
# back to one, while a client appends all the time: through transfers, kill -9 of
# the leader, the replacement of a dead server, a moved address, and requests
# that make no sense. Nothing acknowledged is lost, twice or out of order.
# HOLDFAST_BIN: another binary than the one Bazel built.
# shellcheck source=tests/processes.sh
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

# All servers that there ever are; the client finds its way.
servers=$(address 1),$(address 2),$(address 3),$(address 4),$(address 5)
client=(--certs="$certs" --as=ops)

# --- The client that appends all the time ---

# Lines without end, until told otherwise; all of them are in $work/fed, too.
feed() {
  local n=0
  until [ -e "$work/stop" ]; do
    seq -f 'line %.0f' $((n + 1)) $((n + 100)) | tee -a "$work/fed"
    n=$((n + 100))
    sleep 0.05
  done
}

begin_appends() {
  mkfifo "$work/pipe"
  : > "$work/offsets"
  "$holdfast" append --servers="$servers" --certs="$certs" --as=app \
    --timeout=80s --print-offsets --file="$work/pipe" \
    > "$work/offsets" 2> "$work/append.log" &
  append_pid=$!
  feed > "$work/pipe" &
  feed_pid=$!
  extra_pids+=("$append_pid" "$feed_pid")
}

acknowledged() { wc -l < "$work/offsets"; }
acknowledged_beyond() { [ "$(acknowledged)" -gt "$1" ]; }
# More than can have been under way when this was called.
expect_progress() {
  await "appends to go on behind offset $(acknowledged)" \
    acknowledged_beyond $(($(acknowledged) + 1000))
  kill -0 "$append_pid" 2>/dev/null || fail "append has ended"
}

# Each line is in the log once, in order; append says so, and a read of all.
expect_all_appended() {
  touch "$work/stop"
  wait "$feed_pid"
  await "the end of append" process_gone "$append_pid"
  wait "$append_pid"
  code=$?
  [ $code = 0 ] || fail "expected exit code 0 of append, found $code"
  local lines
  lines=$(wc -l < "$work/fed")
  seq 0 $((lines - 1)) > "$work/expected"
  cmp "$work/expected" "$work/offsets" > "$work/cmp" 2>&1 ||
    fail "expected the offsets 0 to $((lines - 1)): $(cat "$work/cmp")"
  timeout -k 5 120 "$holdfast" read --servers="$(address "$1")" "${client[@]}" \
    --from=0 --timeout=60s > "$work/read" 2> "$work/read.log" ||
    fail "expected exit code 0 of read, found $?"
  cmp "$work/fed" "$work/read" > "$work/cmp" 2>&1 ||
    fail "expected all lines, once and in order: $(cat "$work/cmp")"
}

# --- The operator ---

leave() {
  ops leave --id="$1"
  expect_done "server $1 left"
}

# $live: the members. without ID: the others of them.
live=(1)
without() {
  local id
  for id in "${live[@]}"; do [ "$id" = "$1" ] || printf '%s ' "$id"; done
}

# --- The cases ---

start_case "one server, and a client that appends"
make_ca
for id in 1 2 3 4 5 6; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
issue --client=ops --role=admin
start_node 1 --bootstrap="1=$(address 1)"
await_leader 1
begin_appends
expect_progress

start_case "the last voter can't leave, nor hand over"
ops leave --id=1
expect_code 1
expect_line 'voter'
ops transfer --timeout=2s
[ "$code" = 1 ] || [ "$code" = 3 ] || fail "expected exit code 1 or 3, found $code"
expect_line 'transfer of leadership'
voters 1 1

start_case "servers 2 and 3 join, one after another"
for id in 2 3; do
  start_waiting $id
  join $id
  live+=("$id")
  voters 1 "${live[@]}"
  expect_progress
done
voters 3 1 2 3
join 2  # it is so already
voters 1 1 2 3

start_case "servers 4 and 5 join, 4 as a learner first"
start_waiting 4
start_waiting 5
join 4 --learner
await "server 4 as a learner" members_are 1 "1:voter 2:voter 3:voter 4:learner "
expect_progress
join 4
join 5
live+=(4 5)
voters 1 1 2 3 4 5
voters 5 1 2 3 4 5
expect_progress

start_case "requests that make no sense, or that not everybody may make"
# Another server under a member's id.
port[2]=7
"$holdfast" node --id=2 --listen="$(address 2)" --data-dir="$work/posing" \
  --certs="$certs" --join 2>> "$work/posing.log" &
extra_pids+=("$!")
posing=$!
await "the second server 2 to wait" waits 2
ops join --id=2 --address="$(address 2)"
expect_code 1
expect_line 'join of server 2: .*(member|data directory)'
kill -KILL "$posing"
wait "$posing" 2>/dev/null
unset "port[2]"
ops join --id=6 --address="$(address 3)"
expect_code 1
expect_line "join of server 6: .*server 3"
ops leave --id=6
expect_code 1
expect_line 'leave of server 6: .*server 6'
ops leave --id=5,6
expect_code 1
ops leave --id=1,2,3,4,5
expect_code 1
expect_line 'voter'
ops transfer --to=6
expect_code 1
expect_line 'transfer of leadership: .*server 6'
run "$holdfast" leave --servers="$servers" --certs="$certs" --as=app --id=5
expect_code 1
expect_line 'role admin'
run "$holdfast" join --servers="$servers" "${client[@]}" --id=6
expect_code 2
expect_line '--address'
ops join --id=6 --address=nonsense
expect_code 2
expect_line 'HOST:PORT'
ops leave --id=x
expect_code 2
run "$holdfast" node --id=6 --listen="$(address 6)" --data-dir="$work/data6" \
  --certs="$certs" --join --bootstrap="6=$(address 6)"
expect_code 2
expect_line 'only one of'
voters 1 1 2 3 4 5
expect_progress

start_case "a server that isn't running can't join"
ops join --id=6 --address="$(address 6)" --timeout=3s
[ "$code" = 1 ] || [ "$code" = 3 ] || fail "expected exit code 1 or 3, found $code"
expect_line "join of server 6: .*$(address 6)"
voters 1 1 2 3 4 5
expect_progress

start_case "leadership is handed over, to anybody and back"
await_leader "${live[@]}"
old=$leader
ops transfer
expect_done "leadership was handed over"
# shellcheck disable=SC2046
await_leader $(without "$old")
expect_progress
ops transfer --to="$old"
expect_done "server $old leads"
await_leader "$old"
ops transfer --to="$old"  # it is so already
expect_done "server $old leads"
expect_progress

start_case "kill -9 of the leader, and another server in its place"
await_leader "${live[@]}"
old=$leader
stop_hard "$old"
# shellcheck disable=SC2046
await_leader $(without "$old")
expect_progress
leave "$old"
# shellcheck disable=SC2046
voters "$leader" $(without "$old")
rm -rf "$work/data$old"
start_waiting "$old"
join "$old"
voters "$old" "${live[@]}"
expect_progress

start_case "a server's directory comes back as it was once"
await_leader "${live[@]}"
back=$((leader % 5 + 1))
terminate "$back"
cp -a "$work/data$back" "$work/copy"
start_node "$back" --join
voters "$back" "${live[@]}"
expect_progress
stop_hard "$back"
mv "$work/data$back" "$work/newer"
mv "$work/copy" "$work/data$back"
# It stops as soon as another server tells it, and doesn't start again.
for _ in 1 2; do
  start_node "$back" --join
  await "the end of server $back" process_gone "${pid[$back]}"
  wait "${pid[$back]}"
  code=$?
  [ "$code" = 1 ] || fail "expected exit code 1 of server $back, found $code"
  tail -n 3 "$work/node$back.log" | grep -q 'older copy' ||
    fail "expected a word of the older copy: $(tail -n 3 "$work/node$back.log")"
done
expect_progress
leave "$back"
rm -rf "$work/data$back"
start_waiting "$back"
join "$back"
voters "$back" "${live[@]}"
expect_progress

start_case "a server moves to another address"
await_leader "${live[@]}"
moved=$((leader % 5 + 1))
terminate "$moved"
port[$moved]=8
# It may be the only one left in the end.
servers=$servers,$(address "$moved")
start_node "$moved" --join --advertise="$(address "$moved")"
join "$moved"
moved_is_known() { status_of "$leader" | grep -q "member $moved at $(address "$moved"), voter\$"; }
await "server $moved at $(address "$moved")" moved_is_known
voters "$moved" "${live[@]}"
expect_progress

start_case "servers leave, 5 and 4 first, then whoever leads"
leave_and_go_on() {
  local gone=$1
  leave "$gone"
  # shellcheck disable=SC2207
  live=($(without "$gone"))
  await_leader "${live[@]}"
  voters "$leader" "${live[@]}"
  expect_progress
}
# It goes on running, and disturbs nobody.
leave_and_go_on 5
leave_and_go_on 4
stop_hard 4
while [ ${#live[@]} -gt 1 ]; do
  await_leader "${live[@]}"
  last=$leader
  leave_and_go_on "$last"
  stop_hard "$last"
done
ops leave --id="${live[0]}"
expect_code 1
expect_line 'voter'
voters "${live[0]}" "${live[0]}"

start_case "the log has each line once, in order"
expect_all_appended "${live[0]}"

start_case "trimmed lines are gone, and the others still there after a restart"
lines=$(wc -l < "$work/fed")
half=$((lines / 2))
ops trim --before=$((lines + 1))
expect_code 1
expect_line "end, $lines"
ops trim --before=$half
expect_done "the log begins at offset $half or later"
stop_hard "${live[0]}"
start_node "${live[0]}"
await_leader "${live[0]}"
ops read --from=$half
expect_code 0
tail -n +$((half + 1)) "$work/fed" | cmp - "$work/out" ||
  fail "expected the lines from $half on"
ops read --from=$((half - 1))
expect_code 1
expect_line "offset $((half - 1)) was trimmed"
terminate "${live[0]}"
echo "all is well: $(wc -l < "$work/fed") lines, $SECONDS s"
