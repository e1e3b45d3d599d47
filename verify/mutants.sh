#!/usr/bin/env bash
# Plants each mutant of mutants.txt and runs the scenario that must find it, under the model checker
# given as the first argument (shuttle unless given). Fails unless every one of them is found.
# Further arguments are the names of the mutants to try; all unless given.
set -euo pipefail
cd "$(dirname "$0")"
checker=${1:-shuttle}
shift || true
# What a mutant leaves unused is no reason not to run it.
export RUSTFLAGS="" CARGO_TERM_COLOR=never CARGO_INCREMENTAL=1 RUST_BACKTRACE=0

trim() { sed 's/^ *//; s/ *$//' <<<"$1"; }

# The test program with one mutant in it.
program() {
    MUTANT=$1 cargo test --quiet --profile mutants --manifest-path model/Cargo.toml --test it \
        --features "$checker" --target-dir "model/target/mutants-$checker" --no-run \
        --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# All that stand in the sources are listed.
while read -r planted; do
    grep -q "^$planted " mutants.txt || { echo "$planted is not in mutants.txt" >&2; exit 1; }
done < <(grep -rhoP 'mutant = "\K[^"]+' ../src | sort -u)

output=$(mktemp)
trap 'rm -f "$output"' EXIT
missed=0 tried=0
while IFS='|' read -r name with scenario _; do
    [[ $name = \#* || -z $name ]] && continue
    name=$(trim "$name") with=$(trim "$with") scenario=$(trim "$scenario")
    [[ $with = both || $with = "$checker" ]] || continue
    [[ $# -gt 0 && " $* " != *" $name "* ]] && continue
    tried=$((tried + 1))
    mutated=$(program "$name")
    [ -n "$mutated" ] || { echo "$name does not compile" >&2; exit 1; }
    begun=${EPOCHREALTIME/./}
    # What the short form misses, the long one must find.
    for form in short long; do
        code=0
        WATERTIGHT_MODEL=$form timeout 300 "$mutated" --exact "$scenario" --nocapture \
            >"$output" 2>&1 || code=$?
        found=$(sed -n 's/^model: \(execution .*\)/\1/p' "$output" | head -n 1)
        [[ $code -eq 0 || -z $found ]] || break
    done
    took=$((${EPOCHREALTIME/./} - begun))
    if [[ $code -eq 0 || -z $found ]]; then
        found="NOT FOUND (exit code $code)" missed=1
    fi
    printf '| %s | %s | %s | %d.%03d s |\n' \
        "$name" "$scenario" "$found" $((took / 1000000)) $((took / 1000 % 1000))
done <mutants.txt
[ "$tried" -gt 0 ] || { echo "no such mutant" >&2; exit 1; }
exit $missed
