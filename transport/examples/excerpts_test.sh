#!/bin/bash
# excerpts_test.sh DOCUMENT SOURCE...: each line of the document's C++ blocks
# stands in one of the sources, but for its indentation; "..." stands for what
# is left out.
set -euo pipefail

document=$1
shift
lines=0
while IFS= read -r line; do
  if [[ -z $line || $line == "..." ]]; then continue; fi
  lines=$((lines + 1))
  if ! grep -qF -- "$line" "$@"; then
    echo "$document: not in the examples: $line" >&2
    exit 1
  fi
done < <(sed 's/^ *//' "$document" | sed -n '/^```cpp$/,/^```$/p' |
  grep -v '^```')
[[ $lines -gt 0 ]]
