#!/usr/bin/env bash
# Instructions per acquire + drop, as callgrind counts them: the difference between a long and a short run.
#
#   benches/instructions.sh          # compares with instructions.txt
#   benches/instructions.sh --bless  # writes it
#
# An idle connection from a task of tokio's multi-thread and current-thread runtimes and from a thread, with
# default settings; one that must be waited for; and an idle one with `PoolMetrics` and Prometheus' exporter, of
# which the exporter's own part, two samples and four changes of a gauge, is told as well. Fails above the limits
# below, and if anything has grown by more than 2 % since instructions.txt was written; with another compiler than
# then, the limits alone count.
set -euo pipefail
cd "$(dirname "$0")/.."
declare -A limits=([tokio]=300 [current]=300 [sync]=300 [waiting]=6000 [metrics]=1150)
baseline=benches/instructions.txt
short=20000 long=120000

# The executable that a cargo command builds.
built() {
    "$@" --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

per_cycle() {
    echo $((($(count "$@" $long) - $(count "$@" $short)) / (long - short)))
}

compiler=$(rustc --version)
same_compiler=true
bless=false
if [ "${1:-}" = --bless ]; then
    bless=true
    echo "$compiler" >$baseline
elif [ "$compiler" != "$(head -n 1 $baseline)" ]; then
    same_compiler=false
    echo "counted before with $(head -n 1 $baseline), now with $compiler: not compared"
fi

status=0
judge() {
    local face=$1 count=$2 before
    if $bless; then
        echo "$face $count" >>$baseline
    fi
    before=$(sed -n "s/^$face //p" $baseline)
    echo "$face: $count instructions per acquire + drop (limit ${limits[$face]}, before $before)"
    [ "$count" -le "${limits[$face]}" ] || status=1
    if $same_compiler && [ $((count * 100)) -gt $((before * 102)) ]; then
        echo "more than 2 % more than before"
        status=1
    fi
}

program=$(built cargo bench --bench instructions --no-run)
for face in tokio current sync waiting; do
    judge $face "$(per_cycle "$program" $face)"
done

# Not in the package that is published.
[ -d benches/metrics ] || exit $status
program=$(built cargo build --release --manifest-path benches/metrics/Cargo.toml)
counted=--toggle-collect='watertight_metrics_cost::counted*'
judge metrics "$(per_cycle "$counted" "$program" pool)"
echo "of these the exporter's: $(per_cycle "$counted" "$program" recorder)"
exit $status
