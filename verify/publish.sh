#!/usr/bin/env bash
# Is the crate fit to be published? Makes the package, and checks what is in it, as a user gets it:
# everything after the first check is done with a copy of the package, in `target/publish`.
#
#   verify/publish.sh                       # all checks
#   verify/publish.sh features minimal      # some of them
#
# Installs the tools that it needs, without optimisation, which is quicker. Says how long each check
# took, and stops at the first that fails. What needs a toolchain that cannot be had is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
export RUSTFLAGS="${RUSTFLAGS:--D warnings}" RUSTDOCFLAGS="-D warnings"
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR

all=(tools package contents targets crates features docs links docs_rs minimal msrv unused licences)
limit_of_crates=3
limit_of_kib=660
work=$CARGO_TARGET_DIR/publish
tree=$work/tree
mkdir -p "$work"

fail() {
    echo "$*" >&2
    return 1
}

# Runs a command, and shows what it printed only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

tools() {
    local tool
    for tool in cargo-hack cargo-machete cargo-deny; do
        command -v "$tool" >/dev/null ||
            RUSTFLAGS="" CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$work/tools" \
                quietly cargo install --locked --debug "$tool"
    done
    rm -rf "$work/tools"
}

# A dry run has no warning but that it is one, that there is no public address yet, and, after a
# release, that there has been one.
package() {
    quietly cargo publish --dry-run --locked --allow-dirty
    if grep '^warning: ' "$work/log" | grep -vE ': (aborting upload due to dry run|manifest has no documentation, homepage or repository|crate watertight@[^ ]* already exists .*)$'; then
        fail "cargo publish --dry-run has warned"
    fi
    grep -E '^ *Packaged' "$work/log"
    rm -rf "$tree"
    # Not -p: cargo would not notice by the old times that anything has changed.
    cp -r "$CARGO_TARGET_DIR/package/$(cargo pkgid --locked | sed 's/.*#\(.*@\)\?/watertight-/')" "$tree"
}

# Nothing that only those need who work on the crate, and not too much of anything.
contents() {
    local strays kib
    strays=$(cd "$tree" && find . -type f | sed 's/^\.\///' |
        grep -vE '^(src|docs|examples|tests|benches)/|^(CHANGELOG|README)\.md$|^LICENSE-|^Cargo\.(toml|toml\.orig|lock)$|^\.cargo_vcs_info\.json$' || true)
    strays+=$(cd "$tree" && find . -path ./benches/metrics -o -path ./benches/peers -o -path ./examples/ecosystem -o -path ./examples/services -o -path ./target)
    [ -z "$strays" ] || fail "does not belong into the package:" "$strays"
    kib=$(($(tar -C "$tree" -cz . | wc -c) / 1024))
    echo "$kib KiB, compressed"
    [ "$kib" -le "$limit_of_kib" ] || fail "more than $limit_of_kib KiB"
}

# Every example, test and benchmark that the package has must compile.
targets() {
    quietly cargo check --all-targets --all-features
}

# How many crates come with it if all features are off, on any target.
crates() {
    local crates count
    crates=$(cargo tree --no-default-features --edges normal --target all --prefix none |
        sort -u | grep -v "^watertight ")
    count=$(wc -l <<<"$crates")
    echo "$count crates without features:" $(sed 's/ .*//' <<<"$crates")
    [ "$count" -le "$limit_of_crates" ] || fail "more than $limit_of_crates"
}

# Each feature, and each two. All sets of them would be 256 runs instead of 37.
features() {
    quietly cargo hack check --lib --no-dev-deps --feature-powerset --depth 2 --exclude-features default
    quietly cargo check --lib --all-features
}

docs() {
    quietly cargo hack doc --lib --no-deps --feature-powerset --depth 2 --exclude-features default
    quietly cargo doc --no-deps --all-features
}

# What the README and the pages beside it name by its address: an item, which rustdoc must have made a place
# for, or a file of the package.
links() {
    local site=https://docs.rs/watertight/latest pages=$CARGO_TARGET_DIR/doc link page
    quietly cargo doc --lib --no-deps --all-features
    while read -r link; do
        page=${link%%#*}
        [ -f "$pages/$page" ] || fail "there is no page for the link $site/$link"
        [ "$page" = "$link" ] || grep -q "id=\"${link#*#}\"" "$pages/$page" || fail "nothing is at $site/$link"
    done < <(grep -oh "$site/[^ )]*" README.md docs/*.md | sed "s|^$site/||" | sort -u)
    while read -r link; do
        [ -f "$link" ] || fail "README.md shows $link, which is not in the package"
    done < <(grep -oE '\]\(docs/[^)]*\)' README.md | sed 's/^](//; s/)$//')
}

# As docs.rs does it. Each feature must be told of.
docs_rs() {
    has_nightly || return 0
    local feature
    rm -rf "$work/docs-rs/doc"
    # A newer compiler may know more warnings.
    RUSTFLAGS="" RUSTDOCFLAGS="--cfg docsrs" quietly cargo +nightly doc --lib --no-deps --all-features \
        --target-dir "$work/docs-rs"
    for feature in tokio smol metrics bb8 deadpool r2d2 test-util; do
        grep -rqE "Available on .*crate feature.*<code>$feature</code>" "$work/docs-rs/doc/watertight" ||
            fail "nothing is marked as available with the feature $feature"
    done
}

# The oldest versions of the dependencies that the manifest allows.
minimal() {
    has_nightly || return 0
    rm -rf "$work/minimal"
    cp -r "$tree" "$work/minimal"
    cd "$work/minimal"
    quietly cargo hack --remove-dev-deps
    quietly cargo +nightly update -Z direct-minimal-versions
    quietly cargo check --lib --all-features
    quietly cargo check --lib --no-default-features
}

# The oldest compiler that the manifest allows.
msrv() {
    local rust features
    rust=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"rust_version":"\([^"]*\)".*/\1/')
    if ! cargo "+$rust" --version >/dev/null 2>&1 &&
        ! quietly rustup toolchain install --no-self-update --profile minimal "$rust"; then
        echo "skipped: Rust $rust cannot be had; clippy's incompatible_msrv looks all the same"
        return
    fi
    for features in --no-default-features --all-features; do
        quietly cargo "+$rust" check --locked --lib $features
    done
    echo "with $(rustc "+$rust" --version)"
}

# Dependencies that nothing uses.
unused() {
    quietly cargo machete
}

# Of what reaches a user: the licences, where it comes from, and that nothing comes twice.
# Also those crates count that only other targets need, so that no build has fetched them.
licences() {
    quietly cargo fetch --locked
    quietly cargo deny --offline --config "$repository/deny.toml" check licenses bans sources
}

has_nightly() {
    cargo +nightly --version >/dev/null 2>&1 || { echo "skipped: there is no nightly toolchain"; return 1; }
}

repository=$PWD
packaged=false
times=()
chosen=("$@")
[ $# -gt 0 ] || chosen=("${all[@]}")
for check in "${chosen[@]}"; do
    [[ " ${all[*]} " == *" $check "* ]] || fail "there is no check $check, only: ${all[*]}"
    begun=$SECONDS
    echo "-- $check"
    case $check in
    tools) tools ;;
    package)
        package
        packaged=true
        ;;
    *)
        $packaged || package
        packaged=true
        (cd "$tree" && "$check")
        ;;
    esac
    times+=("$(printf '%5d s  %s' $((SECONDS - begun)) "$check")")
done
printf '%s\n' "${times[@]}"
