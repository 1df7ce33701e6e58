# Sourced by the tests of real processes over mutual TLS on loopback: their
# directory, their ports, their ends, and what is expected of commands.
# HOLDFAST_BIN: another binary than the one Bazel built.
# shellcheck shell=bash
set -uo pipefail

holdfast=${HOLDFAST_BIN:-$PWD/transport/holdfast}
[ -x "$holdfast" ] || { echo "no binary at $holdfast" >&2; exit 1; }
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/processes.XXXXXX")
case_name=setup
declare -A pid=()
extra_pids=()

stop_all() {
  trap - EXIT INT TERM
  local p
  for p in "${pid[@]}" ${extra_pids[@]+"${extra_pids[@]}"}; do
    kill -KILL "$p" 2>/dev/null
  done
  wait 2>/dev/null
  umount "$work"/small* 2>/dev/null
  rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What was expected and what was found; the ends of all logs; the end.
fail() {
  {
    echo "FAILED: $case_name: $*"
    local log
    for log in "$work"/*.log; do
      [ -s "$log" ] || continue
      echo "--- the end of $(basename "$log")"
      tail -n 15 "$log" | cut -c 1-500
    done
  } >&2
  exit 1
}

start_case() {
  case_name=$1
  echo "CASE: $case_name"
}

# The most that any one condition may take; only a failure gets there.
patience=90

# Until "$@" succeeds; what is missing after that is $1.
await() {
  local what=$1 deadline=$((SECONDS + patience))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "expected $what within $patience s"
    sleep 0.05
  done
}

# Runs a command that must end by itself. Its stdout, stderr and code are in
# $work/out, $work/err.log and $code.
run() {
  timeout -k 5 $patience "$@" > "$work/out" 2> "$work/err.log" < "${input:-/dev/null}"
  code=$?
}

expect_code() {
  [ "$code" = "$1" ] ||
    fail "expected exit code $1, found $code: $(head -c 500 "$work/err.log")"
}

# One line on stderr, with this in it.
expect_line() {
  grep -Eiq -- "$1" "$work/err.log" ||
    fail "expected a line with \"$1\", found: $(head -c 500 "$work/err.log")"
  local n
  n=$(grep -c '^holdfast: ' "$work/err.log")
  [ "$n" = 1 ] || fail "expected one line \"holdfast: ...\", found $n"
}

# Ports that nobody listens on, below those that the system gives away: base + 1
# to base + 9.
base=$((20000 + (RANDOM % 1000) * 10))
taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
choose_ports() {
  local tries n
  for ((tries = 0; tries < 100; tries++)); do
    for n in 1 2 3 4 5 6 7 8 9; do
      taken $((base + n)) && { base=$((20000 + (RANDOM % 1000) * 10)); continue 2; }
    done
    return
  done
  fail "expected nine free ports, found none in 100 tries"
}
choose_ports
# Where server $1 listens: at base + its id, if it wasn't moved.
declare -A port=()
address() { echo "127.0.0.1:$((base + ${port[$1]:-$1}))"; }

certs=$work/certs
# Issues certificates: issue --node=1 ...
issue() {
  "$holdfast" certs issue --dir="$certs" "$@" >> "$work/certs.log" 2>&1 ||
    fail "certs issue $*"
}
make_ca() {
  "$holdfast" certs init --dir="$certs" --cluster=process > "$work/certs.log" 2>&1 ||
    fail "certs init"
}
# Of every client command; the test may choose another client.
client=(--certs="$certs" --as=app)

# Small: a test's log has several segments.
segment_mib=4
# Server $1, with more flags.
start_node() {
  "$holdfast" node --id="$1" --listen="$(address "$1")" \
    --data-dir="$work/data$1" --certs="$certs" --segment-mib="$segment_mib" \
    "${@:2}" 2>> "$work/node$1.log" 4>&- &
  pid[$1]=$!
}

status_line() {
  timeout -k 5 20 "$holdfast" status --servers="$(address "$1")" "${client[@]}" \
    --timeout=5s 2>/dev/null | head -n 1
}

# leader: the one of the servers "$@" that says that it is.
# shellcheck disable=SC2034  # for the tests
leader=
# shellcheck disable=SC2034
find_leader() {
  local id line
  for id in "$@"; do
    line=$(status_line "$id")
    case $line in
      *", leader, "*) leader=$id; return 0 ;;
    esac
  done
  return 1
}
await_leader() { await "a leader among servers $*" find_leader "$@"; }

# Ends server $1 properly.
terminate() {
  kill -TERM "${pid[$1]}"
  await "the end of server $1 after SIGTERM" process_gone "${pid[$1]}"
  wait "${pid[$1]}"
  code=$?
  [ $code = 0 ] || fail "expected exit code 0 of server $1 on SIGTERM, found $code"
  grep -q 'event=closed' "$work/node$1.log" ||
    fail "expected event=closed in the log of server $1"
  unset "pid[$1]"
}
process_gone() {
  [ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# --- The operator, who knows the servers at $servers ---

# ops COMMAND FLAG...
ops() { run "$holdfast" "$1" --servers="$servers" "${client[@]}" "${@:2}"; }
# It is done, and says just this.
expect_done() {
  expect_code 0
  [ "$(cat "$work/out")" = "$1" ] ||
    fail "expected \"$1\", found \"$(head -c 300 "$work/out")\""
}
join() {
  ops join --id="$1" --address="$(address "$1")" "${@:2}"
  expect_done "server $1 joined as a $([ $# -gt 1 ] && echo learner || echo voter)"
}

status_of() {
  timeout -k 5 20 "$holdfast" status --servers="$(address "$1")" "${client[@]}" \
    --timeout=5s 2>/dev/null
}
# "1:voter 2:learner ", and "joint " if it is, as server $1 has it.
members() {
  status_of "$1" | sed -En \
    -e 's/^    member ([0-9]+) at [^,]+, ([a-z]+).*/\1:\2/p' \
    -e 's/^    joint .*/joint/p' | tr '\n' ' '
}
members_are() { [ "$(members "$1")" = "$2" ]; }
# voters SERVER-THAT-IS-ASKED VOTER...
voters() {
  local expected
  expected=$(printf '%s:voter ' "${@:2}")
  await "the voters ${*:2} at server $1" members_are "$1" "$expected"
}
waits() { status_of "$1" | head -n 1 | grep -q ', forming, '; }
start_waiting() {
  start_node "$1" --join "${@:2}"
  await "server $1 to wait to be joined" waits "$1"
}
stop_hard() {
  kill -KILL "${pid[$1]}" 2>/dev/null
  wait "${pid[$1]}" 2>/dev/null
  unset "pid[$1]"
}

# --- What the log must hold ---

# All that was ever appended, a line each, in order.
: > "$work/all"

kept_from=0  # what is before this offset was trimmed
has_all() {
  timeout -k 5 60 "$holdfast" read --servers="$(address "$1")" "${client[@]}" \
    --local --from="$kept_from" --timeout=10s > "$work/read$1" \
    2> "$work/read$1.log" &&
    [ "$(wc -l < "$work/read$1")" -ge $(($(wc -l < "$work/all") - kept_from)) ]
}

# Each of the servers 1 to 3 has every line, and nothing else.
expect_logs_equal() {
  local id
  for id in 1 2 3; do
    await "$(wc -l < "$work/all") lines at server $id" has_all $id
    tail -n "+$((kept_from + 1))" "$work/all" |
      cmp - "$work/read$id" > "$work/cmp" 2>&1 ||
      fail "expected all of the log at server $id, found: $(cat "$work/cmp")"
  done
}
