# What the tests of the gateways have in common. To be sourced, in the root of the repository.

work=$(mktemp -d)
gateway=
failures=0
trap '[ -n "$gateway" ] && kill -KILL "$gateway" 2>/dev/null; rm -rf "$work"' EXIT

ok() { printf '  ok    %s\n' "$*"; }
bad() { printf '  FAIL  %s\n' "$*"; failures=$((failures + 1)); }

# expect WHAT EXPECTED ACTUAL
expect() {
    if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: expected $2, got $3"; fi
}

# at_most WHAT LIMIT ACTUAL
at_most() {
    if [ "$3" -le "$2" ]; then ok "$1 ($3)"; else bad "$1: at most $2, got $3"; fi
}

# Retries a check for five seconds: eventually COMMAND...
eventually() {
    for _ in $(seq 100); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

# start NAME OPTIONS...: starts a gateway on a free port, and waits until its servers are ready; sets
# gateway, url. With `log` its log goes there, with `start_by` it is started by that, with `unready`
# its servers are not waited for.
start() {
    local name=$1
    shift
    # What the last one printed must not be taken for this one's.
    : >"$work/out"
    # Whoever runs this may ignore SIGHUP, which is inherited.
    ${start_by:-env --default-signal=HUP} "$TARGET/$name" --listen 127.0.0.1:0 "$@" >"$work/out" 2>"${log:-$work/err}" &
    gateway=$!
    until grep -q '^listening on ' "$work/out"; do
        gone "$gateway" && bad "$name did not start: $(cat "$work/err")" && exit 1
        sleep 0.05
    done
    url=$(sed -n 's/^listening on //p' "$work/out")
    [ -n "${unready:-}" ] || eventually ready || bad "$name is not ready: $(cat "$work/err")"
}

health() { curl -sS -m 10 -o /dev/null -w '%{http_code}' "$1/healthz"; }
ready() { [ "$(health "$url" 2>/dev/null)" = 200 ]; }

status() { curl -sS -m 10 "$url/status"; }
# field NAME: the first number of that name in the status
field() { status | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }
children() { status | sed 's/.*"children":\[\([0-9,]*\)\].*/\1/' | tr ',' ' '; }
# The servers of this gateway that there are, whatever it says itself; zombies count.
real_children() { ps -o pid= --ppid "$gateway" | tr -d ' '; }
has_children() { [ "$(real_children | wc -l)" -eq "$1" ]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

# post BODY [CURL OPTIONS...]: prints the HTTP status; the answer is in $work/body
post() {
    local body=$1
    shift
    printf '%s' "$body" | curl -sS -m 20 -o "$work/body" -w '%{http_code}' "$@" \
        -H 'Content-Type: application/json' --data-binary @- "$url/mcp"
}

tool() {
    printf '{"jsonrpc":"2.0","id":"my id","method":"tools/call","params":{"name":"%s",' "$1"
    printf '"arguments":{"message":"hello","milliseconds":%s}}}' "${2:-0}"
}

# build EXAMPLE...
build() {
    local example examples=()
    for example in "$@"; do examples+=(--example "$example"); done
    cargo build --release --features tokio,smol,metrics "${examples[@]}" || exit 1
    TARGET=$(realpath "${CARGO_TARGET_DIR:-target}")/release/examples
}

# cannot REASON: ends the test, which cannot be run here; well, unless it has to be
cannot() {
    if [ "${WATERTIGHT_SERVICES:-}" = required ]; then
        echo "$1"
        exit 1
    fi
    echo "skipped: $1"
    exit 0
}

# Ends the test.
verdict() {
    if [ "$failures" -gt 0 ]; then
        echo "$failures checks failed after $SECONDS s"
        exit 1
    fi
    echo "all passed in $SECONDS s"
}
