#!/bin/bash
# What the code of a tape is a hash of: files of each part that a run depends on,
# and none that it doesn't.
set -euo pipefail

fail() {
  echo "sources_test: $*" >&2
  exit 1
}

for file in engine/base/crc32c.cc engine/raft/core.h engine/raft/election.cc \
  engine/wal/recovery.cc engine/peer/peer.proto engine/client/producer.cc \
  engine/service/service.cc engine/log/kv.h transport/tls_connection.cc \
  sim/scheduler.cc sim/simulation.cc sim/fault_sites.h; do
  [[ " $* " == *" $file "* ]] || fail "$file is missing"
done
for file in "$@"; do
  case $file in
    *_test.cc | *.patch | ../* | /*) fail "$file doesn't belong there" ;;
    engine/* | sim/* | transport/tls*) ;;
    *) fail "$file is of another folder" ;;
  esac
done
