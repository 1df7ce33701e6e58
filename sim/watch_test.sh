#!/bin/bash
# simulate's --trace, --html, --goto and --dump: what they write, that the run
# stays the same, and what is said of bad flags.
set -euo pipefail

simulate="$PWD/$1"
cd "$TEST_TMPDIR"
common=(--seed=3 --duration=3s --tape-dir=.)

fail() {
  echo "watch_test: $*" >&2
  exit 1
}

hash_of() {
  "$simulate" "${common[@]}" --json "$@" | grep -o '"trace_hash":"[0-9a-f]*"'
}

# The same run with and without: by its hash, and within one process, where the
# second run isn't watched.
alone="$(hash_of)"
[[ -n "$alone" ]] || fail "no trace hash"
for flags in "--trace=run.txt" "--html=run.html" "--dump" \
  "--trace=part.txt --html=part.html --from=1s --to=1500ms"; do
  # shellcheck disable=SC2086 # several flags
  [[ "$(hash_of $flags)" == "$alone" ]] || fail "$flags changes the run"
done
"$simulate" "${common[@]}" --trace=again.txt --check-determinism >/dev/null ||
  fail "a watched run differs from one that isn't"
cmp run.txt again.txt || fail "two traces of one run differ"

grep -q '^#1 .* server 1 ' run.txt || fail "no first event in the trace"
(($(wc -l <part.txt) < $(wc -l <run.txt))) || fail "--from, --to do nothing"
grep -q '<title>Holdfast, seed 3</title>' run.html || fail "no page"

# To an event, and its line alone or with all that is there.
line="$("$simulate" "${common[@]}" --goto=1000)"
[[ "$line" == "$(grep '^#1000 ' run.txt)" ]] || fail "--goto: $line"
"$simulate" "${common[@]}" --goto=1000 --dump >dump.txt
grep -q '^after event 1000, at ' dump.txt || fail "--dump: $(cat dump.txt)"
grep -q '^server 1: ' dump.txt || fail "--dump shows no server"

# refused MESSAGE FLAG...
refused() {
  local message=$1 code=0
  shift
  "$simulate" "${common[@]}" "$@" >out.txt 2>err.txt || code=$?
  ((code == 64)) || fail "$*: exit code $code"
  grep -qF -- "$message" err.txt || fail "$*: $(head -1 err.txt)"
}
refused "bad value in --goto=0" --goto=0
refused "bad value in --from=3" --trace=x --from=3
refused "bad value in --to=1.x5s" --trace=x --to=1.x5s
refused "bad value in --html=" --html=
refused "--from is later than --to" --trace=x --from=2s --to=1s
refused "give one of these, too" --from=2s
refused "leave --seeds away" --seeds=2 --html=x
refused "leave --goto away" --goto=5 --check-determinism
refused "can't write no/such/folder" --trace=no/such/folder
refused "the run has only" --goto=999999999 --dump
