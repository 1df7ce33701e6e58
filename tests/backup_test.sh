#!/usr/bin/env bash
# A cluster of three real processes is backed up while it runs, and restored; then
# it dies, and what one server has left becomes a new cluster that grows to three.
# Each has the same records at the same offsets, with the same times, and the
# servers of one cluster have no dealings with those of another.
# HOLDFAST_BIN: another binary than the one Bazel built.
# shellcheck source=tests/processes.sh
source "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

servers=$(address 1),$(address 2),$(address 3)
client=(--certs="$certs" --as=ops)

# append LINE-FROM LINE-TO: lines that nobody appended before.
append() {
  seq -f 'line %.0f' "$1" "$2" > "$work/lines"
  ops append --file="$work/lines"
  expect_code 0
}
# Each record with its offset and its time, from offset $1 on.
read_json() { ops read --from="$1" --format=json --timeout=30s; }
keep_json() {
  read_json "$1"
  expect_code 0
  cp "$work/out" "$2"
}
# expect_json OFFSET FILE
expect_json() {
  read_json "$1"
  expect_code 0
  cmp "$2" "$work/out" > "$work/cmp" 2>&1 ||
    fail "expected the same records at the same offsets: $(cat "$work/cmp")"
}
restore() {
  run "$holdfast" restore --in="$1" --data-dir="$work/data$2" --id="$2" \
    --advertise="$(address "$2")"
}
recover() {
  run "$holdfast" recover --data-dir="$work/data$1" --out="$work/data$2" \
    --id="$2" --advertise="$(address "$2")" "${@:3}"
}
# Nobody could take it for a server's.
expect_nothing_in() {
  local found
  found=$(find "$work/$1" -type f ! -name LOCK 2> /dev/null)
  [ -z "$found" ] || fail "expected nothing in $1, found $found"
}

start_case "three servers, and their log"
make_ca
for id in 1 2 3 4 5 6 7 8; do issue --node=$id --hosts=127.0.0.1; done
issue --client=ops --role=admin
bootstrap="1=$(address 1),2=$(address 2),3=$(address 3)"
for id in 1 2 3; do start_node $id --bootstrap="$bootstrap"; done
await_leader 1 2 3
append 1 20000
append 20001 30000
keep_json 0 "$work/all.json"

start_case "a backup, that is never overwritten"
image=$work/log.image
ops backup --out="$image"
expect_code 0
grep -Eq "^offsets 0 to 30000 \(exclusive\), [0-9]+ batches, $(stat -c %s "$image") bytes" \
  "$work/out" || fail "expected offsets 0 to 30000, found $(cat "$work/out")"
[ ! -e "$image.partial" ] || fail "expected no $image.partial"
ops backup --out="$image"
expect_code 1
expect_line 'log.image is there'
: > "$work/other.image.partial"
ops backup --out="$work/other.image"
expect_code 1
expect_line 'other.image.partial is there'
[ ! -e "$work/other.image" ] || fail "expected no other.image"
run "$holdfast" backup --servers="$servers" "${client[@]}"
expect_code 2
expect_line '--out'
ops backup --out="$work/nowhere/log.image"
expect_code 2
expect_line 'directory that is there'

start_case "a damaged backup isn't restored, and where it is damaged is said"
bytes=$(stat -c %s "$image")
# damaged NAME EXPECTED-LINE: a restore of $work/NAME.
damaged() {
  restore "$work/$1" 4
  expect_code 1
  expect_line "$2"
  expect_nothing_in data4
}
cp "$image" "$work/flipped"
printf '\xff' | dd of="$work/flipped" bs=1 seek=$((bytes / 2)) conv=notrunc 2> /dev/null
damaged flipped 'damaged at byte [0-9]+: a batch.s checksum'
head -c $((bytes - 7)) "$image" > "$work/short"
damaged short "cut short: it ends at byte $((bytes - 7)), "
head -c 100 "$image" > "$work/shorter"
damaged shorter 'cut short: it ends at byte 100, '
{ cat "$image"; echo more; } > "$work/longer"
damaged longer "ends at byte $bytes, but 5 bytes follow"
cp "$image" "$work/newer"
printf '\x02' | dd of="$work/newer" bs=1 seek=8 conv=notrunc 2> /dev/null
damaged newer 'expected format version 1, found 2'
cp "$work/lines" "$work/nothing"
damaged nothing "damaged at byte 0: this isn't an image"
damaged absent 'absent'

start_case "a backup is restored, while the old cluster runs"
restore "$image" 4
expect_code 0
grep -q '^restored offsets 0 to 30000 (exclusive)' "$work/out" ||
  fail "expected offsets 0 to 30000, found $(cat "$work/out")"
restore "$image" 4
expect_code 1
expect_line 'expected an empty directory'
start_node 4
await_leader 4
voters 4 4
old_servers=$servers
servers=$(address 4)
expect_json 0 "$work/all.json"
append 30001 30100
ops read --from=30000 --count=1
[ "$(cat "$work/out")" = "line 30001" ] || fail "expected line 30001 at offset 30000"
servers=$old_servers
ops join --id=4 --address="$(address 4)"
expect_code 1
expect_line 'another cluster'
expect_json 0 "$work/all.json"
terminate 4

start_case "a trimmed log is backed up from where it begins"
ops trim --before=777
expect_code 0
keep_json 777 "$work/trimmed.json"
ops backup --out="$work/trimmed.image"
expect_code 0
restore "$work/trimmed.image" 6
expect_code 0
start_node 6
await_leader 6
servers=$(address 6)
expect_json 777 "$work/trimmed.json"
read_json 776
expect_code 1
expect_line 'offset 776 was trimmed'
terminate 6
servers=$old_servers

start_case "all three die, and one has the log left"
append 30001 31000
keep_json 777 "$work/last.json"
recover 2 5 --accept-data-loss
expect_code 1
expect_line 'in use by another process; stop it first'
has_last() {
  "$holdfast" read --servers="$(address 2)" "${client[@]}" --local --from=777 \
    --format=json 2> /dev/null | cmp -s - "$work/last.json"
}
await "all records at server 2" has_last
for id in 1 2 3; do stop_hard $id; done
rm -rf "$work/data5"
recover 2 5
expect_code 2
expect_line 'expected --accept-data-loss'
[ ! -e "$work/data5" ] || fail "expected no directory data5"
(cd "$work/data2" && sha256sum ./*) > "$work/before"
recover 2 5 --accept-data-loss
expect_code 0
grep -Eq '^recovered from server 2, .* next offset 31000, .* [0-9]+ entries beyond it$' \
  "$work/out" || fail "expected what was recovered, found $(cat "$work/out")"
(cd "$work/data2" && sha256sum ./*) | cmp -s - "$work/before" ||
  fail "expected data2 as it was"
recover 2 5 --accept-data-loss
expect_code 1
expect_line 'expected an empty directory'
recover nothing 9 --accept-data-loss
expect_code 1
run "$holdfast" inspect --data-dir="$work/data5"
expect_code 0
grep -q '^entry [0-9]*: the records before offset 31000 come from a server of' "$work/out" ||
  fail "expected where the records come from, found $(cat "$work/out")"

start_case "of a damaged directory all is recovered but what is damaged"
cp -r "$work/data2" "$work/data21"
segment=$(grep -l 'line 20500' "$work"/data21/*.segment)
at=$(grep -abo 'line 20500' "$segment" | cut -d: -f1)
printf 'X' | dd of="$segment" bs=1 seek="$at" conv=notrunc 2> /dev/null
recover 21 7 --accept-data-loss
expect_code 0
lost=$(sed -nE 's/^damaged here, and lost: offsets ([0-9]+) to ([0-9]+) .*/\1 \2/p' "$work/out")
read -r first end <<< "$lost"
[ "$first" -le 20499 ] && [ "$end" -gt 20499 ] ||
  fail "expected that offset 20499 is lost, found $(cat "$work/out")"
run "$holdfast" inspect --data-dir="$work/data7"
expect_code 0
grep -q "records from offset $first to $end (exclusive) were lost" "$work/out" ||
  fail "expected what was lost, found $(cat "$work/out")"
start_node 7
await_leader 7
servers=$(address 7)
read_json 777
expect_code 1
expect_line "from offset $first up to $end "
ops read --from=777 --format=json --skip-lost
awk -F'[:,]' -v first="$first" -v end="$end" '$2 < first || $2 >= end' \
  "$work/last.json" | cmp -s - "$work/out" || fail "expected all other records"
terminate 7

start_case "what is damaged in one directory is taken from others"
# also NEW OLD DIRS: a recovery of OLD, with the help of DIRS.
also() {
  recover "$2" "$1" --accept-data-loss --also="$3"
}
cp -r "$work/data3" "$work/data31"
segment=$(grep -l 'line 10500' "$work"/data31/*.segment)
at=$(grep -abo 'line 10500' "$segment" | cut -d: -f1)
printf 'X' | dd of="$segment" bs=1 seek="$at" conv=notrunc 2> /dev/null
also 8 21 "$work/data31"
expect_code 0
grep -Eq "^from server 3's directory .*data31: 1 entries" "$work/out" ||
  fail "expected an entry of data31, found $(cat "$work/out")"
grep -q 'lost' "$work/out" && fail "expected no loss, found $(cat "$work/out")"
start_node 8
await_leader 8
servers=$(address 8)
expect_json 777 "$work/last.json"
terminate 8
also 9 21 "$work/data21"
expect_code 2
expect_line 'given as --data-dir, too'
also 9 21 "$work/data31,$work/data31/."
expect_code 2
expect_line 'given as --also, too'
also 9 21 "$work/data31,$work/nothing"
expect_code 2
expect_line 'directories that are there'
also 9 21 "$work/data5"
expect_code 1
expect_line 'data5: expected a directory of cluster'
also 9 21 "$work/data2"
expect_code 1
expect_line "data2: expected another server's directory"
rm -rf "$work/data9"

start_case "a directory that was never finished is refused"
cp -r "$work/data5" "$work/data9"
rm "$work/data9/identity" "$work/data9/identity.copy"
run "$holdfast" node --id=5 --listen="$(address 5)" --data-dir="$work/data9" \
  --certs="$certs"
expect_code 1
grep -q 'unfinished restore or recover' "$work/err.log" ||
  fail "expected an unfinished recover, found $(cat "$work/err.log")"

start_case "the new cluster has all of it, and grows to three"
start_node 5
await_leader 5
servers=$(address 5),$(address 1),$(address 6)
voters 5 5
expect_json 777 "$work/last.json"
rm -rf "$work/data1" "$work/data6"
for id in 1 6; do
  start_waiting $id
  join $id
done
voters 5 1 5 6
append 31001 31100
keep_json 777 "$work/grown.json"

start_case "servers of the old cluster have no dealings with it"
start_node 2
start_node 3
await_leader 2 3
ops join --id=3 --address="$(address 3)"
expect_code 1
expect_line 'another cluster'
voters 5 1 5 6
stop_hard 2
stop_hard 3
stop_hard 5
await_leader 1 6
expect_json 777 "$work/grown.json"
append 31101 31200
ops read --from=31100 --count=1
[ "$(cat "$work/out")" = "line 31101" ] || fail "expected line 31101 at offset 31100"
terminate 1
stop_hard 6
echo "all is well: $SECONDS s"
