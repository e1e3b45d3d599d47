#!/usr/bin/env bash
# Instructions per acquire + drop of an idle connection, default settings: the difference between
# a long and a short run, as callgrind counts them. Fails above the limit given as the first
# argument (300 unless given). With metrics on, most is the recorder's and the clock's: that is told,
# and has no limit.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=${1:-300}
short=20000 long=120000
program=$(cargo bench --bench instructions --features metrics --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*instructions[^"]*\)".*/\1/p' | tail -n 1)
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
status=0
for face in tokio current sync metrics; do
    [ "$face" != metrics ] || limit=none
    per_cycle=$((($(count "$face" $long) - $(count "$face" $short)) / (long - short)))
    echo "$face: $per_cycle instructions per acquire + drop (limit $limit)"
    [ "$limit" = none ] || [ "$per_cycle" -le "$limit" ] || status=1
done
exit $status
