#!/usr/bin/env bash
# Three real processes over mutual TLS on loopback: through kill -9 and SIGSTOP
# of the leader, and against wrong certificates, garbage and bad command lines.
# HOLDFAST_BIN: another binary than the one Bazel built.
# shellcheck source=tests/processes.sh
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

servers=$(address 1),$(address 2),$(address 3)
bootstrap=1=$(address 1),2=$(address 2),3=$(address 3)

# shellcheck disable=SC2086
start() { start_node "$1" ${2-"--bootstrap=$bootstrap"}; }

# Appends n more lines and expects all of them acknowledged.
batch=0
append_lines() {
  batch=$((batch + 1))
  seq -f "batch $batch line %.0f" "$1" > "$work/input"
  input=$work/input run "$holdfast" append --servers="$servers" \
    "${client[@]}" --timeout=60s --print-offsets
  expect_code 0
  expect_offsets "$work/input" "$work/out"
}

# The offsets that append printed for the lines in $1 are $2; the lines are
# part of the log from here on.
expect_offsets() {
  local before lines
  before=$(wc -l < "$work/all")
  lines=$(wc -l < "$1")
  seq "$before" $((before + lines - 1)) > "$work/expected"
  cmp -s "$work/expected" "$2" ||
    fail "expected the offsets $before to $((before + lines - 1)), found" \
      "$(wc -l < "$2") of them: $(head -n 1 "$2") to $(tail -n 1 "$2")"
  cat "$1" >> "$work/all"
}

# The three processes of before run still, and serve.
expect_servers_go_on() {
  local id
  for id in 1 2 3; do
    kill -0 "${pid[$id]}" 2>/dev/null || fail "server $id has ended"
  done
  append_lines 5
}

# --- The cases ---

start_case "certificates and a first leader"
make_ca
for id in 1 2 3; do issue --node=$id --hosts=127.0.0.1; done
issue --client=app
for id in 1 2 3; do start $id; done
await_leader 1 2 3

start_case "appended lines are at every server"
append_lines 1000
expect_logs_equal

start_case "a long line and an empty one come back as they were"
{ head -c 300000 /dev/zero | tr '\0' x; echo; echo; } > "$work/input"
input=$work/input run "$holdfast" append --servers="$servers" "${client[@]}" \
  --timeout=60s --print-offsets
expect_code 0
expect_offsets "$work/input" "$work/out"
expect_logs_equal

# Appends go on while $1 happens to the leader: the first lines are under way
# then, the others are given only afterwards.
append_through() {
  batch=$((batch + 1))
  seq -f "batch $batch line %.0f" 20000 > "$work/through"
  rm -f "$work/pipe"
  mkfifo "$work/pipe"
  : > "$work/offsets"
  "$holdfast" append --servers="$servers" "${client[@]}" --timeout=80s \
    --print-offsets --file="$work/pipe" > "$work/offsets" 2> "$work/append.log" &
  append_pid=$!
  extra_pids+=("$append_pid")
  exec 4> "$work/pipe"
  head -n 10000 "$work/through" >&4 &
  local feeder=$!
  await "the first acknowledgement" test -s "$work/offsets"
  "$@"
  wait "$feeder"
  tail -n +10001 "$work/through" >&4 &
  feeder=$!
  wait "$feeder"
  exec 4>&-
  await "the end of append" process_gone "$append_pid"
  wait "$append_pid"
  code=$?
  [ $code = 0 ] || fail "expected exit code 0 of append, found $code"
  expect_offsets "$work/through" "$work/offsets"
}
others_of() {
  local id
  for id in 1 2 3; do [ $id = "$1" ] || printf '%s ' $id; done
}

start_case "kill -9 of the leader amid appends"
await_leader 1 2 3
old=$leader
kill_leader() { kill -KILL "${pid[$old]}"; wait "${pid[$old]}" 2>/dev/null; }
append_through kill_leader
# shellcheck disable=SC2046
await_leader $(others_of "$old")
start "$old"
expect_logs_equal

start_case "SIGSTOP of the leader amid appends"
await_leader 1 2 3
old=$leader
stop_leader() { kill -STOP "${pid[$old]}"; }
append_through stop_leader
# shellcheck disable=SC2046
await_leader $(others_of "$old")
[ "$leader" != "$old" ] || fail "expected another leader than $old"
append_lines 10
kill -CONT "${pid[$old]}"
expect_logs_equal
expect_servers_go_on

start_case "a certificate of another CA"
"$holdfast" certs init --dir="$work/foreign" --cluster=process > "$work/certs.log" 2>&1 &&
  "$holdfast" certs issue --dir="$work/foreign" --client=app >> "$work/certs.log" 2>&1 ||
  fail "certs of a second CA"
echo no > "$work/no"
input=$work/no run "$holdfast" append --servers="$servers" \
  --certs="$work/foreign" --as=app --timeout=2s
[ "$code" = 1 ] || [ "$code" = 3 ] || fail "expected exit code 1 or 3, found $code"
expect_line 'certificate|CA'
expect_servers_go_on

start_case "a client's certificate used as a server's"
mkdir "$work/posing"
cp "$certs/ca.crt" "$work/posing/"
cp "$certs/client-app.crt" "$work/posing/server-3.crt"
cp "$certs/client-app.key" "$work/posing/server-3.key"
run "$holdfast" node --id=3 --listen="$(address 4)" --data-dir="$work/posing-data" \
  --bootstrap="$bootstrap" --certs="$work/posing"
expect_code 1
expect_line 'client'
expect_servers_go_on

start_case "garbage on the port"
garbage() {
  (
    exec 3<> "/dev/tcp/127.0.0.1/$((base + $1))" || exit 0
    { printf '%b' "$2"; head -c 100000 /dev/urandom; } >&3
    # Until the server hangs up, or has not for a while.
    timeout 20 cat <&3 > /dev/null
  ) 2>/dev/null
  return 0
}
for id in 1 2 3; do
  for first in '' '\x01' '\x02' '\x16\x03\x01' 'GET / HTTP/1.1\r\n\r\n'; do
    garbage $id "$first"
  done
done
expect_servers_go_on

start_case "plaintext on the TLS port"
input=$work/no run "$holdfast" append --servers="$servers" --insecure --timeout=2s
[ "$code" = 1 ] || [ "$code" = 3 ] || fail "expected exit code 1 or 3, found $code"
expect_line .
expect_servers_go_on

start_case "a reader's certificate reads and can't append"
issue --client=reader --role=read
input=$work/no run "$holdfast" append --servers="$servers" --certs="$certs" \
  --as=reader --timeout=30s
expect_code 1
expect_line 'role|may not|allow|permi'
run "$holdfast" read --servers="$servers" --certs="$certs" --as=reader \
  --from=0 --count=1 --timeout=30s
expect_code 0
[ "$(cat "$work/out")" = "$(head -n 1 "$work/all")" ] ||
  fail "expected the first line, found $(head -c 100 "$work/out")"
expect_servers_go_on

start_case "a port in use"
run "$holdfast" node --id=3 --listen="$(address 1)" --data-dir="$work/other-data" \
  --bootstrap="$bootstrap" --certs="$certs"
expect_code 1
expect_line 'in use'

start_case "a data directory in use"
run "$holdfast" node --id=1 --listen="$(address 4)" --data-dir="$work/data1" \
  --bootstrap="$bootstrap" --certs="$certs"
expect_code 1
expect_line 'in use'
expect_servers_go_on

start_case "SIGTERM, a directory of another id, and bootstrap again"
terminate 3
run "$holdfast" node --id=2 --listen="$(address 4)" --data-dir="$work/data3" \
  --bootstrap="$bootstrap" --certs="$certs"
expect_code 1
expect_line 'server 3|id 3|belongs|another'
append_lines 5
start 3
expect_logs_equal
expect_servers_go_on

start_case "a restart of all, without bootstrap"
for id in 1 2 3; do terminate $id; done
for id in 1 2 3; do start $id ''; done
await_leader 1 2 3
expect_servers_go_on
expect_logs_equal

start_case "an unknown flag and other misuse"
run "$holdfast" append --servers="$servers" "${client[@]}" --tiemout=1s
expect_code 2
expect_line 'did you mean --timeout'
run "$holdfast" node --id=1 --listen=nonsense --data-dir="$work/none" --insecure
expect_code 2
expect_line 'HOST:PORT'
run "$holdfast" frobnicate
expect_code 2
expect_line 'unknown command'

start_case "no live server"
input=$work/no run "$holdfast" append --servers="$(address 4),$(address 5)" \
  "${client[@]}" --timeout=1s
expect_code 3
expect_line .
run "$holdfast" read --servers="$(address 4)" "${client[@]}" --timeout=1s
expect_code 3
expect_line .
run "$holdfast" status --servers="$(address 4)" "${client[@]}" --timeout=1s
expect_code 3

start_case "inspect of a running server is refused"
run "$holdfast" inspect --data-dir="$work/data1"
expect_code 1
expect_line 'stop it first'

start_case "SIGTERM ends every server with 0"
expect_logs_equal
for id in 1 2 3; do terminate $id; done

start_case "inspect finds what is there, and one flipped bit"
run "$holdfast" inspect --data-dir="$work/data1"
expect_code 0
grep -q "no damage found" "$work/out" || fail "expected no damage"
grep -q "records from offset 0 on" "$work/out" || fail "expected the records"
segment=$(ls "$work"/data1/*.segment | head -n 1)
printf '\377' | dd of="$segment" bs=1 seek=5000 conv=notrunc status=none
run "$holdfast" inspect --data-dir="$work/data1"
expect_code 1
grep -q "DAMAGED: position" "$work/out" || fail "expected the damage's position"
echo "all is well: $(wc -l < "$work/all") lines, $SECONDS s"
