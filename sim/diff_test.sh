#!/bin/bash
# simulate diff: runs that are alike pass, a program that goes astray is pinned
# to its first event, broken runs don't pass, and bad input is refused.
set -euo pipefail

simulate="$PWD/$1"
# simulate that goes astray as HOLDFAST_ASTRAY says (testing/astray_main.cc).
astray="$PWD/$2"
cd "$TEST_TMPDIR"
run=(--seed=3 --duration=2s)

fail() {
  echo "diff_test: $*" >&2
  cat out.txt err.txt >&2
  exit 1
}

# ends CODE COMMAND...: it exits so; what it says is in out.txt and err.txt.
ends() {
  local expected=$1 code=0
  shift
  "$@" >out.txt 2>err.txt || code=$?
  ((code == expected)) || fail "$*: exit code $code, expected $expected"
}

# says TEXT: the last command did.
says() {
  grep -qF -- "$1" out.txt err.txt || fail "nothing says \"$1\""
}

# --- The same ---

ends 0 "$simulate" diff "${run[@]}" --seeds=2 --jobs=2
says "2 of 2 seeds run alike, 0 of these end other than ok"
[[ ! -s err.txt ]] || fail "errors"
ends 0 "$simulate" diff "${run[@]}" --with="$astray" --json
says '"not_ok":0'
hash="$(grep -o '"trace_hash":"[0-9a-f]*"' out.txt)"
ends 0 "$simulate" "${run[@]}" --json
says "$hash"

# What one run tells: it comes to the hash of the summary.
ends 0 "$simulate" "${run[@]}" --hashes
[[ "$(head -1 out.txt)" == "holdfast-hashes 1" ]] || fail "no first line"
last="$(grep -B1 -x outcome out.txt | head -1)"
[[ "$hash" == *"${last#* }"* ]] || fail "the last hash is not the run's"

# --- Astray from the 40th event of the world on ---

"$simulate" "${run[@]}" --trace=true.txt >/dev/null
line="$(awk '$1 != "#0" && $3 == "world"' true.txt | sed -n 40p)"
number="${line%% *}"
number="${number#\#}"

# astray WAY CODE FLAG...: against simulate, which doesn't go astray.
astray() {
  export HOLDFAST_ASTRAY=$1:40
  ends "$2" "$simulate" diff "${run[@]}" --with="$astray" --tape-dir=. "${@:3}"
  unset HOLDFAST_ASTRAY
}

# The other's hashes differ, its trace doesn't.
astray draw 4
says "seed 3: event $number is the first that differs"
(($(grep -cxF -- "$line" err.txt) == 2)) || fail "not both programs' lines"
says "$(grep "^#$((number - 1)) " true.txt)"
says "(alike: "
says " --goto=$number --before=5"
# The commands that it names show the same.
show="$(grep -F -- "$astray --seed=3" err.txt)"
ends 0 bash -c "$show"
(($(wc -l <out.txt) == 6)) || fail "--before=5 shows other lines"
says "$line"

# An event more, which happens after the one that schedules it.
HOLDFAST_ASTRAY=event:40 "$astray" "${run[@]}" --trace=astray.txt >/dev/null
first="$({ cmp true.txt astray.txt || true; } | sed 's/.*line //')"
more="$(sed -n "${first}p" astray.txt)"
[[ "$more" == *" world "*" harness"* ]] || fail "no event more: $more"
astray event 4
says "event $((number + 1)) is the first that differs"
says "$(sed -n "${first}p" true.txt)"
says "$more"

# By what its environment is like, which differs in the two processes.
export HOLDFAST_ASTRAY=environment:40
ends 4 "$astray" diff "${run[@]}" --seeds=3 --jobs=2
says "seed 3: event $number is the first that differs"
says "this program again:"
unset HOLDFAST_ASTRAY

# --- Other ends ---

# It breaks behind that event, or within it.
astray violation 4
says "event $((number + 1)) is the first that differs"
says "ended correctness: planted was given offset 3"
astray check 4
says "event $number is the first that differs"
says "CHECK failed: way != "
# What a process had to tell when it was killed is lost.
astray exit 4
says "one process ends without a verdict, in event "
says "the process ended with exit code 7"
astray late 4
says "all events are the same, but not what came of them"
says "ended crash: behind its end the process ended with exit code 7"

# In both programs: alike, and not passed over.
for way in violation:1 check:3 exit:3; do
  export HOLDFAST_ASTRAY=${way%:*}:40
  ends "${way#*:}" "$astray" diff "${run[@]}" --seeds=2 --jobs=2 --tape-dir=.
  says "2 of 2 seeds run alike, 2 of these end other than ok"
  says "2 failed: "
done
unset HOLDFAST_ASTRAY

# --- Other options, other formats, no program ---

# program LINE...: makes ./program, a script.
program() {
  printf '%s\n' '#!/bin/bash' "$@" >program
  chmod +x program
}

program "exec '$simulate' \"\${@/--nodes=3/--nodes=4}\""
ends 4 "$simulate" diff "${run[@]}" --nodes=3 --with=./program
says "what is run differs"
says "option nodes 3"
says "option nodes 4"

# refused MESSAGE FLAG...: in one line.
refused() {
  ends 64 "$simulate" diff "${run[@]}" "${@:2}"
  says "$1"
  (($(wc -l <err.txt) == 1)) || fail "not one line"
}

program "echo holdfast-hashes 0"
refused "./program doesn't tell its run: it ended with exit code 0" \
  --with=./program
program "exec '$simulate' --no-such-flag"
refused "doesn't tell its run: simulate: unknown flag" --with=./program
refused "can't run ./nothing: No such file" --with=./nothing
refused "can't run ./true.txt: Permission denied" --with=./true.txt
refused "can't run /: " --with=/
refused "bad value in --with=: expected a program" --with=
refused "--tape is of another command" --tape=a.tape
refused "--check-determinism is of another command" --check-determinism
refused "--hashes is of another command" --hashes
refused "unknown flag --goto=3" --goto=3
refused "unknown flag --foo" --foo
ends 64 "$simulate" "${run[@]}" --with=./program
says "--with is of another command"
ends 64 "$simulate" "${run[@]}" --hashes --json
says "--hashes tells of one run, and nothing else"
ends 64 "$simulate" "${run[@]}" --hashes --goto=3
says "--hashes tells of one run, and nothing else"
ends 64 "$simulate" "${run[@]}" --before=3
says "--before is for --goto"
