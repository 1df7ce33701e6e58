#!/usr/bin/env bash
# The planted bugs' patches apply to this tree, and say what they break, what they
# need and whose code had that bug. What is handed over is a link into the tree
# itself.
set -euo pipefail
exec "$(dirname "$(realpath WORKSPACE)")/tools/mutants" --check
