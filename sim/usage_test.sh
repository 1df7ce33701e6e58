#!/bin/bash
# What simulate can't make sense of, it says in one line, and ends with 64.
set -euo pipefail
cd "$TEST_SRCDIR/$TEST_WORKSPACE"
simulate=$1
tapes=$TEST_TMPDIR

refused() {
  local code=0 said
  said=$("$simulate" "$@" 2>&1 >/dev/null) || code=$?
  if [[ $code != 64 || $(wc -l <<<"$said") != 1 || $said != simulate:* ]]; then
    echo "simulate $*: exit code $code and \"$said\"" >&2
    exit 1
  fi
  echo "$said"
}

tape() { printf '%s\n' "$@" >"$tapes/a.tape"; }

refused --nodes=0
refused --nodes=3 --nodes=5
refused --damage=off --beyond-model
refused --settle=off --minority-down=on
refused --changes=off --spares=2
refused campaign --changes=off --spares=2
refused --reads=off --tails=off --names-servers=on
refused --foo
refused nonsense
refused exhaustive --nodes=5
refused exhaustive --seeds=0
refused exhaustive --tape=/nonexistent
refused exhaustive nonsense
refused --exhaustive
refused --rare-paths=/nonexistent
refused --rare-paths=/dev/null,/nonexistent
refused --tape=/nonexistent
tape "holdfast-tape 2" "option seed 3" "fault net/reset 1001 3.0 0x5"
refused "--tape=$tapes/a.tape"
tape "holdfast-tape 2" "option seed 3" "fault net/rest 1001 3.0 0x5" "end 1"
refused "--tape=$tapes/a.tape"
tape "holdfast-tape 1" "option seed 3" "end 0"
refused "--tape=$tapes/a.tape"
tape "holdfast-tape 2" "option seed 3" "option duration 500ms" "end 0"
refused "--tape=$tapes/a.tape" --seed=4
refused "--tape=$tapes/a.tape" --seeds=2
tape "holdfast-tape 2" "option seed 3" "option seed 4" "end 0"
said=$(refused "--tape=$tapes/a.tape")
[[ $said == *"the option seed is there twice"* ]]
# A seed may draw what one wouldn't ask for.
tape "holdfast-tape 2" "option seed 3" "option duration 500ms" \
  "option spares 2" "option changes off" "end 0"
"$simulate" "--tape=$tapes/a.tape"
# And that one is good, too.
tape "holdfast-tape 2" "option seed 3" "option duration 500ms" "end 0"
"$simulate" "--tape=$tapes/a.tape"
# Of other code: refused, unless it doesn't say so. What git has where simulate is
# called doesn't matter.
mkdir "$TEST_TMPDIR/.git"
echo 1111 >"$TEST_TMPDIR/.git/HEAD"
export BUILD_WORKSPACE_DIRECTORY=$TEST_TMPDIR
run=(campaign --seeds=1 --duration=500ms "--state=$TEST_TMPDIR/state")
"$simulate" "${run[@]}"
code=$(sed -n 's/^code //p' "$TEST_TMPDIR/state")
[[ $code =~ ^[0-9a-f]{16}$ ]]
tape "holdfast-tape 2" "code 2222" "revision 3333" "option duration 500ms" \
  "end 0"
said=$(refused "--tape=$tapes/a.tape")
[[ $said == *"expected a run of code $code, "*"found one of code 2222, run where \
git's HEAD was 3333: "* ]]
tape "holdfast-tape 2" "code $code" "revision 3333" "option duration 500ms" \
  "end 0"
"$simulate" "--tape=$tapes/a.tape"
# So it is with the state of a campaign.
"$simulate" "${run[@]}"
sed -i "s/^code .*/code 2222/" "$TEST_TMPDIR/state"
said=$(refused "${run[@]}")
[[ $said == *"expected \"code $code\", found \"code 2222\": "* ]]
