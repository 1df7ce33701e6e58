#!/bin/bash
# Runs each example as it stands: it must do what it says, and exit with 0.
set -euo pipefail

for program in "$@"; do
  echo "--- $program"
  "$program"
done
