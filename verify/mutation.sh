#!/usr/bin/env bash
# Mutation testing: changes the sources in every way that cargo-mutants knows, one at a time, and
# runs the tests. Fails if a change goes unnoticed that mutation.txt does not call equivalent.
#
#   verify/mutation.sh [options of cargo-mutants]
#
# Each mutant meets the unit tests first, which are the quickest to build. What survives meets the
# simulator; what survives that, the integration tests on the virtual clock and on plain threads; and
# what survives those, the tests on real runtimes. The first test that fails is enough, for which libtest has a switch that is not stable
# yet. Takes hours on two cores. For a part of it: `-f src/late.rs`, `--shard 0/10`, `--in-diff FILE`.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/mutation
export RUSTFLAGS="" RUST_BACKTRACE=0 CARGO_TERM_COLOR=never RUSTC_BOOTSTRAP=1
fail_fast=(-Z unstable-options --fail-fast)
# A mutant may be greedy.
ulimit -v 12000000

# Runs one round, the name of which comes first. What is to be tested is named as an argument of
# cargo's, not only of the tests: else all targets are built for every mutant.
mutate() {
    local round=$out/$1 code=0
    shift
    mkdir -p "$round"
    cargo mutants --no-times --colors never --jobs 2 --output "$round" "$@" || code=$?
    # 2 and 3: some survived, or took too long.
    [[ $code -eq 0 || $code -eq 2 || $code -eq 3 ]] || exit "$code"
    latest=$round/mutants.out
}

# Those that survived the latest round, as options.
survivors() {
    filter=()
    while read -r mutant; do
        filter+=(-F "^$(sed 's/[][\.*^$+?(){}|&]/\\&/g' <<<"$mutant")\$")
    done <"$latest/missed.txt"
    [ ${#filter[@]} -gt 0 ]
}

# A round must have tried all that the one before it missed.
tried_all() {
    local listed=$1 tried
    tried=$(cat "$latest"/{caught,missed,timeout,unviable}.txt | wc -l)
    [ "$tried" -ge "$listed" ] || { echo "only $tried of $listed were tried again" >&2; exit 1; }
}

rm -rf $out
mutate units --no-default-features --cargo-arg=--lib "$@" -- -- "${fail_fast[@]}" --skip explore
if survivors; then
    WATERTIGHT_SEEDS=0..1200 mutate simulator --no-default-features --cargo-arg=--test --cargo-arg=sim \
        "${filter[@]}" -- -- "${fail_fast[@]}" --skip corpus
    tried_all $((${#filter[@]} / 2))
fi
if survivors; then
    mutate virtual --no-default-features --cargo-arg=--test --cargo-arg=it "${filter[@]}" -- -- "${fail_fast[@]}"
    tried_all $((${#filter[@]} / 2))
fi
if survivors; then
    mutate real --all-features --cargo-arg=--lib --cargo-arg=--test --cargo-arg=it "${filter[@]}" -- -- "${fail_fast[@]}"
    tried_all $((${#filter[@]} / 2))
fi

caught=$(cat $out/*/mutants.out/caught.txt | sort -u | wc -l)
hung=$(cat $out/*/mutants.out/timeout.txt | sort -u | wc -l)
# Without line numbers, which change.
missed=$(sed 's/^\([^:]*\):[0-9]*:[0-9]*:/\1:/' "$latest/missed.txt" | sort)
echo "caught: $caught, and $hung hung the tests; survived: $(grep -c . <<<"$missed" || true)"
unexplained=$(grep -vxFf <(cut -f 1 verify/mutation.txt) <<<"$missed" || true)
[ -z "$unexplained" ] || { printf 'not explained in mutation.txt:\n%s\n' "$unexplained"; exit 1; }
