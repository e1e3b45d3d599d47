#!/usr/bin/env bash
# Looks for memory that nothing points to any more when the tests are over, and for misuse of what
# is freed.
#
#   verify/leaks.sh             the first of these that can be had
#   verify/leaks.sh sanitizer   all unit and integration tests under AddressSanitizer with
#                               LeakSanitizer; wants a nightly toolchain
#   verify/leaks.sh valgrind    the unit tests, and the integration tests on the virtual clock, under
#                               valgrind's memcheck, with the usual toolchain
#
# Any report fails; nothing is suppressed, for neither tool has a false report on what these tests
# use. What a live thread or a static still points to is no leak to either: `tests/memory*` measure
# what grows.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
# These leak on purpose: a guard or an acquire is forgotten, and a waker; a test of the ledger ends in
# the middle, with a pool that nobody shuts down. And Prometheus' exporter leaves what it has done with
# to be freed later by a thread that does not live so long. tokio, which panics when it gets no thread for
# a blocking call, leaves its task behind. To see this script fail, take them out.
# The explorations walk plain data, for minutes under a sanitizer, and leave nothing that others do not.
on_purpose=(--skip forgotten_ --skip panicking_waker_costs_no_place --skip support::ledger::tests
    --skip observing::metrics --skip that_tokio_gets_no_thread_for --skip tests::explore)

has_nightly() {
    cargo +nightly --version >/dev/null 2>&1 && [ "$(rustc -vV | sed -n 's/^host: //p')" = "$target" ]
}

sanitizer() {
    export RUSTFLAGS="-Zsanitizer=address" RUST_BACKTRACE=0
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
    cargo +nightly test --quiet --all-features --lib --test it \
        --target "$target" --target-dir target/asan -- "${on_purpose[@]}"
}

# The path of each test binary.
binaries() {
    cargo --color never test --all-features --lib --test it --no-run 2>&1 |
        sed -n 's/^ *Executable .*(\(.*\))$/\1/p'
}

valgrind_on() {
    valgrind --quiet --error-exitcode=1 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect --show-leak-kinds=definite,indirect \
        "$@" --test-threads 1 --quiet "${on_purpose[@]}"
}

under_valgrind() {
    local unit integration
    cargo test --quiet --all-features --lib --test it --no-run
    { read -r unit; read -r integration; } < <(binaries)
    export RUST_BACKTRACE=0
    valgrind_on "$unit"
    # The interleavings, tens of thousands, would take longer than all the rest.
    valgrind_on "$integration" on_the_virtual_clock --skip interleaving
}

case "${1:-}" in
sanitizer) sanitizer ;;
valgrind) under_valgrind ;;
"")
    if has_nightly; then
        sanitizer
    elif command -v valgrind >/dev/null; then
        under_valgrind
    else
        echo "neither a nightly toolchain for $target nor valgrind was found" >&2
        exit 1
    fi
    ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac
echo "no leaks"
