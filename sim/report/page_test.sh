#!/bin/bash
# Pages of runs in a real browser: each looks at itself (page/check.js), and
# nothing may come to the browser's console.
set -euo pipefail

violating_page="$1"
simulate="$2"

browser="$(command -v chromium || command -v chromium-browser || true)"
if [[ -z "$browser" ]]; then
  echo "there is no chromium: not tested (tools/setup --full installs it)"
  exit 0
fi

# open PAGE: prints the document as the browser made it of the page.
open() {
  local profile
  profile="$(mktemp -d "$TEST_TMPDIR/profile.XXXXXX")"
  HOME="$profile" "$browser" --headless --no-sandbox --disable-gpu \
    --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --disable-dev-shm-usage \
    --user-data-dir="$profile" --enable-logging=stderr \
    --window-size=1600,1000 --virtual-time-budget=10000 --dump-dom \
    "file://$1#check" 2>"$profile/log"
  if grep "CONSOLE" "$profile/log"; then
    echo "$1: the console should be empty" >&2
    return 1
  fi
}

# expect TEXT FILE
expect() {
  grep -qF -- "$1" "$2" && return
  echo "expected \"$1\" on the page; its check:" >&2
  sed -n '/<pre id="check">/,$p' "$2" >&2
  exit 1
}

"$violating_page" "$TEST_TMPDIR/violating.html"
open "$TEST_TMPDIR/violating.html" >"$TEST_TMPDIR/violating.dom"
expect "page check: good" "$TEST_TMPDIR/violating.dom"
expect "<strong>Violation at 2." "$TEST_TMPDIR/violating.dom"
expect "<span>linearizability: client 1 read the log to end" \
  "$TEST_TMPDIR/violating.dom"

# Some hundred thousand events.
"$simulate" --seed=1 --html="$TEST_TMPDIR/long.html"
open "$TEST_TMPDIR/long.html" >"$TEST_TMPDIR/long.dom"
expect "page check: good" "$TEST_TMPDIR/long.dom"

"$simulate" --seed=1 --tls --duration=2s --html="$TEST_TMPDIR/tls.html"
open "$TEST_TMPDIR/tls.html" >"$TEST_TMPDIR/tls.dom"
expect "page check: good" "$TEST_TMPDIR/tls.dom"
grep -o "page check:.*" "$TEST_TMPDIR/long.dom"
