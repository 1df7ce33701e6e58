#!/bin/bash
# Pages of runs in a real browser: each looks at itself (page/check.js), and
# nothing may come to the browser's console. Without a browser it says SKIPPED
# and passes, or fails if HOLDFAST_NEEDS_BROWSER is set, as by tools/test.
set -euo pipefail

violating_page="$1"
simulate="$2"

browser="$(command -v chromium || command -v chromium-browser || true)"
if [[ -z "$browser" ]]; then
  missing="there is no chromium (tools/setup --full installs it)"
  if [[ -n "${HOLDFAST_NEEDS_BROWSER:-}" ]]; then
    echo "FAILED: $missing" >&2
    exit 1
  fi
  echo "SKIPPED: $missing"
  exit 0
fi

# browse PAGE FLAG...: what comes to the console has to be nothing.
browse() {
  local page="$1" profile
  shift
  profile="$(mktemp -d "$TEST_TMPDIR/profile.XXXXXX")"
  HOME="$profile" "$browser" --headless --no-sandbox --disable-gpu \
    --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --disable-dev-shm-usage \
    --user-data-dir="$profile" --enable-logging=stderr \
    --window-size=1600,1000 --virtual-time-budget=10000 "$@" \
    "file://$page" 2>"$profile/log"
  if grep "CONSOLE" "$profile/log" >&2; then
    echo "$page: the console should be empty" >&2
    return 1
  fi
}

# open PAGE: prints the document as the browser made it of the page. A browser
# that gives one in which nothing was run yet, as it may where it starts for the
# first time, is asked once more; a page that has looked at itself never is.
open() {
  local document
  document="$(browse "$1#check" --dump-dom)"
  [[ "$document" == *"page check: "* ]] ||
    document="$(browse "$1#check" --dump-dom)"
  echo "$document"
}

# violation_height PAGE: takes a screenshot of the page, and prints how many
# pixels of the violation's colour one column of it has, at most: its line is as
# high as the picture.
violation_height() {
  local look="$1.look.html"
  browse "$1" --hide-scrollbars --screenshot="$1.png" || return 1
  cat >"$look" <<EOF
<img id="shot" src="data:image/png;base64,$(base64 -w0 "$1.png")">
<script>
onload = () => {
  const shot = document.getElementById("shot");
  const canvas = document.createElement("canvas");
  canvas.width = shot.width;
  canvas.height = shot.height;
  const ctx = canvas.getContext("2d");
  ctx.drawImage(shot, 0, 0);
  const data = ctx.getImageData(0, 0, canvas.width, canvas.height).data;
  // A line between two columns is paler.
  const broken = [0xc4, 0x42, 0x0c];
  const isBroken = (i) =>
      broken.every((c, j) => Math.abs(data[i + j] - c) < 50);
  const heights = new Array(canvas.width).fill(0);
  for (let i = 0; i < data.length; i += 4) {
    if (isBroken(i)) ++heights[i / 4 % canvas.width];
  }
  document.body.textContent = "height " + Math.max(...heights) + ";";
};
</script>
EOF
  browse "$look" --dump-dom | sed -n 's/.*height \([0-9]*\);.*/\1/p'
}

fail() {
  echo "$*" >&2
  exit 1
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

height="$(violation_height "$TEST_TMPDIR/violating.html")"
((height >= 500)) ||
  fail "the violation's line is $height pixels high on the screen, not 500"

# A hundred events: servers have hardly begun to talk.
"$simulate" --seed=1 --goto=100 --html="$TEST_TMPDIR/short.html"
open "$TEST_TMPDIR/short.html" >"$TEST_TMPDIR/short.dom"
expect "page check: good; 100 events" "$TEST_TMPDIR/short.dom"

# Some hundred thousand events.
"$simulate" --seed=1 --html="$TEST_TMPDIR/long.html"
open "$TEST_TMPDIR/long.html" >"$TEST_TMPDIR/long.dom"
expect "page check: good" "$TEST_TMPDIR/long.dom"
events="$(sed -n 's/.*page check: good; \([0-9]*\) events.*/\1/p' \
  "$TEST_TMPDIR/long.dom")"
((events >= 100000)) || fail "the long run's page has $events events only"
# Nothing is violated there: nothing of that colour is higher than the arrow of a
# repair, which has nearly the same, between the first server and the third.
height="$(violation_height "$TEST_TMPDIR/long.html")"
((height < 300)) || fail "a violation's line, $height pixels, in a good run"

"$simulate" --seed=1 --tls --duration=2s --html="$TEST_TMPDIR/tls.html"
open "$TEST_TMPDIR/tls.html" >"$TEST_TMPDIR/tls.dom"
expect "page check: good" "$TEST_TMPDIR/tls.dom"
grep -o "page check:.*" "$TEST_TMPDIR/long.dom"
