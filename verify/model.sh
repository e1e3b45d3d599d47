#!/usr/bin/env bash
# Runs the models under shuttle and under loom. Short unless the first argument is `long`; a second
# one chooses the checker, and a third the scenarios whose names contain it. Ends with a line for each:
# model | scenario | how | executions | seconds.
set -euo pipefail
cd "$(dirname "$0")/model"
export CARGO_TERM_COLOR=never WATERTIGHT_MODEL=${1:-short}
checkers=${2:-shuttle loom}

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
for checker in $checkers; do
    begun=$SECONDS
    # A deadlock inside a destructor ends the whole program, so what was printed must not be lost.
    cargo test --release --test it --features "$checker" --target-dir "target/$checker" -- --nocapture "${3:-}" \
        >"$report" 2>&1 || status=$?
    [ $status -eq 0 ] || { cat "$report"; exit "$status"; }
    sed -n 's/^.*\(model | .*\)/\1/p' "$report" | sort
    echo "$checker: $(grep -c 'model | ' "$report") explorations, $((SECONDS - begun)) s with the build"
done
